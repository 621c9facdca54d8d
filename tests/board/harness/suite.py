"""Runs cases in a machine: tells the guest which, answers its questions, collects what came out.

The console carries lines both ways.  The guest says `@ready`, `@ask CASE VERB ARGUMENTS` and
`@result CASE CODE NOTES`, and shows lines with `| ` before them; the host says `case NAME SECONDS` and
answers questions with `CODE WORDS`.  Verbs, for `outside` in a case:

    mark               forget the edges so far
    level LINE         the level that the world outside sees: 0 or 1
    edges LINE         edges since the mark: their number, then SECONDS:LEVEL for each
    clock              seconds since the mark
    shuffle WORDS      the words in a random order
    screendump NAME    what the monitor shows, as kept/CASE/NAME.png
    key                the power key: an edge on the machine's input line
    check FUNCTION …   a function of the case's Python file; it raises AssertionError or says a note
"""

from __future__ import annotations

import random
import shlex
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from . import Problem
from .assets import Assets
from .cases import Case
from .machine import Edge, Machine
from .picture import read_ppm, write_png

BOOT_SECONDS = 120
GRACE = 30
"""Seconds that a case may take longer than it says, for its tidying up."""


@dataclass
class Outcome:
    """How a case went."""

    case: Case
    verdict: str
    """passed, FAILED or skipped."""
    seconds: float
    notes: str
    lines: list[str] = field(default_factory=list)
    """The end of its log, where it failed."""


class Suite:
    """A machine with the guest's side running in it."""

    def __init__(self, machine: Machine, assets: Assets, kept: Path, seed: int):
        self.machine, self.assets, self.kept = machine, assets, kept
        self.random = random.Random(seed)
        self.marked, self.since = 0, time.monotonic()

    def boot(self) -> str:
        """Waits for the guest; says what it said."""
        limit = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < limit:
            line = self.next_line(limit)
            if line.startswith("@ready "):
                return line[7:]
            if line.startswith("@broken "):
                raise Problem(line[8:])
        raise Problem(f"the guest was not up within {BOOT_SECONDS} s")

    def next_line(self, limit: float) -> str:
        try:
            line = self.machine.read(max(limit - time.monotonic(), 0.01))
        except TimeoutError:
            return ""
        if line is None:
            raise Problem("the machine went off")
        return line

    def run(self, case: Case) -> Outcome:
        """One case, from its start to its result."""
        started, lines = time.monotonic(), []
        self.mark()
        self.machine.send(f"case {case.name} {case.seconds}")
        limit = started + case.seconds + GRACE
        while time.monotonic() < limit:
            line = self.next_line(limit)
            if line.startswith("@ask "):
                _, name, *words = shlex.split(line)
                self.machine.send(self.answer(case, words))
            elif line.startswith(f"@result {case.name} "):
                _, _, code, *notes = line.split(maxsplit=3)
                verdict = {"0": "passed", "77": "skipped"}.get(code, "FAILED")
                if code in ("124", "137", "143"):
                    lines.append(f"it took longer than its {case.seconds} s")
                return Outcome(case, verdict, time.monotonic() - started,
                               (notes[0] if notes else "").strip(";"), lines)
            elif line.startswith("| "):
                lines.append(line[2:])
        raise Problem(f"the guest hangs in {case.name}")

    def mark(self) -> None:
        self.marked, self.since = len(self.machine.edges), time.monotonic()

    def edges(self, line: int) -> list[Edge]:
        """Edges of a line since the mark, their time counted from there."""
        return [Edge(e.time - self.since, e.line, e.level)
                for e in self.machine.edges[self.marked:] if e.line == line]

    def answer(self, case: Case, words: list[str]) -> str:
        try:
            return f"0 {self.act(case, *words)}".replace("\n", "; ")
        except Exception as error:  # a case's own code: whatever it is, the case has failed
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            return f"1 {name}: {error}".replace("\n", "; ")

    def act(self, case: Case, verb: str, *words: str) -> str:
        if verb == "mark":
            self.mark()
            return ""
        if verb == "clock":
            return f"{time.monotonic() - self.since:.3f}"
        if verb == "level":
            levels = [e.level for e in self.machine.edges if e.line == int(words[0])]
            return str(levels[-1] if levels else 0)
        if verb == "edges":
            edges = self.edges(int(words[0]))
            return " ".join([str(len(edges)), *(f"{e.time:.3f}:{e.level}" for e in edges)])
        if verb == "shuffle":
            return " ".join(self.random.sample(words, len(words)))
        if verb == "key":
            self.machine.command("system_powerdown")
            return ""
        if verb == "screendump":
            return self.screendump(self.kept / case.name / words[0])
        if verb == "check":
            function = getattr(case.host, words[0], None)
            if function is None:
                raise Problem(f"{case.name}.py has no function {words[0]}")
            return function(self, self.kept / case.name, *words[1:]) or ""
        raise Problem(f"there is no verb {verb}")

    def screendump(self, path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = path.with_suffix(".ppm")
        self.machine.command("screendump", filename=str(raw))
        picture = read_ppm(raw)
        raw.unlink()
        write_png(path.with_suffix(".png"), picture)
        return f"{picture.width}x{picture.height}"
