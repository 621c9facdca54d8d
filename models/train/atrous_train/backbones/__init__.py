"""Backbones: networks that turn a picture into features at strides 4 and 16.

`forward` returns `(low, deep)`; `low_channels` and `deep_channels` are their widths, `early(n)`
the stem and the first `n` blocks (for freezing).
"""

from __future__ import annotations

from .mobilenet_v2 import MobileNetV2
from .mobilenet_v3 import MobileNetV3
from .xception import XceptionLite

BACKBONES = {
    "mobilenet-v2": MobileNetV2,
    "mobilenet-v2-0.5": lambda: MobileNetV2(0.5),
    "mobilenet-v3-large": lambda: MobileNetV3("large"),
    "mobilenet-v3-small": lambda: MobileNetV3("small"),
    "xception-lite": XceptionLite,
}


def backbone(name):
    """A new backbone by its name in `BACKBONES`."""
    if name not in BACKBONES:
        raise SystemExit(f"no backbone {name!r}; there are {', '.join(BACKBONES)}")
    return BACKBONES[name]()
