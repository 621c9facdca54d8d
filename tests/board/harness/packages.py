"""The kernel and the shell of the board: Debian packages, fetched once and unpacked.

Names are resolved when they are fetched: a security update replaces the package of a kernel, and
its version is part of the name.  apt works on lists of its own, so that the machine's dpkg learns
no second architecture.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from . import Problem

META, SHELL = "linux-image-arm64", "busybox-static"
TOOLS = {"qemu-system-aarch64": "qemu-system-arm", "dpkg-deb": "dpkg", "apt-get": "apt"}


class Board:
    """Where the unpacked parts are."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        kernels = sorted((self.root / "boot").glob("vmlinuz-*"))
        self.kernel = kernels[-1] if kernels else None
        self.version = self.kernel.name.removeprefix("vmlinuz-") if self.kernel else None
        self.busybox = next((p for p in (self.root / "bin/busybox", self.root / "usr/bin/busybox")
                             if p.is_file()), None)

    @property
    def complete(self) -> bool:
        return self.kernel is not None and self.busybox is not None

    @property
    def modules(self) -> Path:
        return next(p for p in (self.root / "lib/modules" / self.version,
                                self.root / "usr/lib/modules" / self.version) if p.is_dir())

    def device_tree(self, name: str) -> Path:
        return self.root / "usr/lib" / f"linux-image-{self.version}" / name


def missing_tools() -> list[str]:
    """Debian packages of the programs that are not here."""
    return sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})


def fetch(folder: Path, refresh: bool, say) -> Board:
    """The unpacked kernel and shell, from the cache if they are there."""
    board = Board(folder)
    if board.complete and not refresh:
        return board
    shutil.rmtree(folder, ignore_errors=True)
    lists, debs = folder / "apt", folder / "debs"
    for place in (lists / "state/lists/partial", lists / "cache/archives/partial", debs):
        place.mkdir(parents=True)
    apt = ["-qq", "-o", f"Dir::State={lists / 'state'}", "-o", f"Dir::Cache={lists / 'cache'}",
           "-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User=root",
           "-o", "APT::Architectures::=arm64"]
    own = run(["dpkg", "--print-architecture"]).strip()
    apt += ["-o", f"APT::Architectures::={own}"]
    say("reading Debian's list of packages for arm64")
    run(["apt-get", *apt, "update"])
    listing = run(["apt-cache", *apt, "depends", f"{META}:arm64"])
    found = re.search(r"Depends: (linux-image-[^\s:]+)", listing)
    if not found:
        raise Problem(f"{META}:arm64 names no kernel; are the machine's apt sources Debian's?")
    wanted = [f"{found[1]}:arm64", f"{SHELL}:arm64"]
    say(f"fetching {' and '.join(wanted)}, some 60 MB")
    run(["apt-get", *apt, "download", *wanted], cwd=debs)
    unpacked = folder / "unpacking"
    for package in debs.glob("*.deb"):
        run(["dpkg-deb", "-x", str(package), str(unpacked)])
    shutil.rmtree(lists)
    shutil.rmtree(debs)
    # In place only when whole, so that an interrupted run is not taken for a cache.
    os.rename(unpacked, folder / "root")
    board = Board(folder)
    if not board.complete:
        raise Problem(f"the packages {' and '.join(wanted)} hold no kernel or no shell")
    return board


def run(command: list[str], cwd: Path | None = None) -> str:
    """Output of a command; its errors are the harness's."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise Problem(f"{' '.join(command)} failed:\n  " + "\n  ".join(words))
    return done.stdout
