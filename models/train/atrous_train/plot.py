"""Draws a run's curves: python -m atrous_train.plot RUN/curves.csv OUT.png"""

from __future__ import annotations

import argparse
import csv

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

LOSSES = {"entropy": "cross entropy", "lovasz": "Lovasz"}
OTHERS = ("step", "seconds", "rate")


def column(rows, field):
    """Steps and values of the rows which have this field."""
    chosen = [row for row in rows if row[field]]
    return [int(row["step"]) for row in chosen], [float(row[field]) for row in chosen]


def draw(path, out):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(7, 6), sharex=True)
    for field, label in LOSSES.items():
        upper.plot(*column(rows, field), label=label)
    upper.set_ylabel("training loss (smoothed)")
    upper.legend()
    for field in rows[0] if rows else ():
        if field not in LOSSES and field not in OTHERS:
            lower.plot(*column(rows, field), marker="o", label=f"mean IoU, {field}")
    lower.set_ylabel("mean IoU of held-out pictures")
    lower.set_xlabel("step")
    lower.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves")
    parser.add_argument("out")
    args = parser.parse_args()
    draw(args.curves, args.out)


if __name__ == "__main__":
    main()
