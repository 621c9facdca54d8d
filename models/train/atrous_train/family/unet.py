"""U-Net (Ronneberger, Fischer and Brox, 2015), as published and for any size."""

from __future__ import annotations

import torch
from torch import fx, nn

from ..layers import Scorer, upsample
from .layers import Conv, Pool, Up, crop

# Each is one node of a traced graph.
fx.wrap("crop")
fx.wrap("upsample")

WIDTHS = (64, 128, 256, 512, 1024)


class Double(nn.Module):
    """Two 3x3 convolutions with ReLU."""

    def __init__(self, inputs, outputs, padding):
        super().__init__()
        self.first = Conv(inputs, outputs, padding=padding)
        self.second = Conv(outputs, outputs, padding=padding)

    def forward(self, x):
        return self.second(self.first(x))


class UNet(Scorer):
    """Published: no padding, skips cropped, so 572x572 in gives 388x388 out.

    With `any_size` convolutions pad, and what was upsampled is resized to its skip where an odd
    size has lost a row or column.
    """

    def __init__(self, classes=2, any_size=False, widths=WIDTHS):
        super().__init__()
        self.any_size = any_size
        self.middle = not any_size
        padding = 1 if any_size else 0
        inputs = (3, *widths[:-1])
        self.down = nn.ModuleList(Double(i, o, padding) for i, o in zip(inputs, widths))
        self.pool = Pool(2, 2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nn.ModuleList(Up(i, o, 2, 2, bias=True) for i, o in pairs)
        self.join = nn.ModuleList(Double(i, o, padding) for i, o in pairs)
        self.classifier = nn.Conv2d(widths[0], classes, 1)

    def features(self, x):
        skips = []
        for index, down in enumerate(self.down):
            x = down(x if index == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join):
            x, skip = up(x), skips.pop()
            if self.any_size:
                x = upsample(x, skip.shape[2:])
            else:
                skip = crop(skip, x.shape[2:])
            x = join(torch.cat([skip, x], 1))
        return [x]
