"""DeepLab v3 (Chen et al., 2017): a pyramid with batch norm and image pooling, or a cascade."""

from __future__ import annotations

import torch
from torch import fx, nn

from ..layers import ConvNorm, GlobalMean, Scorer, upsample
from .resnet import ResNet

fx.wrap("upsample")  # one node of a traced graph

RATES = (6, 12, 18)  # at output stride 16, doubled at 8
GRID = (1, 2, 4)


class DeepLabV3(Scorer):
    """With `cascade` blocks 5 to 7 follow the fourth instead of the pyramid."""

    def __init__(self, depth=50, output_stride=16, cascade=False, classes=21, head=256):
        super().__init__()
        self.resnet = ResNet(depth, output_stride, GRID, cascade=3 if cascade else 0)
        channels = self.resnet.deep_channels
        self.cascade = cascade
        if not cascade:
            rates = [rate * 16 // output_stride for rate in RATES]
            self.mean = GlobalMean()
            self.pool = ConvNorm(channels, head)
            self.aspp0 = ConvNorm(channels, head)
            self.aspp = nn.ModuleList(ConvNorm(channels, head, 3, dilation=rate) for rate in rates)
            self.project = ConvNorm(head * (2 + len(rates)), head)
            channels = head
        self.classifier = nn.Conv2d(channels, classes, 1)

    def features(self, x):
        x = self.resnet(x)[1]
        if not self.cascade:
            pooled = upsample(self.pool(self.mean(x)), x.shape[2:])
            x = torch.cat([self.aspp0(x), *[branch(x) for branch in self.aspp], pooled], 1)
            x = self.project(x)
        return [x]
