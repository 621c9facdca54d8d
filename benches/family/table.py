#!/usr/bin/env python3
"""Measures every network of models/train's family and writes the table of docs/FAMILY.md.

    cargo build --release --bin atrous --example scores --example render_scenes
    target/release/examples/render_scenes DIR/scenes --count 12 --seed 300
    python -m atrous_train.family.export --out DIR --scenes DIR/scenes --check      # in models/train
    benches/family/table.py DIR [NAME...] [--times] [--out docs/FAMILY.md]

Needs numpy, onnx, onnxruntime and Pillow. What was measured of a network stands in DIR/NAME/row.json and
is not measured again; remove the file for that. `--times` takes the times anew, by turns in float and
in 8 bits. They are of one thread and of this machine: read them as ratios along a row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

CALIBRATION = "synthetic://road?size=640x480&pace=demand&frames=4&seed=500"
SCENE = "synthetic://road?size={}x{}&pace=demand&frames=1&seed=7"
# Large enough for the 134 million weights of VGG's classifier.
IMPORT = ["--import-memory", "12000", "--import-timeout", "600"]


def call(*command, **more):
    """What a command prints; its last words where it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RuntimeError(said[-1])
    return done.stdout


def draw(atrous, uri, folder):
    """Pictures of a drawn street."""
    if not folder.is_dir():
        call(atrous, "run", uri, f"{folder}/", "-m", "truth", "--visualize", "frame", "-q")
    return sorted(folder.glob("*.png"))


def session(path, optimized):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def scores_of(path, picture, optimized=True):
    """ONNX Runtime's scores, rows by columns by classes."""
    x = (np.asarray(picture, np.float32) - 127.5) / 127.5
    y = session(path, optimized).run(None, {"input": x.transpose(2, 0, 1)[None]})[0]
    return y[0].transpose(1, 2, 0)


