"""What the cases work with: the programs, a model small enough to be emulated, drawn scenes.

The model is the road model, quantized here with drawn scenes and compiled for a ninth of its pixels:
the emulated processor needs some seconds for a picture of full size.  A still smaller one is for
cases in which any result will do.  Scenes come with their truth.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import Problem

TRIPLE = "aarch64-unknown-linux-gnu"
MODELS = {"road": "161x121", "quick": "97x73"}
CALIBRATION_SEEDS = range(500, 516)

# Seeds of drawn streets, looked at for what stands on the road ahead.
SCENES = {"free": 13, "between": 4, "blocked": 10}
SCENE_SIZE = "1280x720"


@dataclass(frozen=True)
class Assets:
    """Paths on the host."""

    host: Path
    """atrous for this machine."""
    guest: dict[str, Path]
    """What lies in /suite of the guest, by name."""
    folder: Path

    def label_picture(self, picture: Path, out: Path) -> Path:
        """The class indices that this machine's atrous gives a picture with the small model."""
        out.mkdir(parents=True, exist_ok=True)
        call([self.host, "run", picture, f"{out}/", "-m", self.guest["road.atrous"],
              "--visualize", "index", "--quiet"])
        return one_file(out)


def programs(arguments) -> tuple[Path, Path, Path]:
    """atrous and the camera tool for the board, and atrous for this machine."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    cross = Path(os.environ.get("CROSS_TARGET_DIR", target)) / TRIPLE / "release"
    build = f"cargo build --release --target {TRIPLE} --bin atrous --example virtual_camera"
    wanted = (
        (arguments.binary or cross / "atrous", build),
        (arguments.tool or cross / "examples/virtual_camera", build),
        (arguments.host or target / "release/atrous", "cargo build --release"),
    )
    for path, command in wanted:
        if not path.is_file():
            raise Problem(f"no {path}; build it with\n  {command}")
    return tuple(path for path, _ in wanted)


def prepare(arguments, root: Path, cache: Path, say) -> Assets:
    """Makes what is not in the cache."""
    binary, tool, host = programs(arguments)
    sources = [root / "models/road/road.onnx", root / "models/road/model.toml", Path(__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = cache / f"assets-{digest}"
    if not (folder / "ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say("drawing scenes, and quantizing the road model")
        make_model(host, root, folder)
        for name, seed in SCENES.items():
            draw(host, seed, folder / name)
        (folder / "ready").touch()
    # An artifact is of the version that made it, a quantized graph is not.
    for name, size in MODELS.items():
        call([host, "compile", folder / "whole.onnx", "--size", size, "-o", folder / f"{name}.atrous"])
    guest = {"atrous": binary, "virtual_camera": tool}
    guest |= {f"{name}.atrous": folder / f"{name}.atrous" for name in MODELS}
    guest |= {f"{name}.png": folder / f"{name}.png" for name in SCENES}
    guest |= {name: root / "tests/board/guest" / name for name in ("webcam.toml", "lines.toml")}
    return Assets(host, guest, folder)


def make_model(host: Path, root: Path, folder: Path) -> None:
    pictures = folder / "calibration"
    pictures.mkdir()
    for seed in CALIBRATION_SEEDS:
        source = f"synthetic://road?seed={seed}&size=640x480&fps=1&pace=demand"
        call([host, "run", source, pictures / f"{seed}_%d.png", "-m", "truth", "-n", "1",
              "--visualize", "frame", "--quiet"])
    call([host, "quantize", root / "models/road", "--images", pictures, "-o", folder / "whole"])
    shutil.rmtree(pictures)


def draw(host: Path, seed: int, base: Path) -> None:
    """BASE.png and, as class indices, BASE-truth.png."""
    source = f"synthetic://road?seed={seed}&size={SCENE_SIZE}&fps=1&pace=demand"
    for what, path in (("frame", base.with_suffix(".png")), ("index", base.with_name(f"{base.name}-truth.png"))):
        call([host, "run", source, path, "-m", "truth", "-n", "1", "--visualize", what, "--quiet"])


def pixel_accuracy(host: Path, model: Path, picture: Path, truth: Path, work: Path) -> float:
    """What `atrous eval` says of one picture."""
    for name, path in (("images", picture), ("labels", truth)):
        (work / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, work / name / "picture.png")
    report = call([host, "eval", model, "--images", work / "images", "--labels", work / "labels", "--json"])
    return json.loads(report)["pixel_accuracy"]


def one_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.png"))
    if len(files) != 1:
        raise Problem(f"{folder} has {len(files)} pictures, not one")
    return files[0]


def call(command: list) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
