"""Draws a run's curves: python -m atrous_train.plot RUN/curves.csv OUT.png"""

from __future__ import annotations

import argparse
import csv

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


def read_curves(path):
    """Rows with a running step number over both stages."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    offset, last, stage = 0, 0, None
    for row in rows:
        if stage is not None and row["stage"] != stage:
            offset, last = offset + last, 0
        stage, last = row["stage"], int(row["step"])
        row["at"] = offset + last
    return rows


def column(rows, field):
    """Steps and values of the rows which have this field."""
    chosen = [row for row in rows if row[field]]
    return [row["at"] for row in chosen], [float(row[field]) for row in chosen]


def draw(path, out):
    rows = read_curves(path)
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(7, 6), sharex=True)
    upper.plot(*column(rows, "loss"), label="training loss (smoothed)")
    upper.set_ylabel("loss")
    upper.legend()
    for field, label in (("camvid", "CamVid val"), ("scenes", "held-out scenes")):
        steps, values = column(rows, field)
        if steps:
            lower.plot(steps, values, marker="o", label=f"mean IoU, {label}")
    lower.set_ylabel("mean IoU")
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
