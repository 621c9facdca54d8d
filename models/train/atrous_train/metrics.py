"""Confusion matrices and intersection over union."""

from __future__ import annotations

import numpy as np


class Confusion:
    """Counts of (truth, prediction); a truth that is no class does not count."""

    def __init__(self, names):
        self.names = names
        self.counts = np.zeros((len(names), len(names)), np.int64)

    def add(self, truth, prediction):
        classes = len(self.names)
        known = truth < classes
        pairs = truth[known].astype(np.int64) * classes + prediction[known].astype(np.int64)
        self.counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def iou(self):
        """Per class; NaN for a class that is neither in the truth nor predicted."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)

    def mean_iou(self):
        return float(np.nanmean(self.iou()))

    def accuracy(self):
        """Share of the known pixels with the right class."""
        return float(np.diag(self.counts).sum() / max(self.counts.sum(), 1))

    def table(self):
        """Text lines, one per class."""
        lines = [f"{name:<12} {100 * iou:6.2f}" for name, iou in zip(self.names, self.iou())]
        lines.append(f"{'mean IoU':<12} {100 * self.mean_iou():6.2f}")
        lines.append(f"{'pixels':<12} {100 * self.accuracy():6.2f}")
        return "\n".join(lines)
