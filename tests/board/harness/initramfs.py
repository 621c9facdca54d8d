"""A first root file system: a cpio archive (format newc) of files that are made here."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path


class Archive:
    """Files to be, by their path without the leading slash."""

    def __init__(self):
        self.entries: dict[str, tuple[int, bytes]] = {}

    def folder(self, path: str) -> None:
        """A folder and those it is in."""
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:end]), (stat.S_IFDIR | 0o755, b""))

    def add(self, path: str, data: bytes | str, executable: bool = False) -> None:
        if "/" in path:
            self.folder(path.rsplit("/", 1)[0])
        content = data.encode() if isinstance(data, str) else data
        self.entries[path] = (stat.S_IFREG | (0o755 if executable else 0o644), content)

    def write(self, path: Path) -> None:
        """Packed lightly: unpacking is emulated."""
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number, (name, (mode, data)) in enumerate(self.entries.items(), 1):
                file.write(entry(number, name, mode, data))
            file.write(entry(0, "TRAILER!!!", 0, b""))


def entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One file: 13 fields of 8 hexadecimal digits, the name, the content, each padded to 4."""
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return pad(head) + pad(data)


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
