"""DeepLab v2 (Chen et al., 2016): pyramids of atrous convolutions, summed; with ResNet-101 on
three scales of the picture, of which the largest score wins."""

from __future__ import annotations

from torch import fx, nn

from ..layers import Scorer, upsample
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
    """Features of one rate, fc6 and fc7, and fc8, which makes scores of them."""

    def __init__(self, rate, classes):
        super().__init__()
        self.fc6 = Conv(512, 1024, 3, dilation=rate)
        self.fc7 = Conv(1024, 1024, 1)
        self.fc8 = nn.Conv2d(1024, classes, 1)

    def forward(self, x):
        return self.fc7(self.fc6(x))


class DeepLabV2Vgg(Scorer):
    def __init__(self, classes=21):
        super().__init__()
        self.vgg = backbone()
        self.branches = nn.ModuleList(VggBranch(rate, classes) for rate in RATES)

    def heads(self):
        return [branch.fc8 for branch in self.branches]

    def features(self, x):
        x = self.vgg(x)[-1]
        return [branch(x) for branch in self.branches]


class DeepLabV2ResNet(Scorer):
    def __init__(self, classes=21):
        super().__init__()
        self.resnet = ResNet(101, output_stride=8)
        channels = self.resnet.deep_channels
        self.branches = nn.ModuleList(
            Conv(channels, classes, 3, dilation=rate, relu=False) for rate in RATES
        )

    def heads(self):
        return self.branches

    def features(self, x):
        return [self.resnet(x)[1]] * len(RATES)

    def forward(self, x):
        y = super().forward(x)
        for scale in SCALES:
            smaller = super().forward(scaled(x, scale))
            y = biggest(y, upsample(smaller, y.shape[2:]))
        return y
