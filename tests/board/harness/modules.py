"""Kernel modules and the order to load them in, read from the modules themselves."""

from __future__ import annotations

import lzma
from pathlib import Path

from . import Problem


class Modules:
    """The modules of one kernel."""

    def __init__(self, folder: Path):
        self.files = {name_of(path): path for path in folder.rglob("*.ko*")}
        built_in = folder / "modules.builtin"
        self.built_in = {name_of(Path(line)) for line in built_in.read_text().split()}

    def order(self, name: str) -> list[Path]:
        """`name` and what it depends on, dependencies first; nothing for one that is built in."""
        ordered: list[Path] = []
        self._visit(name.replace("-", "_"), ordered)
        return ordered

    def _visit(self, name: str, ordered: list[Path]) -> None:
        if name in self.built_in:
            return
        path = self.files.get(name)
        if path is None:
            raise Problem(f"the kernel has no module {name}")
        if path in ordered:
            return
        for other in depends(path):
            self._visit(other, ordered)
        ordered.append(path)


def name_of(path: Path) -> str:
    """Module names have underscores where file names may have hyphens."""
    return path.name.split(".ko")[0].replace("-", "_")


def content(path: Path) -> bytes:
    """A module, unpacked: later releases pack them with xz."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def depends(path: Path) -> list[str]:
    """What the `depends` entry of .modinfo lists."""
    data = content(path)
    start = data.find(b"\0depends=")
    if start < 0:
        return []
    start += len(b"\0depends=")
    names = data[start:data.index(b"\0", start)].decode()
    return [name.replace("-", "_") for name in names.split(",") if name]
