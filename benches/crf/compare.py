#!/usr/bin/env python3
"""The dense CRF beside pydensecrf: time, marginals, labels, and what it does to a score.

    cargo build --release --example crf
    python benches/crf/compare.py                          # a drawn picture, 21 classes
    python benches/crf/compare.py --images DIR --labels DIR --model model.onnx --size 481x361

Both get the same scores and run by turns on one core; a time is the median of the
processor time (Linux counts it in nanoseconds), from scores to marginals. Needs numpy
and pydensecrf, and for pictures of your own pillow and onnxruntime. (pydensecrf's sdist
builds with cython below 3 and numpy below 2 once the generated pydensecrf/densecrf.cpp
and eigen.cpp are deleted.) The model is a float graph: NCHW, pixels scaled to -1..1,
logits whose corners are those of the picture. Labels are PNGs of class indices.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import pydensecrf.densecrf as dcrf

ROOT = pathlib.Path(__file__).resolve().parents[2]


def drawn(width, height, classes, seed=1):
    """A picture of textured discs and scores that are right in most places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    label = np.zeros((height, width), np.int64)
    for _ in range(40):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        radius = rng.uniform(0.03, 0.2) * width
        label[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = rng.integers(classes)
    colours = rng.uniform(20, 235, (classes, 3))
    shade = 20 * np.sin(x / 37) * np.cos(y / 23)
    picture = colours[label] + shade[..., None] + rng.normal(0, 8, (height, width, 3))
    logits = rng.normal(0, 1, (classes, height // 8 + 2, width // 8 + 2))
    noise = np.stack([enlarged(plane, height, width) for plane in logits], -1)
    seen = np.roll(label, (3, 4), (0, 1))
    scores = 2 * noise + 3 * np.eye(classes)[seen]
    return np.clip(picture, 0, 255).astype(np.uint8), log_softmax(scores)


def enlarged(plane, height, width):
    """Bilinear, corners on corners."""
    rows = np.linspace(0, plane.shape[0] - 1, height)
    columns = np.linspace(0, plane.shape[1] - 1, width)
    plane = np.stack([np.interp(columns, np.arange(plane.shape[1]), row) for row in plane])
    row = np.minimum(rows.astype(int), plane.shape[0] - 2)
    part = (rows - row)[:, None]
    return plane[row] * (1 - part) + plane[row + 1] * part


def log_softmax(scores):
    scores = scores - scores.max(-1, keepdims=True)
    scores = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return np.ascontiguousarray(scores, np.float32)


class Peer:
    """pydensecrf, from scores to marginals."""

    def __init__(self, picture, scores, p):
        self.picture, self.p = np.array(picture), p
        self.shape = scores.shape
        self.energy = np.ascontiguousarray(-scores.reshape(-1, scores.shape[2]).T)

    def run(self):
        height, width, classes = self.shape
        start = time.process_time()
        crf = dcrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(self.energy)
        crf.addPairwiseGaussian(sxy=self.p.theta_gamma, compat=self.p.smoothness_weight)
        crf.addPairwiseBilateral(
            sxy=self.p.theta_alpha,
            srgb=self.p.theta_beta,
            rgbim=self.picture,
            compat=self.p.appearance_weight,
        )
        marginals = np.array(crf.inference(self.p.iterations))
        seconds = time.process_time() - start
        self.marginals = marginals.reshape(classes, height, width).transpose(1, 2, 0)
        return seconds


class Ours:
    """atrous, a process that refines once for each line it is sent."""

    def __init__(self, program, picture, scores, p, folder):
        height, width, classes = scores.shape
        self.shape, self.out = scores.shape, os.path.join(folder, "marginals")
        picture.tofile(os.path.join(folder, "picture"))
        scores.astype("<f4").tofile(os.path.join(folder, "scores"))
        keys = [
            "theta_alpha",
            "theta_beta",
            "theta_gamma",
            "appearance_weight",
            "smoothness_weight",
        ]
        table = "".join(f"{key} = {float(getattr(p, key))}\n" for key in keys)
        command = [program, os.path.join(folder, "picture"), str(width), str(height)]
        command += [os.path.join(folder, "scores"), str(classes), self.out]
        command += [table + f"iterations = {p.iterations}\n"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        # What it takes to start and to read the files is no part of a run.
        self.answer()

    def run(self):
        before = self.nanoseconds()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.vertices = self.answer()
        return (self.nanoseconds() - before) / 1e9

    def answer(self):
        """The words of its next line."""
        words = self.process.stdout.readline().split()
        if not words:
            raise SystemExit("the example crf failed")
        return words

    def nanoseconds(self):
        """Of processor time."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text()
        return int(stat.split()[0])

    def finish(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit("the example crf failed")
        self.marginals = np.fromfile(self.out, "<f4").reshape(self.shape)


def compare(picture, scores, p):
    """Both on one picture, by turns."""
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = Ours(p.program, picture, scores, p, folder), Peer(picture, scores, p)
        times = [(ours.run(), peer.run()) for _ in range(p.runs)]
        ours.finish()
    mine, other = ours.marginals, peer.marginals
    return {
        "ours": statistics.median(t[0] for t in times),
        "pydensecrf": statistics.median(t[1] for t in times),
        "ratio": statistics.median(t[1] / t[0] for t in times),
        "difference": float(np.abs(mine - other).mean()),
        "same": float((mine.argmax(-1) == other.argmax(-1)).mean()),
        "vertices": " + ".join(ours.vertices),
        "labels": mine.argmax(-1),
        "peer_labels": other.argmax(-1),
    }


def tell(name, r):
    print(
        f"{name}: {r['ours'] * 1e3:.1f} ms, pydensecrf {r['pydensecrf'] * 1e3:.1f} ms, "
        f"{r['ratio']:.2f} times; mean difference {r['difference']:.1e}, "
        f"same label {r['same']:.3%}; vertices {r['vertices']}",
        flush=True,
    )


def count(matrix, truth, labels):
    classes = matrix.shape[0]
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + labels[known]
    matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def mean_iou(matrix):
    hits = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return float((hits[union > 0] / union[union > 0]).mean())


def folder(p):
    """Pictures and labels of a folder."""
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(p.model, options)
    side = tuple(int(n) for n in p.size.split("x"))
    names = sorted(pathlib.Path(p.images).iterdir())[:: p.every][: p.limit]
    results, matrices = [], None
    for name in names:
        picture = Image.open(name).convert("RGB")
        fitted = np.asarray(picture.resize(side, Image.BILINEAR), np.float32) / 127.5 - 1
        inputs = {session.get_inputs()[0].name: fitted.transpose(2, 0, 1)[None]}
        logits = session.run(None, inputs)[0][0]
        planes = [enlarged(plane, picture.height, picture.width) for plane in logits]
        scores = log_softmax(np.stack(planes, -1))
        result = compare(np.asarray(picture), scores, p)
        tell(name.name, result)
        results.append(result)
        if p.labels:
            path = pathlib.Path(p.labels, name.stem + ".png")
            truth = np.asarray(Image.open(path))
            if matrices is None:
                matrices = [np.zeros((scores.shape[2],) * 2, np.int64) for _ in range(3)]
            masks = [scores.argmax(-1), result["labels"], result["peer_labels"]]
            for matrix, labels in zip(matrices, masks):
                count(matrix, truth, labels)
    median = {key: statistics.median(r[key] for r in results) for key in ("ours", "pydensecrf", "ratio")}
    worst = max(r["difference"] for r in results), min(r["same"] for r in results)
    print(
        f"{len(results)} pictures: median {median['ours'] * 1e3:.1f} ms, pydensecrf "
        f"{median['pydensecrf'] * 1e3:.1f} ms, {median['ratio']:.2f} times; worst mean "
        f"difference {worst[0]:.1e}, fewest same labels {worst[1]:.3%}"
    )
    if matrices is not None:
        before, after, peer = (mean_iou(matrix) for matrix in matrices)
        print(f"mean IoU: without {before:.4f}, with {after:.4f}, pydensecrf {peer:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=str(ROOT / "target/release/examples/crf"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--theta-alpha", type=float, default=80)
    parser.add_argument("--theta-beta", type=float, default=13)
    parser.add_argument("--theta-gamma", type=float, default=3)
    parser.add_argument("--appearance-weight", type=float, default=10)
    parser.add_argument("--smoothness-weight", type=float, default=3)
    parser.add_argument("--picture-size", default="500x375", help="of the drawn picture")
    parser.add_argument("--classes", type=int, default=21, help="of the drawn picture")
    parser.add_argument("--images")
    parser.add_argument("--labels")
    parser.add_argument("--model")
    parser.add_argument("--size", help="the model's input")
    parser.add_argument("--every", type=int, default=1, help="take each N-th picture")
    parser.add_argument("--limit", type=int)
    p = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if p.images:
        if not (p.model and p.size):
            parser.error("--images needs --model and --size")
        folder(p)
    else:
        width, height = (int(n) for n in p.picture_size.split("x"))
        picture, scores = drawn(width, height, p.classes)
        tell("drawn", compare(picture, scores, p))


if __name__ == "__main__":
    main()
