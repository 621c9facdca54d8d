"""Confusion matrices and intersection over union."""

from __future__ import annotations

import numpy as np

from .data import CLASS_NAMES

CLASSES = len(CLASS_NAMES)


class Confusion:
    """Counts of (truth, prediction) over all pixels with a known class."""

    def __init__(self):
        self.counts = np.zeros((CLASSES, CLASSES), np.int64)

    def add(self, truth, prediction):
        known = truth < CLASSES
        pairs = truth[known].astype(np.int64) * CLASSES + prediction[known].astype(np.int64)
        self.counts += np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)

    def iou(self):
        """Per class; NaN for a class that is neither in the truth nor predicted."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        return np.divide(hit, union, out=np.full(CLASSES, np.nan), where=union > 0)

    def mean_iou(self):
        return float(np.nanmean(self.iou()))

    def accuracy(self):
        """Share of the known pixels with the right class."""
        return float(np.diag(self.counts).sum() / max(self.counts.sum(), 1))

    def table(self):
        """Text lines, one per class."""
        lines = [f"{name:<12} {100 * iou:6.2f}" for name, iou in zip(CLASS_NAMES, self.iou())]
        lines.append(f"{'mean IoU':<12} {100 * self.mean_iou():6.2f}")
        lines.append(f"{'pixels':<12} {100 * self.accuracy():6.2f}")
        return "\n".join(lines)
