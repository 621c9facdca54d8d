"""What the guest finds when it wakes up: programs, libraries, modules, cases."""

from __future__ import annotations

from pathlib import Path

from . import Problem
from .initramfs import Archive
from .machine import Kind
from .modules import Modules, content
from .packages import Board

LIBRARIES = ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1")
SYSROOTS = (Path("/usr/aarch64-linux-gnu/lib"), Path("/lib/aarch64-linux-gnu"))
"""Where the C library is that the program was linked with: cross packages, or an ARM machine."""

ON_DEMAND = ("vivid",)
"""Modules that cases load themselves, with parameters of their choice."""


def build(target: Path, kind: Kind, board: Board, files: dict[str, Path], here: Path, then: str) -> None:
    """Writes the guest's file system; `files` go to /suite by their name."""
    archive = Archive()
    for folder in ("dev", "proc", "sys", "tmp", "mnt", "run", "etc"):
        archive.folder(folder)
    archive.add("bin/busybox", board.busybox.read_bytes(), executable=True)
    archive.add("init", (here / "guest/init").read_bytes(), executable=True)
    archive.add("etc/passwd", "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")
    archive.add("etc/group", "root:x:0:\nvideo:x:44:\ngpio:x:986:\nuser:x:1000:\n")
    for name in LIBRARIES:
        found = next((root / name for root in SYSROOTS if (root / name).is_file()), None)
        if found is None:
            raise Problem(f"no {name} for arm64; Debian has it in libc6-dev-arm64-cross")
        archive.add(f"lib/{name}", found.read_bytes(), executable=True)

    modules = Modules(board.modules)
    wanted: dict[str, Path] = {}
    boot: list[str] = []
    for name in kind.modules:
        for path in modules.order(name):
            module = path.name.split(".ko")[0].replace("-", "_")
            wanted[module] = path
            boot += [module] if module not in boot else []
    for name in ON_DEMAND + (("virtio_gpu",) if kind.shares else ()):
        order = {path.name.split(".ko")[0].replace("-", "_"): path for path in modules.order(name)}
        wanted |= order
        archive.add(f"modules/{name}.order", "".join(f"{part}\n" for part in order))
    for module, path in wanted.items():
        archive.add(f"modules/{module}.ko", content(path))

    archive.add("suite/boot", f"console=/dev/{kind.console}\nshares={int(kind.shares)}\n"
                              f"boot_modules='{' '.join(boot)}'\nthen={then}\n")
    archive.add("suite/lib.sh", (here / "guest/lib.sh").read_bytes())
    for case in sorted((here / "cases").glob("*.sh")):
        archive.add(f"suite/cases/{case.name}", case.read_bytes())
    for name, path in files.items():
        archive.add(f"suite/{name}", path.read_bytes(), executable=True)
    archive.write(target)
