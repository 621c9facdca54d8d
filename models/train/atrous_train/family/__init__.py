"""DeepLab's ancestors, its versions and its cousins, as published, with weights drawn from a seed.

They show that a network runs and how fast, not what it would see: nothing here is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..deeplab import DeepLab
from .deeplab_v1 import DeepLabV1
from .deeplab_v2 import DeepLabV2ResNet, DeepLabV2Vgg
from .deeplab_v3 import DeepLabV3
from .edgetpu import EdgeTpu
from .fcn import Fcn
from .resnet import ResNet
from .unet import UNet
from .xception65 import Xception65

CLASSES = 21


@dataclass(frozen=True)
class Member:
    """A network, how large its input is where nobody says, and its name for people."""

    title: str
    build: Callable
    size: tuple = (321, 321)  # width, height
    classes: int = CLASSES


def plus(backbone):
    """DeepLab v3+ on a backbone: a name of `..backbones`, or a function that makes one."""
    return lambda: DeepLab(backbone, CLASSES)


MEMBERS = {
    "fcn-32s": Member("FCN-32s, VGG-16", lambda: Fcn(32)),
    "fcn-16s": Member("FCN-16s, VGG-16", lambda: Fcn(16)),
    "fcn-8s": Member("FCN-8s, VGG-16", lambda: Fcn(8)),
    "unet": Member("U-Net, as published", lambda: UNet(), (572, 572), 2),
    "unet-any-size": Member("U-Net, padded, odd size", lambda: UNet(any_size=True), (321, 241), 2),
    "deeplab-v1": Member("DeepLab v1, VGG-16 LargeFOV", DeepLabV1),
    "deeplab-v2-vgg": Member("DeepLab v2, VGG-16 ASPP", DeepLabV2Vgg),
    "deeplab-v2-resnet-101": Member("DeepLab v2, ResNet-101, three scales", DeepLabV2ResNet),
    "deeplab-v3-resnet-50": Member("DeepLab v3, ResNet-50, stride 16", DeepLabV3),
    "deeplab-v3-resnet-50-os8": Member("DeepLab v3, ResNet-50, stride 8", lambda: DeepLabV3(50, 8)),
    "deeplab-v3-resnet-101": Member("DeepLab v3, ResNet-101, stride 16", lambda: DeepLabV3(101)),
    "deeplab-v3-resnet-101-os8": Member("DeepLab v3, ResNet-101, stride 8", lambda: DeepLabV3(101, 8)),
    "deeplab-v3-cascade": Member("DeepLab v3, ResNet-50, cascade", lambda: DeepLabV3(50, cascade=True)),
    "deeplab-v3plus-xception-65": Member("DeepLab v3+, Xception-65", plus(Xception65)),
    "deeplab-v3plus-xception-lite": Member("DeepLab v3+, Xception-lite", plus("xception-lite")),
    "deeplab-v3plus-resnet-50": Member("DeepLab v3+, ResNet-50", plus(lambda: ResNet(50))),
    "deeplab-v3plus-mobilenet-v2": Member("DeepLab v3+, MobileNetV2 1.0", plus("mobilenet-v2")),
    "deeplab-v3plus-mobilenet-v2-0.5": Member("DeepLab v3+, MobileNetV2 0.5", plus("mobilenet-v2-0.5")),
    "deeplab-v3plus-mobilenet-v3-large": Member("DeepLab v3+, MobileNetV3 large", plus("mobilenet-v3-large")),
    "deeplab-v3plus-mobilenet-v3-small": Member("DeepLab v3+, MobileNetV3 small", plus("mobilenet-v3-small")),
    "deeplab-v3plus-edgetpu": Member("DeepLab v3+, EdgeTPU-like", plus(EdgeTpu)),
}
