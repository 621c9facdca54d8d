"""MobileNetV2 at output stride 16."""

from __future__ import annotations

from torch import nn

from ..layers import ConvNorm, divisible

# (expansion, output channels, repeats, stride of the first, dilations)
STAGES = (
    (1, 16, 1, 1, (1,)),
    (6, 24, 2, 2, (1, 1)),
    (6, 32, 3, 2, (1, 1, 1)),
    (6, 64, 4, 2, (1, 1, 1, 1)),
    (6, 96, 3, 1, (1, 1, 1)),
    (6, 160, 3, 1, (1, 2, 2)),
    (6, 320, 1, 1, (2,)),
)
LOW_LEVEL_BLOCK = 2  # the last block at stride 4


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, optionally add the input."""

    def __init__(self, inputs, outputs, stride, expansion, dilation):
        super().__init__()
        hidden = inputs * expansion
        self.expand = None if expansion == 1 else ConvNorm(inputs, hidden, activation="relu6")
        self.depthwise = ConvNorm(hidden, hidden, 3, stride, dilation, hidden, "relu6")
        self.project = ConvNorm(hidden, outputs, activation=None)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """All blocks up to the last bottleneck; `width` multiplies every number of channels."""

    def __init__(self, width=1.0):
        super().__init__()
        channels = divisible(32 * width)
        self.stem = ConvNorm(3, channels, 3, 2, activation="relu6")
        blocks = []
        for expansion, outputs, repeats, first_stride, dilations in STAGES:
            outputs = divisible(outputs * width)
            for i in range(repeats):
                stride = first_stride if i == 0 else 1
                blocks.append(InvertedResidual(channels, outputs, stride, expansion, dilations[i]))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.low_channels = self.blocks[LOW_LEVEL_BLOCK].project.conv.out_channels
        self.deep_channels = channels

    def early(self, count):
        return [self.stem, *self.blocks[:count]]

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == LOW_LEVEL_BLOCK:
                low = x
        return low, x
