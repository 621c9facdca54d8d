"""A backbone in the manner of MobileNet-EdgeTPU: early blocks fuse expansion and 3x3 into one
dense convolution, which accelerators like better than a depthwise one; ReLU, no gates."""

from __future__ import annotations

from torch import nn

from ..layers import ConvNorm

# (fused, expansion, output channels, repeats, stride of the first, dilation)
STAGES = (
    (True, 1, 16, 1, 1, 1),
    (True, 8, 32, 4, 2, 1),
    (True, 8, 48, 4, 2, 1),
    (False, 8, 96, 4, 2, 1),
    (False, 8, 96, 4, 1, 1),
    (False, 8, 160, 4, 1, 2),
    (False, 8, 192, 1, 1, 2),
)
LOW_LEVEL_STAGE = 1  # the last one at stride 4


class Block(nn.Module):
    """An inverted residual, its expansion fused with the window or before it."""

    def __init__(self, inputs, fused, expansion, outputs, stride, dilation):
        super().__init__()
        hidden = inputs * expansion
        if fused:
            self.expand = ConvNorm(inputs, hidden, 3, stride, dilation)
            self.depthwise = None
        else:
            self.expand = ConvNorm(inputs, hidden)
            self.depthwise = ConvNorm(hidden, hidden, 3, stride, dilation, hidden)
        self.project = ConvNorm(hidden, outputs, activation=None)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.expand(x)
        if self.depthwise is not None:
            y = self.depthwise(y)
        y = self.project(y)
        return x + y if self.residual else y


class EdgeTpu(nn.Module):
    """All blocks; `forward` gives `(low, deep)` at strides 4 and 16."""

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks, channels = [], 32
        for index, (fused, expansion, outputs, repeats, stride, dilation) in enumerate(STAGES):
            for i in range(repeats):
                step = stride if i == 0 else 1
                blocks.append(Block(channels, fused, expansion, outputs, step, 1 if step == 2 else dilation))
                channels = outputs
            if index == LOW_LEVEL_STAGE:
                self.low_block, self.low_channels = len(blocks) - 1, channels
        self.blocks = nn.ModuleList(blocks)
        self.deep_channels = channels

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.low_block:
                low = x
        return low, x
