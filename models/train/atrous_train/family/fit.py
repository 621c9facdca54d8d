"""Fits the last layers of a network, which make its scores, to drawn scenes; all before stays as it is.

Features of random weights see enough for a linear classifier to tell a street's classes apart: a mask
then has edges, and most of its pixels a clear winner, as behind a trained network. With random last
layers as well, scores are so close that rounding decides. The loss is the cross entropy, convex in
these layers, and L-BFGS sees all scenes at once: the same scenes give the same weights.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from .layers import crop

ITERATIONS = 60
DECAY = 1e-2  # of squared weights, as for features of mean square one: small weights carry little noise
RIDGE = 1e-4  # beside the mean square of features, where whitening divides by little
ROAD = 3  # of the scenes' classes; a network of two tells it from all else


def read_scenes(folder, size, classes):
    """Pictures in [-1, 1] and labels that `render_scenes` drew, at a network's input size."""
    pictures, labels = [], []
    for name in sorted(os.listdir(os.path.join(folder, "images"))):
        with Image.open(os.path.join(folder, "images", name)) as image:
            pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
        with Image.open(os.path.join(folder, "labels", name)) as image:
            indices = np.asarray(image.resize(size, Image.Resampling.NEAREST), np.int64)
        pictures.append(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1).contiguous())
        labels.append(torch.from_numpy(indices))
    if len(pictures) < 2:
        raise SystemExit(f"{folder}: two scenes or more are needed in images/ and labels/")
    labels = torch.stack(labels)
    return torch.stack(pictures), (labels == ROAD).long() if classes == 2 else labels


def sampled(labels, size, middle):
    """The labels of the pixels where scores lie: of the picture's middle, or corner to corner."""
    if middle:
        return crop(labels[None, None], size)[0, 0]
    rows, columns = (
        torch.linspace(0, there - 1, here).round().long() for there, here in zip(labels.shape, size)
    )
    return labels[rows][:, columns]


class Whitened(nn.Module):
    """Kernels of features that are uncorrelated and of mean square one, as kernels of the features.

    L-BFGS takes few steps on those and hundreds on raw ones, of which some are large and most alike.
    """

    def __init__(self, features):
        super().__init__()
        rows = torch.cat([f.permute(0, 2, 3, 1).flatten(0, 2) for f in features]).double()
        moments = rows.T @ rows / len(rows)
        moments.diagonal().add_(RIDGE * moments.diagonal().mean())
        inverse = torch.linalg.inv(torch.linalg.cholesky(moments))
        self.register_buffer("inverse", inverse.float())

    def forward(self, kernels):
        return torch.einsum("oiyx,ij->ojyx", kernels, self.inverse)

    def right_inverse(self, kernels):
        return kernels


def fit(net, pictures, labels):
    """Sets the weights of `net.heads()`; gives the share of the scenes' scores that they get right."""
    size = pictures.shape[2:]
    convolutions = [getattr(head, "conv", head) for head in net.heads()]
    for p in net.parameters():
        p.requires_grad_(False)
    cached = [net.features(picture[None]) for picture in pictures]
    decays = [DECAY * feature.square().mean().item() for feature in cached[0]]
    whitened = {}  # heads may share their features
    for conv, features in zip(convolutions, zip(*cached)):
        conv.weight.zero_()
        conv.bias.zero_()
        key = id(features[0])
        if key not in whitened:
            whitened[key] = Whitened(features)
        parametrize.register_parametrization(conv, "weight", whitened[key])
    trained = [p for conv in convolutions for p in (conv.bias, conv.parametrizations.weight.original)]
    for p in trained:
        p.requires_grad_(True)
    shape = net.head(cached[0], size).shape[2:]
    wanted = [sampled(label, shape, net.middle)[None] for label in labels]
    optimizer = torch.optim.LBFGS(trained, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        with parametrize.cached():
            loss = sum(decay * conv.weight.square().sum() for decay, conv in zip(decays, convolutions))
            for features, label in zip(cached, wanted):
                loss = loss + F.cross_entropy(net.head(features, size), label) / len(wanted)
        loss.backward()
        return loss.detach()

    optimizer.step(closure)
    for conv in convolutions:
        parametrize.remove_parametrizations(conv, "weight")
    with torch.no_grad():
        right = [
            (net.head(features, size).argmax(1) == label).float().mean().item()
            for features, label in zip(cached, wanted)
        ]
    return sum(right) / len(right)
