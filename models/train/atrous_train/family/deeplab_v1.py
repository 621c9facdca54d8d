"""DeepLab v1 (Chen et al., 2015): VGG-16 with LargeFOV, features at stride 8."""

from __future__ import annotations

from torch import nn

from ..layers import Scorer
from .layers import Conv
from .vgg import Vgg16

# Pools of 3x3; the last two do not stride, and the last stage dilates in their place.
POOLS = ((3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1))
DILATIONS = (1, 1, 1, 1, 2)


def backbone():
    return Vgg16(POOLS, DILATIONS)


class DeepLabV1(Scorer):
    """One 3x3 convolution with rate 12 sees a field of 224 pixels (LargeFOV)."""

    def __init__(self, classes=21):
        super().__init__()
        self.vgg = backbone()
        self.fc6 = Conv(512, 1024, 3, dilation=12)
        self.fc7 = Conv(1024, 1024, 1)
        self.classifier = nn.Conv2d(1024, classes, 1)

    def features(self, x):
        return [self.fc7(self.fc6(self.vgg(x)[-1]))]
