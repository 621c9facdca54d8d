"""Scores masks that the program wrote against labels.

    atrous run FOLDER/images MASKS/ --visualize index
    python -m atrous_train.score MASKS FOLDER [--manifest ../nuclei/model.toml]

MASKS holds NAME_index.png (8-bit class index) for every FOLDER/images/NAME; the label of NAME is
FOLDER/labels/NAME.png or FOLDER/masks/NAME.png, in which a value that is no class (11 in CamVid)
means "do not count".
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from PIL import Image

from .data import list_pairs
from .evaluate import labels_of, read_manifest
from .metrics import Confusion

ROAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "road", "model.toml")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("masks")
    parser.add_argument("folder", help="with images/ and labels/ or masks/")
    parser.add_argument("--manifest", default=ROAD, help="of the model; the road model's if not given")
    args = parser.parse_args()
    confusion = Confusion(read_manifest(args.manifest)[1])
    pairs = list_pairs(args.folder, labels_of(args.folder))
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
