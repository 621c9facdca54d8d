"""Fully convolutional networks on VGG-16 (Long, Shelhamer and Darrell, 2015): 32s, 16s and 8s.

As published: the first convolution pads by 100 so that any size has a result, scores are upsampled
by transposed convolutions, and what is too large is cropped at the published offsets.
"""

from __future__ import annotations

from torch import fx

from ..layers import Scorer
from .layers import Conv, Up, crop
from .vgg import Vgg16

fx.wrap("crop")  # one node of a traced graph


class Fcn(Scorer):
    """`stride` 32, 16 or 8: how fine the features are that scores are made from."""

    def __init__(self, stride, classes=21):
        super().__init__()
        self.stride = stride
        self.vgg = Vgg16(first_padding=100, ceil=True)
        self.fc6 = Conv(512, 4096, 7, padding=0)
        self.fc7 = Conv(4096, 4096, 1)
        self.score = Conv(4096, classes, 1, relu=False)
        self.score4 = Conv(512, classes, 1, relu=False) if stride <= 16 else None
        self.score3 = Conv(256, classes, 1, relu=False) if stride == 8 else None
        self.up5 = Up(classes, classes, 4, 2, bilinear=True) if stride <= 16 else None
        self.up4 = Up(classes, classes, 4, 2, bilinear=True) if stride == 8 else None
        self.last = Up(classes, classes, 2 * stride, stride, bilinear=True)

    def heads(self):
        return [score for score in (self.score, self.score4, self.score3) if score is not None]

    def features(self, x):
        _, _, pool3, pool4, pool5 = self.vgg(x)
        return [self.fc7(self.fc6(pool5)), pool4, pool3][: len(self.heads())]

    def head(self, features, size):
        y = self.score(features[0])
        if self.stride <= 16:
            y = self.up5(y)
            y = y + crop(self.score4(features[1]), y.shape[2:], 5, 5)
        if self.stride == 8:
            y = self.up4(y)
            y = y + crop(self.score3(features[2]), y.shape[2:], 9, 9)
        offset = {32: 19, 16: 27, 8: 31}[self.stride]
        return crop(self.last(y), size, offset, offset)
