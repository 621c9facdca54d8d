"""Start weights: folded MobileNetV2 / DeepLab v3 layers from an npz archive.

The archive holds, for each layer, `NAME/weights` (HWIO) or
`NAME/depthwise_weights` (HWC1) and `NAME/biases`, with batch norm already
folded in.  The network trains with batch norm, so every norm of a loaded layer
is set to undo itself on a calibration batch: it keeps the statistics of that
batch and gets the scale and shift which make it (exactly) "add the bias".
"""

from __future__ import annotations

import os

import numpy as np
import torch

MIN_VARIANCE = 1e-4


class _Reached(Exception):
    """Stops a forward pass at the layer under calibration."""


def pretrained_layers(net):
    """Pairs of (ConvNorm, name in the archive), in order of execution."""
    yield net.stem, "MobilenetV2/Conv"
    for index, block in enumerate(net.blocks):
        prefix = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
        for part in ("expand", "depthwise", "project"):
            layer = getattr(block, part)
            if layer is not None:
                yield layer, f"{prefix}/{part}"
    yield net.aspp0, "aspp0"
    yield net.pool, "image_pooling"


def load_pretrained(net, path, calibration):
    """Fills `net` from the archive at `path`; `calibration` is an input batch.

    Returns the number of layers loaded.
    """
    if not os.path.isfile(path):
        raise SystemExit(f"start weights not found: {path}")
    archive = np.load(path)
    layers = list(pretrained_layers(net))
    for layer, name in layers:
        _copy_kernel(layer.conv, archive, name)
    was_training = net.training
    net.eval()
    for layer, name in layers:
        _calibrate(net, layer, torch.from_numpy(archive[f"{name}/biases"]), calibration)
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
def _calibrate(net, layer, bias, batch):
    """Makes `layer.norm` act as `+ bias` while holding this batch's statistics."""
    seen = {}

    def stop(_module, _inputs, output):
        seen["output"] = output.float()
        raise _Reached

    handle = layer.conv.register_forward_hook(stop)
    try:
        net(batch)
    except _Reached:
        pass
    finally:
        handle.remove()
    output = seen["output"]
    norm = layer.norm
    mean = output.mean((0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(output.var((0, 2, 3), unbiased=False).clamp(min=MIN_VARIANCE))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(bias + mean)
