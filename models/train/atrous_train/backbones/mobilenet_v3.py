"""MobileNetV3, large and small, at output stride 16."""

from __future__ import annotations

from torch import nn

from ..layers import ConvNorm, SqueezeExcite, divisible

# (kernel, hidden channels, output channels, squeeze and excite, activation, stride, dilation)
LARGE = (
    (3, 16, 16, False, "relu", 1, 1),
    (3, 64, 24, False, "relu", 2, 1),
    (3, 72, 24, False, "relu", 1, 1),
    (5, 72, 40, True, "relu", 2, 1),
    (5, 120, 40, True, "relu", 1, 1),
    (5, 120, 40, True, "relu", 1, 1),
    (3, 240, 80, False, "hswish", 2, 1),
    (3, 200, 80, False, "hswish", 1, 1),
    (3, 184, 80, False, "hswish", 1, 1),
    (3, 184, 80, False, "hswish", 1, 1),
    (3, 480, 112, True, "hswish", 1, 1),
    (3, 672, 112, True, "hswish", 1, 1),
    (5, 672, 160, True, "hswish", 1, 1),
    (5, 960, 160, True, "hswish", 1, 2),
    (5, 960, 160, True, "hswish", 1, 2),
)
SMALL = (
    (3, 16, 16, True, "relu", 2, 1),
    (3, 72, 24, False, "relu", 2, 1),
    (3, 88, 24, False, "relu", 1, 1),
    (5, 96, 40, True, "hswish", 2, 1),
    (5, 240, 40, True, "hswish", 1, 1),
    (5, 240, 40, True, "hswish", 1, 1),
    (5, 120, 48, True, "hswish", 1, 1),
    (5, 144, 48, True, "hswish", 1, 1),
    (5, 288, 96, True, "hswish", 1, 1),
    (5, 576, 96, True, "hswish", 1, 2),
    (5, 576, 96, True, "hswish", 1, 2),
)
# Rows, the last of them at stride 4, channels of the convolution after them.
KINDS = {"large": (LARGE, 2, 960), "small": (SMALL, 0, 576)}


class Block(nn.Module):
    """An inverted residual with the kernel, gate and activation of its row."""

    def __init__(self, inputs, row):
        super().__init__()
        kernel, hidden, outputs, gated, activation, stride, dilation = row
        self.expand = None if hidden == inputs else ConvNorm(inputs, hidden, activation=activation)
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, dilation, hidden, activation)
        self.gate = SqueezeExcite(hidden, divisible(hidden / 4)) if gated else None
        self.project = ConvNorm(hidden, outputs, activation=None)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.depthwise(y)
        if self.gate is not None:
            y = self.gate(y)
        y = self.project(y)
        return x + y if self.residual else y


class MobileNetV3(nn.Module):
    """All blocks and the 1x1 convolution after them."""

    def __init__(self, kind):
        super().__init__()
        rows, self.low_block, self.deep_channels = KINDS[kind]
        self.stem = ConvNorm(3, 16, 3, 2, activation="hswish")
        blocks, channels = [], 16
        for row in rows:
            blocks.append(Block(channels, row))
            channels = row[2]
        self.blocks = nn.ModuleList(blocks)
        self.last = ConvNorm(channels, self.deep_channels, activation="hswish")
        self.low_channels = rows[self.low_block][2]

    def early(self, count):
        return [self.stem, *self.blocks[:count]]

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.low_block:
                low = x
        return low, self.last(x)
