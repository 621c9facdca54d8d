"""VGG-16 without its classifier (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

from torch import nn

from .layers import Conv, Pool

# Channels of each convolution, stage by stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg16(nn.Module):
    """The five stages; `forward` gives what follows each pool.

    `pools` are (kernel, stride, padding) after each stage, `dilations` each stage's; `first_padding`
    is that of the first convolution.
    """

    def __init__(self, pools=((2, 2, 0),) * 5, dilations=(1,) * 5, first_padding=1, ceil=False):
        super().__init__()
        stages, channels = [], 3
        for index, (widths, pool, dilation) in enumerate(zip(STAGES, pools, dilations)):
            layers = []
            for width in widths:
                first = index == 0 and not layers
                padding = first_padding if first else dilation
                layers.append(Conv(channels, width, dilation=dilation, padding=padding))
                channels = width
            kernel, stride, padding = pool
            stages.append(nn.Sequential(*layers, Pool(kernel, stride, padding, ceil and padding == 0)))
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        results = []
        for stage in self.stages:
            x = stage(x)
            results.append(x)
        return results
