"""The layers that every network is made of.

All resizing is bilinear with aligned corners, so odd input sizes (16n + 1) keep pixel centres on
the grid.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hswish": F.hardswish,
    "hsigmoid": F.hardsigmoid,
    None: lambda x: x,
}


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, then one of `ACTIVATIONS`."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1, groups=1, activation="relu"):
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation

    def convolve(self, x):
        """The convolution, around two faults of PyTorch 2.15's depthwise gradient on processors.

        With dilation and bfloat16 it reads uninitialised memory (wrong by a little most times, by
        1e35 at others): float32 there.  With a stride it is slow: stride 1 and every other pixel
        give the same in half of the time.
        """
        conv = self.conv
        if conv.groups == 1 or x.device.type != "cpu":
            return conv(x)
        if conv.dilation[0] > 1:
            with torch.autocast("cpu", enabled=False):
                return conv(x.float())
        if conv.stride[0] == 2 and torch.is_grad_enabled() and conv.weight.requires_grad:
            x = F.conv2d(x, conv.weight, None, 1, conv.padding, 1, conv.groups)
            return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        return conv(x)

    def forward(self, x):
        return ACTIVATIONS[self.activation](self.norm(self.convolve(x)))


class Scorer(nn.Module):
    """A network that makes scores of `features` by `heads`, which are linear.

    `features` gives a tensor for each of `heads`; `middle` says that scores are those of the picture's
    middle, pixel for pixel, instead of reaching from corner to corner.
    """

    middle = False

    def heads(self):
        return [self.classifier]

    def head(self, features, size):
        """Scores from features; `size` is the picture's, height and width."""
        first, *others = [head(feature) for head, feature in zip(self.heads(), features)]
        for other in others:
            first = first + other
        return first

    def forward(self, x):
        return self.head(self.features(x), x.shape[2:])


class Separable(nn.Module):
    """3x3 depthwise then 1x1, each with batch norm and ReLU."""

    def __init__(self, inputs, outputs, stride=1, dilation=1, last="relu"):
        super().__init__()
        self.depthwise = ConvNorm(inputs, inputs, 3, stride, dilation, inputs)
        self.pointwise = ConvNorm(inputs, outputs, activation=last)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class GlobalMean(nn.Module):
    """Mean over all positions, [N, C, 1, 1]."""

    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class BiasedConv(nn.Module):
    """1x1 convolution with bias and one of `ACTIVATIONS`, no norm."""

    def __init__(self, inputs, outputs, activation):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.activation = activation

    def forward(self, x):
        return ACTIVATIONS[self.activation](self.conv(x))


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.mean = GlobalMean()
        self.squeeze = BiasedConv(channels, squeezed, "relu")
        self.excite = BiasedConv(squeezed, channels, "hsigmoid")

    def forward(self, x):
        return x * self.excite(self.squeeze(self.mean(x)))


def upsample(x, size):
    """Bilinear resize with aligned corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def divisible(channels, by=8):
    """MobileNet's rounding of a channel number: a multiple of 8, at most a tenth lower."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
