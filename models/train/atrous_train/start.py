"""Start weights: folded MobileNetV2 / DeepLab v3 layers from an npz archive.

The archive holds, for each layer, `NAME/weights` (HWIO) or `NAME/depthwise_weights` (HWC1) and
`NAME/biases`, with batch norm already folded in.  The network trains with batch norm, so every
norm of a loaded layer is set to undo itself on a calibration batch: it keeps the statistics of
that batch and gets the scale and shift which make it (exactly) "add the bias".

A narrower network takes the channels which matter most (`halve`).  Its norms get the scale and
shift which give each channel the mean and variance it has in the wide network on that batch.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from .backbones.mobilenet_v2 import MobileNetV2
from .deeplab import DeepLab

MIN_VARIANCE = 1e-4
WIDE_HEAD = 256


class _Reached(Exception):
    """Stops a forward pass at the layer under calibration."""


def archive_layers(net):
    """Pairs of (ConvNorm, name in the archive), in order of execution."""
    yield net.backbone.stem, "MobilenetV2/Conv"
    for index, block in enumerate(net.backbone.blocks):
        prefix = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
        for part in ("expand", "depthwise", "project"):
            layer = getattr(block, part)
            if layer is not None:
                yield layer, f"{prefix}/{part}"
    yield net.aspp0, "aspp0"
    yield net.pool, "image_pooling"


def start_from(net, path, calibration):
    """Fills `net` from an archive (.npz) or a checkpoint of the same network; returns what loaded.

    `calibration` is an input batch, for an archive.
    """
    if not os.path.isfile(path):
        raise SystemExit(f"start weights not found: {path}")
    if not path.endswith(".npz"):
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["net"])
        return "all layers"
    if not isinstance(net.backbone, MobileNetV2):
        raise SystemExit(f"{path} is for MobileNetV2")
    archive = np.load(path)
    full = archive["MobilenetV2/Conv/weights"].shape[3] == net.backbone.stem.conv.out_channels
    if full and net.aspp0.conv.out_channels == WIDE_HEAD:
        return f"{load_archive(net, archive, calibration)} layers"
    wide = DeepLab("mobilenet-v2", 2, WIDE_HEAD)
    load_archive(wide, archive, calibration)
    return f"{halve(wide, net, calibration)} layers, the strongest channels of each"


def load_archive(net, archive, calibration):
    """Fills the layers of a network as wide as the archive; returns how many."""
    layers = list(archive_layers(net))
    for layer, name in layers:
        _copy_kernel(layer.conv, archive, name)
    was_training = net.training
    net.eval()
    for layer, name in layers:
        bias = torch.from_numpy(archive[f"{name}/biases"])
        mean, variance = _statistics(net, layer, layer.conv, calibration)
        _set_norm(layer.norm, mean, variance, variance, bias + mean)
    net.train(was_training)
    return len(layers)


def _copy_kernel(conv, archive, name):
    """Copies one kernel, from TensorFlow's order of axes to PyTorch's."""
    if f"{name}/depthwise_weights" in archive:
        kernel = archive[f"{name}/depthwise_weights"].transpose(2, 3, 0, 1)
    else:
        kernel = archive[f"{name}/weights"].transpose(3, 2, 0, 1)
    if tuple(conv.weight.shape) != kernel.shape:
        raise SystemExit(f"{name}: shape {kernel.shape}, expected {tuple(conv.weight.shape)}")
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))


@torch.no_grad()
def _set_norm(norm, mean, variance, wanted_variance, wanted_mean):
    """Statistics, and the scale and shift that lead to the wanted ones."""
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance.clamp(min=MIN_VARIANCE))
    scale = (wanted_variance.clamp(min=MIN_VARIANCE) + norm.eps).sqrt()
    norm.weight.copy_(scale)
    norm.bias.copy_(wanted_mean)


@torch.no_grad()
def _statistics(net, layer, part, batch):
    """Mean and variance per channel of what `part` of `layer` gives."""
    seen = {}

    def stop(_module, _inputs, output):
        seen["output"] = output.float()
        raise _Reached

    handle = part.register_forward_hook(stop)
    try:
        net(batch)
    except _Reached:
        pass
    finally:
        handle.remove()
    output = seen["output"]
    return output.mean((0, 2, 3)), output.var((0, 2, 3), unbiased=False)


def _strongest(scores, count):
    """Sorted places of the `count` largest."""
    return torch.topk(scores, count).indices.sort().values


@torch.no_grad()
def halve(wide, net, batch):
    """Fills a narrow network from a wide one of the same shape; returns the number of layers.

    Channels that blocks add to each other must be the same ones: they are chosen once per stage,
    by what all layers which read or write them make of them.  Hidden channels of a block are
    chosen by its projection.
    """
    wide.eval()
    net.eval()
    pairs = list(zip(wide.backbone.blocks, net.backbone.blocks))
    stream = _strongest(_norms(wide.backbone.blocks[0].depthwise.conv.weight, 0), _outputs(net.backbone.stem))
    _take(wide, net, wide.backbone.stem, net.backbone.stem, stream, None, batch)
    layers = 1
    for index, (block, small) in enumerate(pairs):
        inputs, hidden_count = stream, _outputs(small.depthwise)
        if block.expand is None:
            hidden = inputs
        else:
            hidden = _strongest(_norms(block.project.conv.weight, 1), hidden_count)
            _take(wide, net, block.expand, small.expand, hidden, inputs, batch)
            layers += 1
        _take(wide, net, block.depthwise, small.depthwise, hidden, None, batch)
        if not block.residual:
            stream = _strongest(_stage_scores(wide, index), _outputs(small.project))
        _take(wide, net, block.project, small.project, stream, hidden, batch)
        layers += 2
    for part in ("aspp0", "pool"):
        layer, small = getattr(wide, part), getattr(net, part)
        chosen = _strongest(layer.norm.weight.abs(), _outputs(small))
        _take(wide, net, layer, small, chosen, stream, batch)
        layers += 1
    net.train()
    return layers


def _outputs(layer):
    return layer.conv.out_channels


def _norms(kernel, axis):
    """Size of the kernel's part of each output (0) or input (1) channel."""
    return kernel.transpose(0, axis).flatten(1).norm(dim=1)


def _stage_scores(wide, first):
    """How much each channel of the stage that block `first` opens is written and read."""
    blocks = wide.backbone.blocks
    scores = blocks[first].project.norm.weight.abs().clone()
    after = first + 1
    while after < len(blocks) and blocks[after].residual:
        scores += blocks[after].project.norm.weight.abs()
        scores *= 1 + _norms(blocks[after].expand.conv.weight, 1)
        after += 1
    reader = blocks[after].expand if after < len(blocks) else wide.aspp0
    return scores * _norms(reader.conv.weight, 1)


def _take(wide, net, source, target, outputs, inputs, batch):
    """Copies the chosen part of a kernel and matches mean and variance of its channels."""
    kernel = source.conv.weight[outputs]
    target.conv.weight.copy_(kernel if inputs is None else kernel[:, inputs])
    wanted_mean, wanted_variance = _statistics(wide, source, source.norm, batch)
    mean, variance = _statistics(net, target, target.conv, batch)
    _set_norm(target.norm, mean, variance, wanted_variance[outputs], wanted_mean[outputs])
