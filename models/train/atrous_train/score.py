"""Scores masks that the program wrote against labels.

    atrous run FOLDER/images MASKS/ --visualize index
    python -m atrous_train.score MASKS FOLDER

MASKS holds NAME_index.png (8-bit class index) for every FOLDER/images/NAME; the
label of NAME is FOLDER/labels/NAME.png, in which 11 means "do not count".
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from PIL import Image

from .data import list_pairs
from .metrics import Confusion


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("masks")
    parser.add_argument("folder", help="with images/ and labels/")
    args = parser.parse_args()
    confusion = Confusion()
    pairs = list_pairs(args.folder)
    for name, _, label_path in pairs:
        path = os.path.join(args.masks, f"{name}_index.png")
        if not os.path.isfile(path):
            raise SystemExit(f"no mask {path}")
        mask, label = np.asarray(Image.open(path)), np.asarray(Image.open(label_path))
        if mask.shape != label.shape:
            raise SystemExit(f"{path}: shape {mask.shape}, label {label.shape}")
        confusion.add(label, mask)
    print(f"{len(pairs)} pictures\n{confusion.table()}")


if __name__ == "__main__":
    main()
