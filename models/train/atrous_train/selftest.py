"""Every backbone builds, takes a training step, exports and agrees with PyTorch; no data needed.

    python -m atrous_train.selftest
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import onnxruntime
import torch

from .augment import view
from .averages import Average, reestimate_norms
from .backbones import BACKBONES
from .device import Device
from .losses import loss_of, lovasz_softmax
from .metrics import Confusion
from .onnx_graph import build_model
from .start import halve
from .task import Recipe, load_task
from .train import make_optimizer

SIZE = (97, 65)  # width, height
TOLERANCE = 2e-4  # of the largest logit


def check(condition, what):
    if not condition:
        raise SystemExit(f"selftest: {what}")


def small_task(name="road", backbone_name=None):
    """A task with a small input."""
    task = load_task(name)
    network = replace(task.network, backbone=backbone_name or task.network.backbone, head=64, low=16)
    return replace(task, size=SIZE, network=network, augment=replace(task.augment, crop=SIZE[::-1]))


def batch(classes, count=2):
    x = torch.rand(count, 3, SIZE[1], SIZE[0]) * 2 - 1
    return x.contiguous(memory_format=torch.channels_last), torch.randint(0, classes, (count, *SIZE[::-1]))


def check_backbone(name):
    """Forward, a step, statistics, export, agreement; returns the number of parameters."""
    torch.manual_seed(1)
    task, device = small_task(backbone_name=name), Device("cpu")
    net = device.place(task.new_network())
    x, labels = batch(len(task.classes))
    net.train()
    with device.autocast():
        logits = net(x)
    want = (2, len(task.classes), (SIZE[1] - 1) // 4 + 1, (SIZE[0] - 1) // 4 + 1)
    check(tuple(logits.shape) == want, f"{name}: logits {tuple(logits.shape)}, expected {want}")
    loss, *_ = loss_of(logits, labels, None, task.void, replace(Recipe(), lovasz=0.5))
    before = net.classifier.weight.detach().clone()
    optimizer = make_optimizer(net, Recipe(), (net.backbone,))
    loss.backward()
    check(all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters()),
          f"{name}: a gradient is missing or not finite")
    optimizer.step()
    check(not torch.equal(before, net.classifier.weight), f"{name}: the step changed nothing")
    average = Average(net, 0.9)
    average.update(net, 1)
    reestimate_norms(average.net, [x], device.autocast)
    compare_export(average.net, task, name)
    return sum(p.numel() for p in net.parameters())


def compare_export(net, task, name):
    """The ONNX file with float32 kernels computes what PyTorch does; equal networks, equal bytes."""
    model = build_model(net, task, half=False)
    data = model.SerializeToString(deterministic=True)
    again = build_model(net, task, half=False).SerializeToString(deterministic=True)
    check(data == again, f"{name}: two exports differ")
    check(not any(n.op_type == "BatchNormalization" for n in model.graph.node), f"{name}: a norm is left")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x, _ = batch(1, 1)
    with torch.no_grad():
        expected = net(x).numpy()
    (got,) = session.run(["logits"], {"input": x.contiguous().numpy()})
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    check(error < TOLERANCE, f"{name}: the export differs by {error}")


def check_halving():
    """A network narrowed to its own width is the same network."""
    torch.manual_seed(2)
    task = small_task()
    wide, net = task.new_network(), task.new_network()
    x, _ = batch(1, 2)
    reestimate_norms(wide, [x], torch.no_grad)
    halve(wide, net, x)
    wide.eval(), net.eval()
    with torch.no_grad():
        error = (wide.backbone(x)[1] - net.backbone(x)[1]).abs().max() / wide.backbone(x)[1].abs().max()
    check(error < 1e-2, f"narrowing changes the backbone by {error}")


def check_parts():
    """Loss, confusion and augmentation on cases with known answers."""
    truth = torch.arange(2).repeat(50)
    right = torch.nn.functional.one_hot(truth).float()
    check(lovasz_softmax(right, truth) < 1e-6, "Lovasz of a perfect answer is not 0")
    check(abs(float(lovasz_softmax(1 - right, truth)) - 1) < 1e-6, "Lovasz of a wrong answer is not 1")
    confusion = Confusion(["a", "b"])
    confusion.add(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]))
    check(np.allclose(confusion.iou(), [0.5, 0.5]), "intersection over union")
    pair = (np.zeros((90, 120, 3), np.uint8), np.ones((90, 120), np.uint8))
    for name in ("road", "nuclei"):
        task = small_task(name)
        one, two = (view(pair, task, np.random.default_rng(3)) for _ in range(2))
        check(one[0].shape == (*SIZE[::-1], 3) and one[1].shape == SIZE[::-1], "shape of a view")
        check(np.array_equal(one[0], two[0]), "a view does not depend on its seed alone")
        check(set(np.unique(one[1])) <= {1, task.void}, "a view has invented a label")


def main():
    torch.set_num_threads(2)
    check_parts()
    check_halving()
    print("parts: ok", flush=True)
    for name in BACKBONES:
        started = time.monotonic()
        parameters = check_backbone(name)
        print(f"{name}: ok, {parameters} parameters, {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
