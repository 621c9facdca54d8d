"""Class offsets: constants added to the logits for the best mean IoU on training data.

    python -m atrous_train.calibrate road CHECKPOINT OUT --data DIR --run DIR

A weighted loss makes rare classes win too often.  A search over one class at a time finds the
offsets; they end up in the classifier's bias and cost nothing at run time.  Nothing held out is
looked at.
"""

from __future__ import annotations

import argparse
from itertools import chain

import numpy as np
import torch
from PIL import Image

from . import checkpoint
from .data import load_source, to_input
from .device import Device
from .layers import upsample
from .task import load_task

STEPS = (0.5, 0.25, 0.25)
PICTURES = 74


@torch.no_grad()
def collect(net, pairs, task, device):
    """Logits [pixels, classes] and true classes [pixels] of the known pixels, at half size."""
    logits, truths = [], []
    shape = task.size[::-1]
    half = [size // 2 for size in shape]
    for image, label in pairs:
        picture = np.asarray(Image.fromarray(image).resize(task.size, Image.BILINEAR))
        with device.autocast():
            y = net(to_input(picture[None]).to(device.name))
        y = upsample(y.float(), half)[0].flatten(1).T.cpu()
        small = Image.fromarray(label).resize((half[1], half[0]), Image.NEAREST)
        truth = torch.from_numpy(np.array(small).reshape(-1)).long()
        known = truth < len(task.classes)
        logits.append(y[known])
        truths.append(truth[known])
    return torch.cat(logits), torch.cat(truths)


def mean_iou(logits, truth, offsets):
    """Mean IoU with the offsets added, over the classes that occur."""
    classes = len(offsets)
    pairs = truth * classes + (logits + offsets).argmax(1)
    counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()
    hit = counts.diag()
    union = counts.sum(0) + counts.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean())


def search(sets, classes):
    """Offsets by coordinate ascent; each of `sets` counts the same."""

    def score(offsets):
        return sum(mean_iou(logits, truth, offsets) for logits, truth in sets) / len(sets)

    offsets = torch.zeros(classes)
    best = first = score(offsets)
    for step in STEPS:
        for index in range(classes):
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
    parser.add_argument("task")
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True, help="folder with the rendered scenes")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task, device = load_task(args.task), Device()
    state = checkpoint.load(args.checkpoint)
    net = task.new_network()
    net.load_state_dict(state["net"])
    net = device.place(net).eval()
    by_set = {}
    for source in task.sources:
        by_set.setdefault(source.scenes or source.folder, []).append(load_source(source, task, args))
    sets = [collect(net, spread(list(chain(*parts)), PICTURES), task, device)
            for parts in by_set.values()]
    offsets, before, after = search(sets, len(task.classes))
    with torch.no_grad():
        net.classifier.bias += offsets.to(net.classifier.bias.device)
    checkpoint.save(args.out, {**state, "net": net.cpu().state_dict()})
    print(f"offsets {offsets.tolist()}: mean IoU on training data {before:.4f} -> {after:.4f}")


if __name__ == "__main__":
    main()
