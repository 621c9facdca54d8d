"""Xception-lite: Xception's residual separable convolutions, few and narrow, output stride 16.

Every convolution is followed by its norm and, inside a block, by ReLU; the sum of a block and its
shortcut is not rectified.
"""

from __future__ import annotations

from torch import nn

from ..layers import ConvNorm, Separable

# (output channels, stride, dilation)
BLOCKS = (
    (64, 2, 1),
    (128, 2, 1),
    (256, 2, 1),
    (256, 1, 1),
    (256, 1, 1),
    (256, 1, 1),
    (256, 1, 1),
    (384, 1, 2),
)
LOW_LEVEL_BLOCK = 0  # at stride 4


class Block(nn.Module):
    """Three separable convolutions, the last one with the stride, beside a shortcut."""

    def __init__(self, inputs, outputs, stride, dilation):
        super().__init__()
        self.body = nn.Sequential(
            Separable(inputs, outputs, dilation=dilation),
            Separable(outputs, outputs, dilation=dilation),
            Separable(outputs, outputs, stride, dilation, last=None),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else ConvNorm(inputs, outputs, stride=stride, activation=None)

    def forward(self, x):
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return shortcut + self.body(x)


class XceptionLite(nn.Module):
    """Entry, middle and exit flow with one kind of block."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 24, 3, 2), ConvNorm(24, 32, 3))
        blocks, channels = [], 32
        for outputs, stride, dilation in BLOCKS:
            blocks.append(Block(channels, outputs, stride, dilation))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.low_channels, self.deep_channels = BLOCKS[LOW_LEVEL_BLOCK][0], channels

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
