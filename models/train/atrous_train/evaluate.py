"""Scores a model with ONNX Runtime on a folder of pictures and labels.

    python -m atrous_train.evaluate ../road/model.toml FOLDER [FOLDER ...] [--model FILE.onnx]

Each picture is resized to the model's input (bilinear, as Pillow does it), the logits are
upsampled to that size (bilinear, aligned corners), the best class of every pixel is taken there,
and these labels go back to the picture's size by nearest neighbour: what the runtime does with
the manifest's settings.  `--model` scores another file, a quantized one for instance, under the
same manifest.
"""

from __future__ import annotations

import argparse
import os
import tomllib

import numpy as np
import onnxruntime
import torch
from PIL import Image

from .data import list_pairs, read_pair
from .metrics import Confusion


def open_session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def read_manifest(path):
    """(model file, class names) of a manifest."""
    with open(path, "rb") as file:
        table = tomllib.load(file)
    model = os.path.join(os.path.dirname(path), table["file"])
    return model, [entry["name"] for entry in table["class"]]


def input_size(session):
    """Width and height."""
    height, width = session.get_inputs()[0].shape[2:]
    return width, height


def prepare(image, size):
    """Picture (H, W, 3), uint8 -> network input [1, 3, height, width]."""
    image = Image.fromarray(image)
    if image.size != size:
        image = image.resize(size, Image.BILINEAR)
    x = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(x / np.float32(127.5) - np.float32(1))


def interpolation(inputs, outputs):
    """Matrix [outputs, inputs] of linear interpolation with aligned corners."""
    position = np.arange(outputs) * ((inputs - 1) / (outputs - 1))
    left = np.minimum(position.astype(np.int64), inputs - 2)
    share = position - left
    matrix = np.zeros((outputs, inputs), np.float32)
    matrix[np.arange(outputs), left] = 1 - share
    matrix[np.arange(outputs), left + 1] += share
    return matrix


def classes_of(logits, size):
    """Logits [1, C, h, w] -> class of each pixel of the network's input."""
    rows = interpolation(logits.shape[2], size[1])
    columns = interpolation(logits.shape[3], size[0])
    return (rows @ logits[0] @ columns.T).argmax(0).astype(np.uint8)


def nearest(labels, shape):
    """Labels at another size, by nearest neighbour (pixel centres)."""
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(labels).resize(size, Image.NEAREST))


def score_folder(session, folder, names, labels="labels", limit=None):
    """Confusion over a folder."""
    confusion, size = Confusion(names), input_size(session)
    for _, image_path, label_path in list_pairs(folder, labels)[:limit]:
        image, label = read_pair(image_path, label_path)
        (logits,) = session.run(None, {session.get_inputs()[0].name: prepare(image, size)})
        confusion.add(label, nearest(classes_of(logits, size), label.shape))
    return confusion


@torch.no_grad()
def compare(net, path, folder, count, labels="labels"):
    """Prints how far the ONNX file is from the PyTorch network on some pictures."""
    session = open_session(path)
    size = input_size(session)
    pairs = list_pairs(folder, labels)
    worst, largest, same, pixels = 0.0, 0.0, 0, 0
    for _, image_path, label_path in pairs[:: max(1, len(pairs) // count)][:count]:
        x = prepare(read_pair(image_path, label_path)[0], size)
        expected = net(torch.from_numpy(x)).numpy()
        (got,) = session.run(["logits"], {"input": x})
        if got.shape != expected.shape:
            raise SystemExit(f"shape {got.shape}, PyTorch gives {expected.shape}")
        worst = max(worst, float(np.abs(got - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        equal = classes_of(got, size) == classes_of(expected, size)
        same, pixels = same + int(equal.sum()), pixels + equal.size
    print(
        f"against PyTorch: largest difference {worst:.5f} (largest logit {largest:.2f}), "
        f"same class on {100 * same / pixels:.3f}% of the pixels"
    )


def labels_of(folder):
    """Name of the folder of labels: labels/ or masks/."""
    return "masks" if os.path.isdir(os.path.join(folder, "masks")) else "labels"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("folders", nargs="+", help="each with images/ and labels/ or masks/")
    parser.add_argument("--model", help="another file than the manifest's")
    parser.add_argument("--limit", type=int, help="only the first pictures")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    model, names = read_manifest(args.manifest)
    session = open_session(args.model or model, args.threads)
    for folder in args.folders:
        confusion = score_folder(session, folder, names, labels_of(folder), args.limit)
        print(f"{folder}\n{confusion.table()}", flush=True)


if __name__ == "__main__":
    main()
