"""Class offsets: constants added to the logits for the best mean IoU on training data.

    python -m atrous_train.calibrate CHECKPOINT OUT --camvid DIR [--scenes DIR]

The loss weighs rare classes up, which makes them win too often.  A search over
one class at a time finds the offsets; they end up in the classifier's bias and
cost nothing at run time.  Nothing held out is looked at.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from PIL import Image

from . import checkpoint
from .arch import INPUT_HEIGHT, INPUT_WIDTH, RoadNet, upsample
from .data import CLASS_NAMES, load_folder, to_input

CLASSES = len(CLASS_NAMES)
SIZE = (180, 240)  # height and width at which the classes are compared
STEPS = (0.5, 0.25, 0.25)
PICTURES = 74


@torch.no_grad()
def collect(net, pairs):
    """Logits [pixels, classes] and true classes [pixels] of the known pixels."""
    logits, truths = [], []
    for image, label in pairs:
        x = upsample(to_input(image[None]), (INPUT_HEIGHT, INPUT_WIDTH))
        with torch.autocast("cpu", torch.bfloat16):
            y = net(x)
        y = upsample(y.float(), SIZE)[0].reshape(CLASSES, -1).T
        small = Image.fromarray(label).resize((SIZE[1], SIZE[0]), Image.NEAREST)
        truth = torch.from_numpy(np.array(small).reshape(-1)).long()
        logits.append(y[truth < CLASSES])
        truths.append(truth[truth < CLASSES])
    return torch.cat(logits), torch.cat(truths)


def mean_iou(logits, truth, offsets):
    """Mean IoU with the offsets added, over the classes that occur."""
    pairs = truth * CLASSES + (logits + offsets).argmax(1)
    counts = torch.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES).double()
    hit = counts.diag()
    union = counts.sum(0) + counts.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean())


def search(sets):
    """Offsets by coordinate ascent; each of `sets` counts the same."""

    def score(offsets):
        return sum(mean_iou(logits, truth, offsets) for logits, truth in sets) / len(sets)

    offsets = torch.zeros(CLASSES)
    best = first = score(offsets)
    for step in STEPS:
        for index in range(CLASSES):
            for change in (step, -step):
                while True:
                    trial = offsets.clone()
                    trial[index] += change
                    value = score(trial)
                    if value <= best + 1e-5:
                        break
                    best, offsets = value, trial
    return offsets, first, best


def spread(pairs, count):
    """At most about `count` pairs, evenly chosen."""
    return pairs[:: max(1, len(pairs) // count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--camvid", required=True, help="folder with train/")
    parser.add_argument("--scenes", help="folder of rendered training scenes")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    state = checkpoint.load(args.checkpoint)
    net = RoadNet().to(memory_format=torch.channels_last)
    net.load_state_dict(state["net"])
    net.eval()
    folders = [os.path.join(args.camvid, "train")] + ([args.scenes] if args.scenes else [])
    sets = [collect(net, spread(load_folder(folder), PICTURES)) for folder in folders]
    offsets, before, after = search(sets)
    with torch.no_grad():
        net.classifier.bias += offsets
    checkpoint.save(args.out, {**state, "net": net.state_dict()})
    print(f"offsets {offsets.tolist()}: mean IoU on training data {before:.4f} -> {after:.4f}")


if __name__ == "__main__":
    main()
