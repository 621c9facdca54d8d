"""Folders of pictures and labels, augmentation and batches.

A folder holds `images/NAME.{png,jpg}` (RGB) and `labels/NAME.png` (8-bit class
index, 0..10, 11 = void).  Batches depend only on (seed, step): a resumed run
sees the pictures which an uninterrupted one would have seen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

CLASS_NAMES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
    "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)
CLASS_COLOURS = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)
VOID = 11
GREY = 127.5
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def list_pairs(folder):
    """Sorted (name, picture path, label path) of a folder; an error if there are none."""
    images, labels = os.path.join(folder, "images"), os.path.join(folder, "labels")
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
    if label.max(initial=0) > VOID:
        raise SystemExit(f"{label_path}: value {label.max()} is no class")
    return image, label


def load_folder(folder, size=None, limit=None):
    """All pairs of a folder; resized to `size` (width, height) where given."""
    pairs = []
    for _, image_path, label_path in list_pairs(folder)[:limit]:
        image, label = read_pair(image_path, label_path)
        if size is not None and (image.shape[1], image.shape[0]) != size:
            image = np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR))
            label = np.asarray(Image.fromarray(label).resize(size, Image.NEAREST))
        pairs.append((image, label))
    return pairs


def class_weights(pairs, classes=len(CLASS_NAMES)):
    """1 / ln(1.10 + share) per class, scaled to a mean of one."""
    counts = sum(np.bincount(label.ravel(), minlength=VOID + 1)[:classes] for _, label in pairs)
    weights = 1.0 / np.log(1.10 + counts / counts.sum())
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def to_input(pictures):
    """Pictures (N, H, W, 3), 0..255 -> NCHW float tensor, -1..1, channels last."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float()
    return x.div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Augment:
    """What `augmented` may do to a picture."""

    scale: tuple = (0.7, 1.9)
    flip: bool = True
    brightness: float = 25.0
    contrast: float = 0.3
    saturation: float = 0.4
    tint: float = 0.06


def augmented(pair, crop, augment, rng):
    """A random (height, width) = `crop` view of a pair: float32 picture, uint8 label."""
    image, label = pair
    height, width = label.shape
    low, high = augment.scale
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    stretch = rng.uniform(0.93, 1.07)
    size = (round(width * scale * stretch) + 1, round(height * scale) + 1)
    image = np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR))
    label = np.asarray(Image.fromarray(label).resize(size, Image.NEAREST))
    image, label = _crop(image, label, crop, rng)
    if augment.flip and rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    return _jitter(image.astype(np.float32), augment, rng), label


def _crop(image, label, crop, rng):
    """Random crop; what is missing is padded with grey and void."""
    rows, columns = (max(want - have, 0) for want, have in zip(crop, label.shape))
    if rows or columns:
        top, left = rng.integers(0, rows + 1), rng.integers(0, columns + 1)
        margins = ((top, rows - top), (left, columns - left))
        image = np.pad(image, (*margins, (0, 0)), constant_values=128)
        label = np.pad(label, margins, constant_values=VOID)
    y = rng.integers(0, label.shape[0] - crop[0] + 1)
    x = rng.integers(0, label.shape[1] - crop[1] + 1)
    return image[y : y + crop[0], x : x + crop[1]], label[y : y + crop[0], x : x + crop[1]]


def _jitter(image, augment, rng):
    """Contrast, brightness, tint and saturation."""
    contrast = 1.0 + rng.uniform(-1, 1) * augment.contrast
    brightness = rng.uniform(-1, 1) * augment.brightness
    tint = 1.0 + rng.uniform(-1, 1, 3).astype(np.float32) * augment.tint
    saturation = 1.0 + rng.uniform(-1, 1) * augment.saturation
    image = image * (tint * np.float32(contrast)) + np.float32(brightness)
    grey = image.mean(2, keepdims=True)
    return np.clip(grey + (image - grey) * np.float32(saturation), 0.0, 255.0)


class Mixer:
    """Batches drawn from several sources, a fixed number of each in every batch."""

    def __init__(self, sources, crop, seed, augment=Augment()):
        """`sources`: list of (pairs, number per batch)."""
        self.sources = sources
        self.crop = crop
        self.seed = seed
        self.augment = augment

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
                views.append(augmented(pair, self.crop, self.augment, rng))
        images = np.stack([image for image, _ in views])
        labels = np.stack([label for _, label in views])
        return to_input(images), torch.from_numpy(labels).long()
