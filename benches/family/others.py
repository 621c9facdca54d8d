#!/usr/bin/env python3
"""Exports of torchvision and segmentation-models-pytorch, as they are: scores here and in ONNX Runtime.

    cargo build --release --bin atrous --example scores
    benches/family/others.py DIR [NAME...] [--quantize]

Writes each network, its weights drawn from a seed, with both of PyTorch's exporters into DIR and
prints a line for each file: the largest difference of a score as a share of the scores' range, and
with `--quantize` how the quantized form runs. Ends with 1 if a file does not load or differs by more
than a thousandth. Needs numpy, onnx, onnxruntime, onnxscript, Pillow, torch, torchvision and
segmentation-models-pytorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from torch import nn

SIDE = 224  # PSPNet and PAN want multiples of 32
CLASSES = 21
SEED = 1
MOST = 1e-3
STREETS = "synthetic://road?size=224x224&pace=demand&frames=4&seed=500"


class Scores(nn.Module):
    """torchvision's networks give a dictionary."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def of_torchvision(name):
    from torchvision.models import segmentation

    def build():
        return Scores(getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES))

    return build


def of_smp(name):
    import segmentation_models_pytorch as smp

    return lambda: getattr(smp, name)("resnet18", encoder_weights=None, classes=CLASSES)


NETWORKS = {
    **{
        name: of_torchvision(name)
        for name in (
            "deeplabv3_mobilenet_v3_large",
            "deeplabv3_resnet50",
            "fcn_resnet50",
            "lraspp_mobilenet_v3_large",
        )
    },
    **{
        name.lower(): of_smp(name)
        for name in ("Unet", "UnetPlusPlus", "DeepLabV3Plus", "Linknet", "FPN", "PSPNet", "PAN", "MAnet")
    },
}


def export(net, path, dynamo):
    """One file; `None`, or why PyTorch cannot write it."""
    if path.is_file():
        return None
    partial = path.with_suffix(".partial")
    x = torch.zeros(1, 3, SIDE, SIDE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            more = {"external_data": False, "verbose": False} if dynamo else {"opset_version": 17}
            torch.onnx.export(net, (x,), str(partial), dynamo=dynamo, **more)
    except Exception as error:  # whatever an exporter raises
        return str(error).strip().splitlines()[0]
    partial.replace(path)
    return None


def call(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RuntimeError(said[-1])
    return done.stdout


def difference(scores, path, picture):
    """Of our scores and ONNX Runtime's."""
    out = path.with_suffix(".f32")
    shape = [int(n) for n in call(scores, path, picture, out).split()]
    got = np.fromfile(out, np.float32).reshape(shape)
    out.unlink()
    x = (np.asarray(Image.open(picture), np.float32) - 127.5) / 127.5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    want = session.run(None, {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None]})[0]
    want = want[0].transpose(1, 2, 0)
    return float(np.abs(got - want).max() / (want.max() - want.min()))


def quantized(atrous, path, streets):
    """How the quantized form runs."""
    stem = path.with_name(f"{path.stem}-8")
    call(atrous, "quantize", path, "--images", streets, "-o", stem)
    return "an integer program" if stem.with_suffix(".atrous").exists() else "in parts"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(NETWORKS))
    parser.add_argument("--quantize", action="store_true")
    args = parser.parse_args()
    unknown = set(args.names) - set(NETWORKS)
    if unknown:
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    release = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    atrous, scores = release / "atrous", release / "examples/scores"
    for program in (atrous, scores):
        if not program.is_file():
            sys.exit(f"no {program}; cargo build --release --bin atrous --example scores")
    streets = args.folder / "streets"
    if not streets.is_dir():
        call(atrous, "run", STREETS, f"{streets}/", "-m", "truth", "--visualize", "frame", "-q")
    picture = min(streets.glob("*.png"))
    worst = 0.0
    for name in args.names or NETWORKS:
        torch.manual_seed(SEED)
        net = NETWORKS[name]().eval()
        for exporter in ("dynamo", "torchscript"):
            path = args.folder / f"{name}-{exporter}.onnx"
            refused = export(net, path, exporter == "dynamo")
            if refused:
                print(f"{path.stem}: PyTorch does not export it: {refused}", flush=True)
                continue
            try:
                share = difference(scores, path, picture)
                line = f"{path.stem}: {share:.1e} of the range"
                if args.quantize:
                    line += f"; quantized, {quantized(atrous, path, streets)}"
            except RuntimeError as error:
                share, line = float("inf"), f"{path.stem}: {error}"
            worst = max(worst, share)
            print(line, flush=True)
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
