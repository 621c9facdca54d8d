"""Pictures as the harness needs them: PPM from QEMU in, PNG out and in, differences."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from . import Problem

CHANNELS = {0: 1, 2: 3}
"""PNG colour types: grey, RGB."""


@dataclass(frozen=True)
class Picture:
    """Rows from the top; `channels` bytes a pixel, without padding."""

    width: int
    height: int
    channels: int
    data: bytes

    def row(self, y: int) -> bytes:
        stride = self.width * self.channels
        return self.data[y * stride:(y + 1) * stride]


def read_ppm(path: Path) -> Picture:
    """A binary PPM of 8 bits, as `screendump` writes it."""
    magic, width, height, largest, data = path.read_bytes().split(maxsplit=4)
    if (magic, largest) != (b"P6", b"255"):
        raise Problem(f"{path.name} is not an 8-bit PPM")
    # One byte of white space ends the head, and the first pixel may look like more of it.
    length = int(width) * int(height) * 3
    return Picture(int(width), int(height), 3, path.read_bytes()[-length:])


def write_png(path: Path, picture: Picture) -> None:
    kinds = {channels: kind for kind, channels in CHANNELS.items()}
    raw = b"".join(b"\0" + picture.row(y) for y in range(picture.height))
    head = struct.pack(">IIBBBBB", picture.width, picture.height, 8, kinds[picture.channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 6)), (b"IEND", b""))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in parts:
            check = zlib.crc32(name + data)
            file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", check))


def read_png(path: Path) -> Picture:
    """A PNG of 8 bits, grey or RGB, not interlaced: what atrous writes."""
    data = path.read_bytes()
    place, packed, head = 8, b"", None
    while place < len(data):
        (length,), name = struct.unpack(">I", data[place:place + 4]), data[place + 4:place + 8]
        body = data[place + 8:place + 8 + length]
        if name == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif name == b"IDAT":
            packed += body
        place += 12 + length
    if head is None or head[2] != 8 or head[3] not in CHANNELS or head[6] != 0:
        raise Problem(f"{path.name} is not a plain PNG of 8 bits")
    width, height, channels = head[0], head[1], CHANNELS[head[3]]
    return Picture(width, height, channels, unfilter(zlib.decompress(packed), width * channels, channels))


def unfilter(raw: bytes, stride: int, step: int) -> bytes:
    """Undoes the five filters of PNG, row by row."""
    rows, above = [], bytes(stride)
    for start in range(0, len(raw), stride + 1):
        kind, row = raw[start], bytearray(raw[start + 1:start + 1 + stride])
        if kind == 1:
            for i in range(step, stride):
                row[i] = (row[i] + row[i - step]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above))
        elif kind in (3, 4):
            for i in range(stride):
                left = row[i - step] if i >= step else 0
                corner = above[i - step] if i >= step else 0
                guess = (left + above[i]) // 2 if kind == 3 else paeth(left, above[i], corner)
                row[i] = (row[i] + guess) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return b"".join(rows)


def paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    far = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[far.index(min(far))]


def difference(one: Picture, other: Picture) -> float:
    """Mean absolute difference of the bytes, 0..=255."""
    if (one.width, one.height, one.channels) != (other.width, other.height, other.channels):
        raise Problem(f"pictures of {one.width}x{one.height} and {other.width}x{other.height}")
    return sum(abs(a - b) for a, b in zip(one.data, other.data)) / max(len(one.data), 1)


def agreement(one: Picture, other: Picture) -> float:
    """Share of the bytes that are the same."""
    if len(one.data) != len(other.data):
        raise Problem("pictures of two sizes")
    return sum(a == b for a, b in zip(one.data, other.data)) / max(len(one.data), 1)
