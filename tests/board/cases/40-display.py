"""Screendumps beside what they should show."""

import tempfile
from pathlib import Path

from harness.assets import call, one_file
from harness.picture import Picture, difference, read_png

OFF = 0.5
"""Mean difference in codes; the picture is shown at its own size, so nothing is lost."""


def same(_suite, kept, one, other):
    change = difference(read_png(kept / f"{one}.png"), read_png(kept / f"{other}.png"))
    assert change == 0.0, f"{other} differs from {one} by {change:.3f} codes on average"


def overlay(suite, kept, shown):
    screen = read_png(kept / f"{shown}.png")
    frame = one_file(kept / "camera")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        call([suite.assets.host, "run", frame, f"{out}/", "-m", suite.assets.guest["road.atrous"],
              "--visualize", "overlay", "--quiet"])
        wanted = read_png(one_file(out))
    assert screen.width >= wanted.width and screen.height > wanted.height, "the mode is too small"
    left = (screen.width - wanted.width) // 2
    offs = {}
    for top in range(screen.height - wanted.height + 1):
        # A few rows tell the place; all of them are compared there.
        rows = range(0, wanted.height, 48)
        offs[top] = sum(difference(part(screen, left, top + y, wanted.width, 1),
                                   part(wanted, 0, y, wanted.width, 1)) for y in rows)
    top = min(offs, key=offs.get)
    change = difference(part(screen, left, top, wanted.width, wanted.height), wanted)
    assert change <= OFF, f"at best ({left}, {top}) the overlay is {change:.2f} codes off"
    below = part(screen, 0, top + wanted.height, screen.width, screen.height - top - wanted.height)
    lit = sum(value > 128 for value in below.data)
    assert lit > 300, "no line of text below the picture"
    return f"overlay {change:.2f} codes off at ({left}, {top}) of {screen.width}x{screen.height}"


def part(picture, left, top, width, height):
    rows = (picture.row(y)[left * 3:(left + width) * 3] for y in range(top, top + height))
    return Picture(width, height, 3, b"".join(rows))
