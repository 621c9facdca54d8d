"""Writes networks of the family as ONNX, each in a folder with its manifest.

    python -m atrous_train.family.export [NAME...] --out DIR [--seed 1] [--size WxH] [--check]
        [--scenes DIR]

Without a name: all of them. The same seed gives the same bytes on the same version of PyTorch. Batch
norms get the statistics of two pictures, so that numbers stay within bounds however deep the network
is: of drawn blotches, or of the scenes that `--scenes` names (`images/` and `labels/`, as
`render_scenes` writes them), to which the last layers are then fitted as well.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..export import manifest_text, write_whole
from ..layers import ConvNorm
from ..onnx_graph import build_model
from . import MEMBERS
from .fit import fit, read_scenes
from .layers import Up


TOLERANCE = 2e-3  # of the largest score; folded norms of a hundred layers add up


@dataclass(frozen=True)
class Plan:
    """What `build_model` wants to know of a network."""

    name: str
    title: str
    size: tuple
    classes: list
    licence: str = "CC0-1.0"


def picture(size, seed, count):
    """Smooth blotches in [-1, 1]: something like a picture, from a seed."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    result = torch.zeros(count, 3, height, width)
    for octave in range(1, 6):
        cells = torch.rand(count, 3, 2**octave, 2**octave, generator=generator) * 2 - 1
        result += F.interpolate(cells, (height, width), mode="bicubic", align_corners=True) / octave
    return result.clamp(-1, 1)


def draw_weights(net, pictures, seed):
    """Kaiming weights from a seed, learned upsampling as interpolation, and norms' statistics."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.uniform_(module.bias, 0.5, 1.5)
            module.momentum = None  # statistics are those of the one batch
    for module in net.modules():
        if isinstance(module, Up) and module.bilinear:
            module.start()
    if any(isinstance(module, ConvNorm) for module in net.modules()):
        net.train()
        with torch.no_grad():
            net(pictures)
        if isinstance(getattr(net, "pool", None), ConvNorm):
            steady(net.pool.norm)
    return net.eval()


def steady(norm):
    """Statistics for a norm that sees one value a picture, much the same for all of them.

    By its deviation what little differs would be all that is left, and with it the error of 8 bits.
    """
    norm.running_var += norm.running_mean.square()
    norm.running_mean.zero_()


def manifest(plan, file, digest, fitted, upsample):
    """Text of a network's manifest."""
    origin = "last layers fitted to drawn streets" if fitted else "not trained"
    head = {
        "name": plan.name,
        "version": "0.0.0",
        "description": f"{plan.title}; weights from a seed, {origin}",
        "file": file,
        "sha256": digest,
        "licence": plan.licence,
    }
    return manifest_text(head, plan.size, plan.classes, upsample=upsample)


def colours(count):
    """Classes with the colours that PASCAL VOC gives its numbers."""
    def bits(index, channel):
        return sum(((index >> (3 * i + channel)) & 1) << (7 - i) for i in range(3))

    return [(f"class {i}", [bits(i, 0), bits(i, 1), bits(i, 2)]) for i in range(count)]


def check(net, data, size, seed):
    """The largest difference between ONNX Runtime's scores and PyTorch's, as a share of the latter."""
    import onnxruntime

    x = picture(size, seed + 1, 1)
    with torch.no_grad():
        want = net(x)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
    return float((got - want).abs().max() / want.abs().max())


def export(name, out, seed, size=None, checked=False, scenes=None):
    """One network; the path of its ONNX file."""
    member = MEMBERS[name]
    size = size or member.size
    plan = Plan(name, member.title, size, colours(member.classes))
    torch.manual_seed(seed)
    pictures, labels = picture(size, seed, 2), None
    if scenes:
        pictures, labels = read_scenes(scenes, size, member.classes)
    net = draw_weights(member.build(), pictures, seed)
    right = fit(net, pictures, labels) if scenes else None
    data = build_model(net, plan, half=False).SerializeToString(deterministic=True)
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    file = f"{name}.onnx"
    digest = hashlib.sha256(data).hexdigest()
    write_whole(os.path.join(folder, file), data)
    upsample = "middle" if net.middle else "align_corners"
    text = manifest(plan, file, digest, bool(scenes), upsample)
    write_whole(os.path.join(folder, "model.toml"), text.encode())
    parameters = sum(p.numel() for p in net.parameters())
    line = f"{name}: {size[0]}x{size[1]}, {parameters / 1e6:.2f} M parameters, {len(data) / 1e6:.1f} MB"
    if right is not None:
        line += f", right on {right:.0%} of its scenes"
    if checked:
        difference = check(net, data, size, seed)
        line += f", {difference:.1e} from PyTorch"
        if not difference < TOLERANCE:
            raise SystemExit(f"{line}: more than {TOLERANCE}")
    print(line, flush=True)
    return os.path.join(folder, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(MEMBERS))
    parser.add_argument("--out", required=True, help="a folder for each network is made in it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="compare each with PyTorch")
    parser.add_argument("--scenes", help="folder of scenes that the last layers are fitted to")
    parser.add_argument("--size", help="WxH instead of each network's own")
    args = parser.parse_args()
    unknown = set(args.names) - set(MEMBERS)
    if unknown:
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(MEMBERS)}")
    size = tuple(int(side) for side in args.size.split("x")) if args.size else None
    torch.set_num_threads(1)
    for name in args.names or MEMBERS:
        export(name, args.out, args.seed, size, args.check, args.scenes)


if __name__ == "__main__":
    main()
