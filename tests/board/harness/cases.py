"""The cases: shell scripts for the guest, some with a Python file of the same name for the host.

A case's first comment lines say what it shows.  `# machine: raspi3b` puts it on another machine than
virt, `# seconds: 90` gives it more time than a minute.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from . import Problem

SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One case."""

    name: str
    title: str
    machine: str
    seconds: int
    host: ModuleType | None
    """Functions that the guest can call by `outside check FUNCTION ARGUMENTS`."""


def find(folder: Path, wanted: list[str]) -> list[Case]:
    """All cases, or those whose name has one of the given words in it."""
    cases = [read(path) for path in sorted(folder.glob("*.sh"))]
    for word in wanted:
        if not any(word in case.name for case in cases):
            raise Problem(f"no case has '{word}' in its name; there are "
                          + ", ".join(case.name for case in cases))
    return [c for c in cases if not wanted or any(word in c.name for word in wanted)]


def read(path: Path) -> Case:
    head = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    if not head:
        raise Problem(f"{path.name} does not say in its first line what it shows")
    settings = dict(re.findall(r"^(machine|seconds): (\S+)$", "\n".join(head), re.MULTILINE))
    host = path.with_suffix(".py")
    module = None
    if host.is_file():
        spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), host)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return Case(path.stem, head[0], settings.get("machine", "virt"),
                int(settings.get("seconds", SECONDS)), module)
