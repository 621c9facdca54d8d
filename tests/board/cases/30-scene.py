"""The guest's picture and mask, beside what was shown and what this machine makes of it."""

import tempfile
from pathlib import Path

from harness.assets import pixel_accuracy
from harness.picture import agreement, difference, read_png

COLOUR = 3.0
"""Codes by which a picture may differ on average after the way through YUYV."""
ACCURACY = 0.75
"""Share of right pixels: the small model has 0.89 on drawn scenes of the shape it was trained with,
these are wider."""


def same_mask(suite, kept, scene):
    shown = suite.assets.folder / f"{scene}.png"
    frame, index = (sorted((kept / scene).glob(f"*_{what}.png"))[-1] for what in ("frame", "index"))
    change = difference(read_png(frame), read_png(shown))
    assert change < COLOUR, f"the picture differs from the scene by {change:.2f} codes on average"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        here = suite.assets.label_picture(frame, work / "out")
        same = agreement(read_png(index), read_png(here))
        assert same == 1.0, f"{100 * (1 - same):.3f} % of the mask are not the host's"
        truth = suite.assets.folder / f"{scene}-truth.png"
        right = pixel_accuracy(suite.assets.host, suite.assets.guest["road.atrous"], frame, truth, work)
    assert right >= ACCURACY, f"only {right:.3f} of the pixels are right"
    return f"{scene}: {change:.2f} codes off, mask equal, {100 * right:.1f} % right"
