"""Xception-65 as DeepLab v3+ modified it (Chen et al., 2018): strided separable convolutions for
every pool, a norm and ReLU after each depthwise convolution, output stride 16."""

from __future__ import annotations

from torch import nn

from ..layers import ConvNorm, Separable

# (channels of its three convolutions, stride, dilation, shortcut: "conv", "sum" or None)
ENTRY = (((128, 128, 128), 2, "conv"), ((256, 256, 256), 2, "conv"), ((728, 728, 728), 2, "conv"))
MIDDLE = 16
EXIT = (((728, 1024, 1024), 1, "conv"), ((1536, 1536, 2048), 2, None))
LOW_LEVEL_BLOCK = 1  # its second convolution is at stride 4


class Block(nn.Module):
    """Three separable convolutions, the last one with the stride, and a shortcut."""

    def __init__(self, inputs, widths, stride=1, dilation=1, shortcut="sum"):
        super().__init__()
        first, second, last = widths
        self.first = Separable(inputs, first, dilation=dilation)
        self.second = Separable(first, second, dilation=dilation)
        self.third = Separable(second, last, stride, dilation, last="relu" if shortcut is None else None)
        self.kind = shortcut
        self.shortcut = ConvNorm(inputs, last, stride=stride, activation=None) if shortcut == "conv" else None

    def forward(self, x):
        low = self.second(self.first(x))
        y = self.third(low)
        if self.kind == "conv":
            y = y + self.shortcut(x)
        elif self.kind == "sum":
            y = y + x
        return low, y


class Xception65(nn.Module):
    """Entry, middle and exit flow."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 32, 3, 2), ConvNorm(32, 64, 3))
        blocks, channels = [], 64
        for widths, stride, shortcut in ENTRY:
            blocks.append(Block(channels, widths, stride, shortcut=shortcut))
            channels = widths[-1]
        blocks += [Block(channels, (channels,) * 3) for _ in range(MIDDLE)]
        for widths, dilation, shortcut in EXIT:
            blocks.append(Block(channels, widths, dilation=dilation, shortcut=shortcut))
            channels = widths[-1]
        self.blocks = nn.ModuleList(blocks)
        self.low_channels, self.deep_channels = ENTRY[LOW_LEVEL_BLOCK][0][1], channels

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            inner, x = block(x)
            if index == LOW_LEVEL_BLOCK:
                low = inner
        return low, x
