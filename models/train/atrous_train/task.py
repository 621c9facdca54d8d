"""What is trained: a task's file (tasks/NAME.toml) as plain data."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields

from .deeplab import DeepLab

TASKS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tasks")


@dataclass(frozen=True)
class Network:
    backbone: str
    head: int = 256
    low: int = 48


@dataclass(frozen=True)
class Source:
    """A folder with `images/` and labels; `folder` is below the data, `scenes` below the run."""

    folder: str = ""
    scenes: str = ""
    name: str = ""  # of a held-out set, in curves
    prefix: str = ""  # only pictures whose name starts so
    kind: str = ""  # only pictures of this kind, see `data.kind_of`
    size: tuple = ()  # larger pictures are brought to this width and height when read
    per_batch: int = 1

    def path(self, data, run):
        return os.path.join(run, self.scenes) if self.scenes else os.path.join(data, self.folder)


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. Command-line options of the same names replace these."""

    steps: int = 4000
    minutes: float = 0.0  # 0: no limit but the steps
    optimizer: str = "adamw"  # or sgd
    rate_new: float = 1e-3  # learning rate of layers without start weights
    rate_old: float = 5e-4  # and of the others
    warmup: int = 40
    power: float = 0.9  # of the poly curve
    decay: float = 0.03
    clip: float = 5.0  # largest norm of the gradient
    weighted: bool = True  # cross entropy with class weights
    hardest: float = 0.0  # share of the pixels that count in the cross entropy; 0: all
    lovasz: float = 0.0  # share of the Lovasz loss
    ema: float = 0.997  # share of the old average in every step
    freeze: int = -1  # stem and this many blocks keep their weights; -1: none do
    norm_batches: int = 0  # from which the norms' statistics are taken anew at the end
    seed: int = 1


@dataclass(frozen=True)
class Augment:
    """What `augment.view` may do to a picture; see there."""

    crop: tuple
    scale: tuple = (0.5, 2.0)
    stretch: float = 0.08
    rotate: float = 4.0
    upside_down: bool = False
    gamma: tuple = (0.65, 1.6)
    brightness: float = 0.13
    middle: float = 0.45  # brightness that contrast leaves alone
    dusk: float = 0.1
    blur: float = 0.2
    noise: float = 0.25
    invert: float = 0.0
    fade: float = 0.06
    seek: float = 0.0  # share of the views that look at one of the `rare` classes
    rare: tuple = ()


@dataclass(frozen=True)
class Task:
    name: str
    version: str
    title: str
    licence: str
    licence_note: str
    provenance: str
    network: Network
    size: tuple  # width and height of the network's input
    labels: str  # folder of the labels beside images/
    void: int  # label that does not count; also what lies beside a picture
    sources: tuple
    held_out: tuple
    recipe: Recipe
    augment: Augment
    classes: tuple = field(default=())  # (name, colour)

    def new_network(self):
        net = self.network
        return DeepLab(net.backbone, len(self.classes), net.head, net.low)


def _filled(kind, table):
    """A dataclass from a table; lists become tuples, unknown keys are errors."""
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            raise SystemExit(f"unknown key {key!r} for {kind.__name__.lower()}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


def load_task(name):
    """The task of this name, or of this file."""
    path = name if name.endswith(".toml") else os.path.join(TASKS, f"{name}.toml")
    if not os.path.isfile(path):
        raise SystemExit(f"no task file {path}")
    with open(path, "rb") as file:
        table = tomllib.load(file)
    classes = tuple((c["name"], tuple(c["colour"])) for c in table["class"])
    return Task(
        **{key: table[key] for key in ("name", "version", "title", "licence", "licence_note", "provenance")},
        network=_filled(Network, table["network"]),
        size=(table["input"]["width"], table["input"]["height"]),
        labels=table["labels"]["folder"],
        void=table["labels"].get("void", 255),
        sources=tuple(_filled(Source, s) for s in table["source"]),
        held_out=tuple(_filled(Source, s) for s in table["held_out"]),
        recipe=_filled(Recipe, table["recipe"]),
        augment=_filled(Augment, table["augment"]),
        classes=classes,
    )
