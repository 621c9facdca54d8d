"""Folders of pictures and labels, and batches.

A folder holds `images/NAME.{png,jpg}` and `labels/NAME.png` or `masks/NAME.png` (8-bit class
index).  Batches depend only on (seed, step): a resumed run sees the pictures which an
uninterrupted one would have seen.
"""

from __future__ import annotations

import os
import queue
import threading

import numpy as np
import torch
from PIL import Image

from .augment import view

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def list_pairs(folder, labels="labels"):
    """Sorted (name, picture path, label path) of a folder; an error if there are none."""
    images, labels = os.path.join(folder, "images"), os.path.join(folder, labels)
    for part in (images, labels):
        if not os.path.isdir(part):
            raise SystemExit(f"data folder not found: {part}")
    pairs = []
    for file in sorted(os.listdir(images)):
        name, suffix = os.path.splitext(file)
        if suffix.lower() not in IMAGE_SUFFIXES:
            continue
        label = os.path.join(labels, name + ".png")
        if not os.path.isfile(label):
            raise SystemExit(f"no label for {os.path.join(images, file)}")
        pairs.append((name, os.path.join(images, file), label))
    if not pairs:
        raise SystemExit(f"no pictures in {images}")
    return pairs


def read_pair(image_path, label_path):
    """One picture (H, W, 3) and its label (H, W), both uint8."""
    image = np.asarray(Image.open(image_path).convert("RGB"))
    label = np.asarray(Image.open(label_path))
    if label.ndim != 2 or label.shape != image.shape[:2]:
        raise SystemExit(f"{label_path}: shape {label.shape}, picture {image.shape}")
    return image, label


def kind_of(image):
    """'dark' or 'bright', from the background: under a microscope, fluorescence or stain."""
    return "bright" if np.median(image) > 100 else "dark"


def load_source(source, task, args):
    """All (picture, label) pairs of a source."""
    pairs = []
    for name, image_path, label_path in list_pairs(source.path(args.data, args.run), task.labels):
        if not name.startswith(source.prefix):
            continue
        image, label = read_pair(image_path, label_path)
        if source.kind and kind_of(image) != source.kind:
            continue
        if source.size and (image.shape[1], image.shape[0]) != source.size:
            image = np.asarray(Image.fromarray(image).resize(source.size, Image.BILINEAR))
            label = np.asarray(Image.fromarray(label).resize(source.size, Image.NEAREST))
        pairs.append((image, label))
    if not pairs:
        raise SystemExit(f"no picture fits {source}")
    return pairs


def class_weights(pairs, classes):
    """1 / ln(1.10 + share) per class, scaled to a mean of one."""
    counts = sum(np.bincount(label.ravel(), minlength=256)[:classes] for _, label in pairs)
    weights = 1.0 / np.log(1.10 + counts / counts.sum())
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def to_input(pictures):
    """Pictures (N, H, W, 3), 0..255 -> NCHW float tensor, -1..1, channels last."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float()
    return x.div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)


class Mixer:
    """Batches drawn from several sources, a fixed number of each in every batch."""

    def __init__(self, sources, task, seed):
        """`sources`: list of (pairs, number per batch)."""
        self.sources = sources
        self.task = task
        self.seed = seed

    def _index(self, source, draw):
        """Without replacement: the draw's place in that epoch's shuffled order."""
        count = len(self.sources[source][0])
        order = np.random.default_rng((self.seed, source, draw // count)).permutation(count)
        return order[draw % count]

    def batch(self, step):
        """Input tensor and int64 labels of a step."""
        rng = np.random.default_rng((self.seed, 1 << 20, step))
        views = []
        for number, (pairs, per_batch) in enumerate(self.sources):
            for i in range(per_batch):
                pair = pairs[self._index(number, step * per_batch + i)]
                views.append(view(pair, self.task, rng))
        images = np.stack([image for image, _ in views])
        labels = np.stack([label for _, label in views])
        return to_input(images), torch.from_numpy(labels).long()


class Prefetch:
    """Makes the batches of coming steps in a thread of its own."""

    def __init__(self, mixer, first, ahead=2):
        self.queue = queue.Queue(ahead)
        self.mixer = mixer
        threading.Thread(target=self._work, args=(first,), daemon=True).start()

    def _work(self, step):
        while True:
            try:
                batch = self.mixer.batch(step)
            except Exception as error:  # raised again by the reader
                self.queue.put(error)
                return
            self.queue.put(batch)
            step += 1

    def next(self):
        batch = self.queue.get()
        if isinstance(batch, Exception):
            raise batch
        return batch
