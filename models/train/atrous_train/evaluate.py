"""Scores an exported model with ONNX Runtime on a folder of pictures and labels.

    python -m atrous_train.evaluate road.onnx FOLDER [FOLDER ...]

Each picture is resized to 481x361 (bilinear), the logits are upsampled to
481x361 (bilinear, aligned corners), the best class of every pixel is taken
there, and these labels go back to the picture's size by nearest neighbour:
what the runtime does with the manifest's settings.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnxruntime
import torch
from PIL import Image

from .arch import INPUT_HEIGHT, INPUT_WIDTH
from .data import list_pairs, read_pair
from .metrics import Confusion


def open_session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def prepare(image):
    """Picture (H, W, 3), uint8 -> network input [1, 3, 361, 481]."""
    image = Image.fromarray(image)
    if image.size != (INPUT_WIDTH, INPUT_HEIGHT):
        image = image.resize((INPUT_WIDTH, INPUT_HEIGHT), Image.BILINEAR)
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


def classes_of(logits):
    """Logits [1, C, h, w] -> class of each pixel of the network's input."""
    rows = interpolation(logits.shape[2], INPUT_HEIGHT)
    columns = interpolation(logits.shape[3], INPUT_WIDTH)
    return (rows @ logits[0] @ columns.T).argmax(0).astype(np.uint8)


def nearest(labels, shape):
    """Labels at another size, by nearest neighbour (pixel centres)."""
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(labels).resize(size, Image.NEAREST))


def score_folder(session, folder, limit=None):
    """Confusion over a folder."""
    confusion = Confusion()
    for _, image_path, label_path in list_pairs(folder)[:limit]:
        image, label = read_pair(image_path, label_path)
        (logits,) = session.run(["logits"], {"input": prepare(image)})
        confusion.add(label, nearest(classes_of(logits), label.shape))
    return confusion


@torch.no_grad()
def compare(net, path, folder, count):
    """Prints how far the ONNX file is from the PyTorch network on some pictures."""
    session = open_session(path)
    pairs = list_pairs(folder)
    worst, largest, same, pixels = 0.0, 0.0, 0, 0
    for _, image_path, label_path in pairs[:: max(1, len(pairs) // count)][:count]:
        x = prepare(read_pair(image_path, label_path)[0])
        expected = net(torch.from_numpy(x)).numpy()
        (got,) = session.run(["logits"], {"input": x})
        if got.shape != expected.shape:
            raise SystemExit(f"shape {got.shape}, PyTorch gives {expected.shape}")
        worst = max(worst, float(np.abs(got - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        equal = classes_of(got) == classes_of(expected)
        same, pixels = same + int(equal.sum()), pixels + equal.size
    print(
        f"against PyTorch: largest difference {worst:.5f} (largest logit {largest:.2f}), "
        f"same class on {100 * same / pixels:.3f}% of the pixels"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folders", nargs="+", help="each with images/ and labels/")
    parser.add_argument("--limit", type=int, help="only the first pictures")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    session = open_session(args.model, args.threads)
    for folder in args.folders:
        confusion = score_folder(session, folder, args.limit)
        print(f"{folder}\n{confusion.table()}", flush=True)


if __name__ == "__main__":
    main()
