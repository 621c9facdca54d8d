"""Checkpoints which survive a kill: written under another name, then renamed."""

from __future__ import annotations

import os

import torch


def save(path, state):
    """Writes `state` so that `path` is always a whole file."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    partial = path + ".partial"
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path):
    """The saved state; only tensors and plain values are accepted."""
    return torch.load(path, map_location="cpu", weights_only=True)
