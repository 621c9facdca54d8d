"""Random views of a picture: one affine warp (scale, stretch, rotation, flip, crop), then colours.

Scale 1 is the scale at which the network sees the whole picture, stretched to its input.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

GREY = (128, 128, 128)
FEWEST = 30  # pixels of a rare class that are worth a view
LUMA = np.array([0.3, 0.59, 0.11], np.float32)


def view(pair, task, rng):
    """A random crop of a pair: float32 picture 0..255, uint8 label."""
    image, label = warp(pair, task, rng)
    return recolour(image, task.augment, rng), label


def warp(pair, task, rng):
    """Geometry; what lies outside of the picture is grey and void. Both results are uint8."""
    (image, label), augment = pair, task.augment
    height, width = label.shape
    rows, columns = augment.crop
    low, high = augment.scale
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    across = scale * task.size[0] / width * rng.uniform(1 - augment.stretch, 1 + augment.stretch)
    down = scale * task.size[1] / height
    turned = augment.rotate > 45 or rng.random() < 0.4
    angle = np.deg2rad(rng.uniform(-augment.rotate, augment.rotate)) if turned else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    upright = -1.0 if augment.upside_down and rng.random() < 0.5 else 1.0
    seen = (columns / across, rows / down)
    x, y = _centre(width, seen[0], rng), _centre(height, seen[1], rng)
    if rng.random() < augment.seek:
        x, y = _rare(label, augment.rare, seen, rng) or (x, y)
    # From the crop's pixels to the picture's: Pillow's six coefficients.
    cos, sin = np.cos(angle), np.sin(angle)
    xx, xy = mirror * cos / across, -upright * sin / across
    yx, yy = mirror * sin / down, upright * cos / down
    coefficients = (
        xx, xy, x - xx * columns / 2 - xy * rows / 2, yx, yy, y - yx * columns / 2 - yy * rows / 2,
    )
    picture = Image.fromarray(image)
    if min(across, down) < 0.8:  # against aliasing
        picture = picture.filter(ImageFilter.GaussianBlur(0.35 / min(across, down)))
    method = Image.BILINEAR if rng.random() < 0.7 else Image.BICUBIC
    size = (columns, rows)
    picture = picture.transform(size, Image.AFFINE, coefficients, method, fillcolor=GREY)
    truth = Image.fromarray(label).transform(
        size, Image.AFFINE, coefficients, Image.NEAREST, fillcolor=task.void
    )
    if rng.random() < augment.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.1))))
    return np.asarray(picture), np.asarray(truth)


def _centre(size, seen, rng):
    """Centre of a view `seen` wide that stays inside `size`, or holds it where it is wider."""
    return rng.uniform(*sorted((seen / 2, size - seen / 2)))


def _rare(label, classes, seen, rng):
    """Centre of a view with a pixel of one of `classes` in it; None where there is none."""
    height, width = label.shape
    for index in rng.permutation(classes):
        places = np.flatnonzero(label == index)
        if len(places) > FEWEST:
            row, column = divmod(places[rng.integers(len(places))], width)
            return _near(column, width, seen[0], rng), _near(row, height, seen[1], rng)
    return None


def _near(place, size, seen, rng):
    """`place` and up to a third of the view away, as `_centre` bounds it."""
    place += rng.uniform(-0.35, 0.35) * seen
    return float(np.clip(place, *sorted((seen / 2, size - seen / 2))))


def recolour(image, augment, rng):
    """Inversion, gamma, dusk, contrast, tint, brightness, saturation and noise."""
    if rng.random() < augment.invert:
        image = 255 - image
    x = image.astype(np.float32) / np.float32(255)
    if rng.random() < 0.85:
        low, high = np.log(augment.gamma)
        table = (np.arange(256, dtype=np.float32) / 255) ** np.float32(np.exp(rng.uniform(low, high)))
        x = table[image]
    if rng.random() < augment.dusk:
        shade = rng.uniform(0.45, 0.75) * rng.uniform(0.8, 1.2, 3)
        x = x * shade.astype(np.float32)
    contrast = rng.uniform(0.65, 1.35)
    tint = contrast * rng.uniform(0.9, 1.1, 3)
    brightness = rng.uniform(-1, 1) * augment.brightness + augment.middle * (1 - contrast)
    x = x * tint.astype(np.float32) + np.float32(brightness)
    faded = rng.random() < augment.fade  # to grey
    saturation = np.float32(0 if faded else rng.uniform(0.5, 1.5))
    x = (x @ LUMA)[..., None] * (1 - saturation) + x * saturation
    if rng.random() < augment.noise:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(0.005, 0.04))
    return np.clip(x * 255, 0, 255)
