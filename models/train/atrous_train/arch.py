"""DeepLab v3+ with a MobileNetV2 backbone, sized for small processors.

The network takes NCHW float pictures in [-1, 1] and returns logits at the
decoder's stride (4).  All resizing is bilinear with aligned corners, so odd
input sizes (4n + 1 or 16n + 1) keep pixel centres on the grid.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

INPUT_WIDTH = 481
INPUT_HEIGHT = 361
CLASSES = 11

# (expansion, output channels, repeats, stride of the first, dilations)
BACKBONE = (
    (1, 16, 1, 1, (1,)),
    (6, 24, 2, 2, (1, 1)),
    (6, 32, 3, 2, (1, 1, 1)),
    (6, 64, 4, 2, (1, 1, 1, 1)),
    (6, 96, 3, 1, (1, 1, 1)),
    (6, 160, 3, 1, (1, 2, 2)),
    (6, 320, 1, 1, (2,)),
)
LOW_LEVEL_BLOCK = 2  # the last block at stride 4, 24 channels
ASPP_RATES = (6, 12, 18)
HEAD = 256


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, then 'relu6', 'relu' or nothing."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1, groups=1, activation="relu"):
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation

    def convolve(self, x):
        """The convolution; a dilated depthwise one always in float32.

        PyTorch 2.15 reads uninitialised memory in the bfloat16 gradient of its kernel on x86
        processors: wrong by a little most times, by 1e35 at others.
        """
        if self.conv.groups > 1 and self.conv.dilation[0] > 1:
            with torch.autocast(x.device.type, enabled=False):
                return self.conv(x.float())
        return self.conv(x)

    def forward(self, x):
        x = self.norm(self.convolve(x))
        if self.activation == "relu6":
            return F.relu6(x)
        if self.activation == "relu":
            return F.relu(x)
        return x


def depthwise(channels, dilation=1):
    """A 3x3 depthwise ConvNorm with ReLU, as the head uses it."""
    return ConvNorm(channels, channels, 3, dilation=dilation, groups=channels)


class Separable(nn.Module):
    """3x3 depthwise then 1x1, each with batch norm and ReLU."""

    def __init__(self, inputs, outputs, dilation=1):
        super().__init__()
        self.depthwise = depthwise(inputs, dilation)
        self.pointwise = ConvNorm(inputs, outputs)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, project, optionally add the input."""

    def __init__(self, inputs, outputs, stride, expansion, dilation):
        super().__init__()
        hidden = inputs * expansion
        self.expand = None if expansion == 1 else ConvNorm(inputs, hidden, activation="relu6")
        self.depthwise = ConvNorm(
            hidden, hidden, 3, stride, dilation, groups=hidden, activation="relu6"
        )
        self.project = ConvNorm(hidden, outputs, activation=None)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class RoadNet(nn.Module):
    """The whole network; see the module's documentation."""

    def __init__(self, classes=CLASSES, dropout=0.1):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2, activation="relu6")
        blocks, channels = [], 32
        for expansion, outputs, repeats, first_stride, dilations in BACKBONE:
            for i in range(repeats):
                stride = first_stride if i == 0 else 1
                blocks.append(InvertedResidual(channels, outputs, stride, expansion, dilations[i]))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.pool = ConvNorm(channels, HEAD)
        self.aspp0 = ConvNorm(channels, HEAD)
        self.aspp = nn.ModuleList(Separable(channels, HEAD, rate) for rate in ASPP_RATES)
        self.project = ConvNorm(HEAD * (2 + len(ASPP_RATES)), HEAD)
        self.dropout = nn.Dropout(dropout)
        self.low = ConvNorm(24, 48)
        self.decoder = nn.ModuleList((Separable(HEAD + 48, HEAD), Separable(HEAD, HEAD)))
        self.classifier = nn.Conv2d(HEAD, classes, 1)

    def pretrained_part(self):
        """The modules which start from published weights."""
        return (self.stem, self.blocks, self.pool, self.aspp0)

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == LOW_LEVEL_BLOCK:
                low = x
        pooled = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        x = torch.cat([self.aspp0(x), *(branch(x) for branch in self.aspp), pooled], 1)
        x = self.dropout(self.project(x))
        x = upsample(x, low.shape[2:])
        x = torch.cat([x, self.low(low)], 1)
        for block in self.decoder:
            x = block(x)
        return self.classifier(x)


def upsample(x, size):
    """Bilinear resize with aligned corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
