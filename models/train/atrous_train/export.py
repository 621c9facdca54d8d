"""Writes a trained network as ONNX, with its manifest.

    python -m atrous_train.export road CHECKPOINT --out DIR [--check FOLDER]

The graph has batch norm folded into the convolutions and stops at the decoder's stride: the
runtime upsamples the logits and takes the best class in one pass.  Kernels are stored as float16
followed by a Cast, which every runtime folds at load time, or with `--storage float32` as they
are, for a quantizer; biases stay float32.  The same checkpoint gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import replace

import torch

from . import checkpoint
from .onnx_graph import build_model
from .task import load_task

BACKBONE_TITLES = {
    "mobilenet-v2": "MobileNetV2 1.0",
    "mobilenet-v2-0.5": "MobileNetV2 0.5",
    "mobilenet-v3-large": "MobileNetV3 large",
    "mobilenet-v3-small": "MobileNetV3 small",
    "xception-lite": "Xception-lite",
}


def manifest_text(head, size, classes, ignore_index=None, upsample="align_corners"):
    """A manifest: `head` are its first keys with their texts, `classes` pairs of name and colour."""
    lines = [
        "format = 1",
        *(f'{key} = "{text}"' for key, text in head.items()),
        "",
        "[input]",
        f"width = {size[0]}",
        f"height = {size[1]}",
        'layout = "nchw"',
        'dtype = "f32"',
        'channels = "rgb"',
        "mean = [127.5, 127.5, 127.5]",
        "std = [127.5, 127.5, 127.5]",
        'fit = "stretch"',
        "",
        "[output]",
        'kind = "logits"',
        'layout = "nchw"',
        f'upsample = "{upsample}"',
    ]
    if ignore_index is not None:
        lines.append(f"ignore_index = {ignore_index}")
    for name, colour in classes:
        lines += ["", "[[class]]", f'name = "{name}"', f"colour = {list(colour)}"]
    return "\n".join(lines) + "\n"


def manifest(task, file, digest):
    """Text of a trained model's manifest."""
    title = f"{task.title}: DeepLab v3+ with a {BACKBONE_TITLES[task.network.backbone]} backbone, output stride 16"
    head = {
        "name": task.name,
        "version": task.version,
        "description": title,
        "file": file,
        "sha256": digest,
        "licence": task.licence,
        "licence_note": task.licence_note,
        "provenance": task.provenance,
    }
    return manifest_text(head, task.size, task.classes, ignore_index=255)


def write_whole(path, data):
    """Writes bytes under another name, then renames."""
    with open(path + ".partial", "wb") as file:
        file.write(data)
    os.replace(path + ".partial", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True, help="folder for NAME.onnx and the manifest")
    parser.add_argument("--manifest", default="model.toml", help="file name of the manifest")
    parser.add_argument("--storage", choices=("float16", "float32"), default="float16")
    parser.add_argument("--backbone", help="another one than the task's")
    parser.add_argument("--check", help="compare with PyTorch on pictures of this data folder")
    parser.add_argument("--count", type=int, default=5, help="pictures to compare on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(args.task)
    if args.backbone:
        task = replace(task, network=replace(task.network, backbone=args.backbone))
    net = task.new_network()
    net.load_state_dict(checkpoint.load(args.checkpoint)["net"])
    data = build_model(net, task, args.storage == "float16").SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    file = f"{task.name}.onnx"
    os.makedirs(args.out, exist_ok=True)
    write_whole(os.path.join(args.out, file), data)
    write_whole(os.path.join(args.out, args.manifest), manifest(task, file, digest).encode())
    print(f"{file}: {len(data)} bytes, sha256 {digest}")
    if args.check:
        from .evaluate import compare

        compare(net.eval(), os.path.join(args.out, file), args.check, args.count, task.labels)


if __name__ == "__main__":
    main()
