"""ResNet-50 and -101 (He et al., 2016) with atrous blocks, as DeepLab v2 and v3 take them.

The stride stands in the 3x3 convolution, as in torchvision.
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from ..layers import ConvNorm
from .layers import Pool

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the input added."""

    def __init__(self, inputs, width, stride, dilation):
        super().__init__()
        outputs = width * EXPANSION
        self.reduce = ConvNorm(inputs, width)
        self.conv = ConvNorm(width, width, 3, stride, dilation)
        self.expand = ConvNorm(width, outputs, activation=None)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else ConvNorm(inputs, outputs, stride=stride, activation=None)

    def forward(self, x):
        y = self.expand(self.conv(self.reduce(x)))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """Stem and four stages; `forward` gives `(low, deep)`, the former at stride 4.

    Past the stage at `output_stride` the blocks dilate instead of striding. `grid` multiplies the
    rates of the last stage's blocks (v3's multi-grid); `cascade` adds so many more copies of that
    stage, each at twice the rate of the one before.
    """

    def __init__(self, depth, output_stride=16, grid=(1, 1, 1), cascade=0):
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 64, 7, 2), Pool(3, 2, 1))
        blocks, channels, stride, rate = [], 64, 4, 1
        counts = BLOCKS[depth] + (3,) * cascade
        widths = WIDTHS + (WIDTHS[-1],) * cascade
        for stage, (count, width) in enumerate(zip(counts, widths)):
            first_stride = 1
            if stage > 0:
                if stride < output_stride:
                    first_stride, stride = 2, stride * 2
                else:
                    rate *= 2
            for i in range(count):
                multiplied = rate * (grid[i] if stage >= 3 else 1)
                step = first_stride if i == 0 else 1
                # A block that strides looks at neighbours, not beyond them.
                blocks.append(Bottleneck(channels, width, step, 1 if step == 2 else multiplied))
                channels = width * EXPANSION
        self.blocks = nn.ModuleList(blocks)
        self.low_block = BLOCKS[depth][0] - 1
        self.low_channels, self.deep_channels = WIDTHS[0] * EXPANSION, channels

    def forward(self, x):
        x = self.stem(x)
        low = None
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.low_block:
                low = x
        return low, x
