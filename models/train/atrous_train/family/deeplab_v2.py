"""DeepLab v2 (Chen et al., 2016): pyramids of atrous convolutions, summed; with ResNet-101 on
three scales of the picture, of which the largest score wins."""

from __future__ import annotations

from torch import fx, nn

from ..layers import upsample
from .deeplab_v1 import backbone
from .layers import Conv, biggest, scaled
from .resnet import ResNet

# Each is one node of a traced graph.
fx.wrap("biggest")
fx.wrap("scaled")
fx.wrap("upsample")

RATES = (6, 12, 18, 24)
SCALES = (0.75, 0.5)  # beside the whole picture


class VggBranch(nn.Module):
    """fc6 to fc8 of one rate."""

    def __init__(self, rate, classes):
        super().__init__()
        self.fc6 = Conv(512, 1024, 3, dilation=rate)
        self.fc7 = Conv(1024, 1024, 1)
        self.fc8 = nn.Conv2d(1024, classes, 1)

    def forward(self, x):
        return self.fc8(self.fc7(self.fc6(x)))


class DeepLabV2Vgg(nn.Module):
    def __init__(self, classes=21):
        super().__init__()
        self.vgg = backbone()
        self.branches = nn.ModuleList(VggBranch(rate, classes) for rate in RATES)

    def forward(self, x):
        x = self.vgg(x)[-1]
        first, *others = [branch(x) for branch in self.branches]
        for other in others:
            first = first + other
        return first


class DeepLabV2ResNet(nn.Module):
    def __init__(self, classes=21):
        super().__init__()
        self.resnet = ResNet(101, output_stride=8)
        channels = self.resnet.deep_channels
        self.branches = nn.ModuleList(
            Conv(channels, classes, 3, dilation=rate, relu=False) for rate in RATES
        )

    def scores(self, x):
        x = self.resnet(x)[1]
        first, *others = [branch(x) for branch in self.branches]
        for other in others:
            first = first + other
        return first

    def forward(self, x):
        y = self.scores(x)
        for scale in SCALES:
            y = biggest(y, upsample(self.scores(scaled(x, scale)), y.shape[2:]))
        return y
