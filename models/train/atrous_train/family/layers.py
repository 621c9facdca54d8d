"""Layers that the published networks have beside those of `..layers`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..layers import upsample


class Conv(nn.Module):
    """Convolution of any window with bias, then ReLU or nothing."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, dilation=1, padding=None, relu=True):
        super().__init__()
        padding = dilation * (kernel // 2) if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation)
        self.activation = "relu" if relu else None

    def forward(self, x):
        x = self.conv(x)
        return F.relu(x) if self.activation else x


class Up(nn.Module):
    """Transposed convolution: learned upsampling. `bilinear` starts it as interpolation."""

    def __init__(self, inputs, outputs, kernel, stride, padding=0, bias=False, bilinear=False):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=bias)
        self.bilinear = bilinear

    def start(self):
        """The weights of a bilinear interpolation, class by class."""
        kernel = self.conv.kernel_size[0]
        factor = (kernel + 1) // 2
        centre = factor - 1 if kernel % 2 else factor - 0.5
        ramp = 1 - (torch.arange(kernel) - centre).abs() / factor
        with torch.no_grad():
            self.conv.weight.zero_()
            for c in range(min(self.conv.weight.shape[:2])):
                self.conv.weight[c, c] = ramp[:, None] * ramp

    def forward(self, x):
        return self.conv(x)


class Pool(nn.Module):
    """Largest value of a window; `ceil` as Caffe has it."""

    def __init__(self, kernel, stride, padding=0, ceil=False):
        super().__init__()
        self.pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)

    def forward(self, x):
        return self.pool(x)


def scaled(x, scale):
    """Bilinear with aligned corners; sizes keep pixel centres on the grid: 321 becomes 241."""
    size = [int((side - 1) * scale) + 1 for side in x.shape[2:]]
    return upsample(x, size)


def crop(x, size, top=None, left=None):
    """The part of this height and width, from the middle unless said otherwise."""
    height, width = size
    top = (x.shape[2] - height) // 2 if top is None else top
    left = (x.shape[3] - width) // 2 if left is None else left
    return x[:, :, top : top + height, left : left + width]


def biggest(a, b):
    """Element by element the larger one."""
    return torch.maximum(a, b)