def labels_of(path, scores, size, upsample):
    """The class of each pixel: codes in the middle or bilinear, exact, of equal ones the first."""
    codes = np.rint(scores / output_step(path)).astype(np.int64)

    def axis(there, here):
        if upsample == "middle":
            low = np.clip(np.arange(here) - (here - there) // 2, 0, there - 1)
            return low, low, np.zeros_like(low), 1
        at = np.arange(here) * (there - 1)
        whole = max(here - 1, 1)
        low = at // whole
        return low, np.minimum(low + 1, there - 1), at - low * whole, whole

    (x0, x1, fx, whole_x), (y0, y1, fy, whole_y) = (
        axis(there, here) for there, here in zip(codes.shape[1::-1], size)
    )
    fy, fx = fy[:, None, None], fx[None, :, None]
    top = codes[y0][:, x0] * (whole_x - fx) + codes[y0][:, x1] * fx
    bottom = codes[y1][:, x0] * (whole_x - fx) + codes[y1][:, x1] * fx
    return (top * (whole_y - fy) + bottom * fy).argmax(-1)


def output_step(path):
    """The step of a QDQ file's scores."""
    graph = onnx.load(str(path)).graph
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    if last.op_type != "DequantizeLinear":
        raise RuntimeError(f"{path} ends in {last.op_type}")
    step = next(tensor for tensor in graph.initializer if tensor.name == last.input[1])
    return float(onnx.numpy_helper.to_array(step))


def median(times):
    return float(np.median(times))


def measure(name, folder, atrous, scores):
    """One row."""
    manifest = folder / "model.toml"
    about = json.loads(call(atrous, "inspect", manifest, "--json", *IMPORT))
    entry = about["manifest"]["input"]
    size = entry["width"], entry["height"]
    upsample = about["manifest"]["output"]["upsample"]
    row = {
        "name": name,
        "title": about["manifest"]["description"].split(";")[0],
        "size": size,
        "parameters": about["graph"]["parameters"],
    }
    path = draw(atrous, SCENE.format(*size), folder / "scene")[0]
    picture = Image.open(path).convert("RGB")
    # Scores in float.
    ours = folder / "scores.f32"
    shape = [int(n) for n in call(scores, manifest, path, ours).split()]
    got = np.fromfile(ours, np.float32).reshape(shape)
    ours.unlink()
    want = scores_of(folder / f"{name}.onnx", picture)
    row["float_difference"] = float(np.abs(got - want).max() / (want.max() - want.min()))
    # In 8 bits.
    stem = folder / "q"
    if not stem.with_suffix(".onnx").exists():
        pictures = draw(atrous, CALIBRATION, folder.parent / "calibration")[0].parent
        call(atrous, "quantize", manifest, "--images", pictures, "-o", stem, *IMPORT)
    quantized = stem.with_suffix(".atrous")
    whole = quantized.exists()
    quantized = quantized if whole else stem.with_suffix(".onnx")
    row["whole"] = whole
    ops = json.loads(call(atrous, "inspect", quantized, "--ops", "--json", *IMPORT))
    row["macs"], row["placement"] = placement(ops)
    row |= times(folder, atrous)
    row["int8_bytes"] = quantized.stat().st_size
    out = folder / "mask"
    call(atrous, "run", path, f"{out}/", "-m", quantized, "--visualize", "index", "-q", *IMPORT)
    mask = np.asarray(Image.open(next(out.glob("*.png"))))
    file = stem.with_suffix(".onnx")
    expected, plain = (
        labels_of(file, scores_of(file, picture, optimized), size, upsample)
        for optimized in (True, False)
    )
    row["int8_agreement"] = float((mask == expected).mean())
    row["own_agreement"] = float((plain == expected).mean())
    return row


def times(folder, atrous):
    """Medians over three rounds, in each of which both forms have their turn, and peak memory."""
    quantized = folder / "q.atrous"
    quantized = quantized if quantized.exists() else folder / "q.onnx"
    forms = {"float": (folder / "model.toml", 1), "int8": (quantized, 5)}
    taken, row = {form: [] for form in forms}, {}
    for _ in range(3):
        for form, (model, runs) in forms.items():
            command = [atrous, "bench", model, "--json", "--runs", runs, "--warmup", 1, "--threads", 1]
            bench = json.loads(call(*command, *IMPORT))
            taken[form].append(median(bench["runs_ms"]))
            row[f"{form}_mb"] = bench["peak_mb"]
    return row | {f"{form}_ms": median(ms) for form, ms in taken.items()}


def variety(folder):
    """How many classes the mask has, and the share of the largest: what an agreement is worth."""
    mask = np.asarray(Image.open(next((folder / "mask").glob("*.png"))))
    counts = np.bincount(mask.ravel())
    return {"classes": int((counts > 0).sum()), "largest": float(counts.max() / mask.size)}


def placement(ops):
    """Multiplications in all, and where they are done."""
    if "parts" not in ops:
        return sum(op["macs"] for op in ops["ops"]), "integer program"
    # "mixed graph, 24 operations in 1 integer region with 100 % of ..., and 4 nodes in tract, ..."
    outside = re.search(r"(\d+ nodes?) in tract", ops["engine"])
    return sum(region["macs"] for region in ops["parts"]["regions"]), f"integers, {outside[1]} in tract"


HEAD = """# The family

Every network below is exported by `models/train` (`python -m atrous_train.family.export`) with
weights drawn from a seed, runs here in float, is quantized by `atrous quantize` with four drawn
streets, and runs in 8 bits. Only the last layers, which make the scores, are fitted, to twelve drawn
streets, so that a mask has classes and edges; all before is random. The table shows that a network
runs, where, how fast, and that it computes what ONNX Runtime computes; not how well it would see.
`benches/family/table.py` says how to measure it anew, and writes this page.

| network | input | parameters | GMAC | float, ms | 8 bits, ms | times faster | memory in 8 bits | 8 bits run as | float beside ONNX Runtime | mask in 8 bits: as ONNX Runtime's | ONNX Runtime's, fused and not | classes in it, share of the largest |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
- One thread on {machine}. Times are medians of three rounds in which float and 8 bits took turns:
  read them along a row.
- *float beside ONNX Runtime*: the largest difference of a score, as a share of the scores' range,
  on the same picture.
- *mask in 8 bits*: the share of the mask's pixels at which our integer program and ONNX Runtime
  {runtime} with the same QDQ file give the same class; beside it, that at which ONNX Runtime agrees
  with itself when it does not fuse operators, which is what the file says literally. Convolutions,
  sums, pools and concatenations give its codes to the last one, on a processor with fused
  multiply-add (there it sums two pictures so); so a network of these alone has its mask. Within a
  network a bilinear resize is exact here, and a half is rounded up; ONNX Runtime resizes in floats
  whose error decides a half either way. Random layers carry one code's difference on to many, and at
  the border of two classes that decides; trained ones less so (99.95 % on PASCAL models). The last
  column tells what the agreement is worth.
- Multiplications are those of the 8-bit form. A transposed convolution is counted as it is
  computed, with its taps padded to a multiple of its stride.
- *U-Net, as published* has scores for the middle 388x388 of its 572x572 input, which its manifest
  says (`upsample = "middle"`). Pixels around them take the nearest label.
- FCN's 134 million parameters take an import of more than the usual 2 GB:
  `--import-memory 12000 --import-timeout 600`.

## Exports of others

torchvision 0.29 (DeepLab v3 on MobileNetV3 and ResNet-50, FCN on ResNet-50, LR-ASPP) and
segmentation-models-pytorch 0.6 (Unet, Unet++, DeepLabV3+, Linknet, FPN, PSPNet, PAN and MAnet on
ResNet-18), exported with `torch.onnx` of PyTorch 2.15 in both of its ways: all 23 files load as they
are (PyTorch itself refuses PSPNet in one of them), and their scores are within 6e-6 of ONNX Runtime's,
as a share of their range. Quantized here, those of the newer exporter (`dynamo`) are integer programs
as a whole for torchvision's, Unet, Unet++, DeepLabV3+ and Linknet; FPN (normalizes by groups), PSPNet,
PAN and MAnet (attention) run in parts, all their convolutions in integers, and so do DeepLab v3,
LR-ASPP and Unet of the older exporter.
`benches/family/others.py DIR --quantize` repeats this; it is no part of the tests.
"""


def line(row):
    cells = [
        row["title"],
        f"{row['size'][0]}x{row['size'][1]}",
        f"{row['parameters'] / 1e6:.1f} M",
    ]
    if "failed" in row:
        return f"| {' | '.join(cells)} | {row['failed']} |" + " |" * 9
    cells += [
        f"{row['macs'] / 1e9:.1f}",
        f"{row['float_ms']:.0f}",
        f"{row['int8_ms']:.1f}",
        f"{row['float_ms'] / row['int8_ms']:.1f}",
        f"{row['int8_mb']:.0f} MB",
        row["placement"],
        f"{row['float_difference']:.1e}",
        f"{row['int8_agreement'] * 100:.2f} %",
        f"{row['own_agreement'] * 100:.2f} %",
        f"{row['classes']}, {row['largest'] * 100:.0f} %",
    ]
    return f"| {' | '.join(cells)} |"


def processor():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--times", action="store_true", help="take all times anew")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    release = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    atrous, scores = release / "atrous", release / "examples/scores"
    for program in (atrous, scores):
        if not program.is_file():
            sys.exit(f"no {program}; cargo build --release --bin atrous --example scores")
    names = args.names or sorted(path.parent.name for path in args.folder.glob("*/model.toml"))
    rows = []
    for name in names:
        folder = args.folder / name
        kept = folder / "row.json"
        if kept.is_file():
            row = json.loads(kept.read_text())
            if args.times:
                row |= times(folder, atrous)
        else:
            row = measure(name, folder, atrous, scores)
        kept.write_text(json.dumps(row))
        rows.append(row | variety(folder))
        print(line(rows[-1]), flush=True)
    if args.out:
        tail = TAIL.format(machine=f"an {processor()}", runtime=onnxruntime.__version__)
        text = HEAD + "\n".join(line(row) for row in rows) + "\n" + tail
        partial = args.out.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(args.out)


if __name__ == "__main__":
    main()
