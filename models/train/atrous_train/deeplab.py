"""DeepLab v3+: atrous spatial pyramid pooling and a decoder on any backbone.

The network takes NCHW float pictures in [-1, 1] and returns logits at the decoder's stride (4).
"""

from __future__ import annotations

import torch
from torch import fx, nn

from .backbones import backbone
from .layers import ConvNorm, GlobalMean, Scorer, Separable, upsample

ASPP_RATES = (6, 12, 18)
STRIDE = 4

fx.wrap("upsample")  # one node of a traced graph


class DeepLab(Scorer):
    """`head` channels in pyramid and decoder, `low` of them from the features at stride 4.

    The backbone is one of `backbones` by name, or what a function makes.
    """

    def __init__(self, backbone_name, classes, head=256, low=48, dropout=0.1):
        super().__init__()
        self.backbone = backbone_name() if callable(backbone_name) else backbone(backbone_name)
        channels = self.backbone.deep_channels
        self.mean = GlobalMean()
        self.pool = ConvNorm(channels, head)
        self.aspp0 = ConvNorm(channels, head)
        self.aspp = nn.ModuleList(Separable(channels, head, dilation=rate) for rate in ASPP_RATES)
        self.project = ConvNorm(head * (2 + len(ASPP_RATES)), head)
        self.dropout = nn.Dropout(dropout)
        self.low = ConvNorm(self.backbone.low_channels, low)
        self.decoder = nn.ModuleList((Separable(head + low, head), Separable(head, head)))
        self.classifier = nn.Conv2d(head, classes, 1)

    def features(self, x):
        low, x = self.backbone(x)
        pooled = upsample(self.pool(self.mean(x)), x.shape[2:])
        x = torch.cat([self.aspp0(x), *[branch(x) for branch in self.aspp], pooled], 1)
        x = self.dropout(self.project(x))
        x = torch.cat([upsample(x, low.shape[2:]), self.low(low)], 1)
        for block in self.decoder:
            x = block(x)
        return [x]
