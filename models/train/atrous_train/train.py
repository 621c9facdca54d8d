"""Trains the network of a task.

    python -m atrous_train.train road --data DIR --start FILE --run DIR

Leaves `RUN/state.pt` (in progress, resumable), `RUN/best.pt` (weights, while it runs) and
`RUN/final.pt` (weights at the end).  Started again with the same arguments it goes on where it
was.  It ends after its steps or its minutes, whichever is nearer; the learning rate follows that
progress.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import time
from dataclasses import fields, replace

import torch
from torch import nn

from . import checkpoint
from .averages import Average, reestimate_norms
from .data import Mixer, Prefetch, class_weights, load_source, to_input
from .device import Device
from .layers import upsample
from .losses import loss_of
from .metrics import Confusion
from .start import start_from
from .task import Recipe, load_task

FIELDS = ("step", "seconds", "rate", "entropy", "lovasz")
LONGEST_STEP = 20.0  # seconds; what a step took longer, the process was stopped
FIRST_NORM_BATCH = 1 << 24
CALIBRATION_BATCH = 1 << 23


def progress_of(recipe, step, seconds):
    """Share of the run that is done, 0..1."""
    done = step / recipe.steps
    if recipe.minutes > 0:
        done = max(done, seconds / (60 * recipe.minutes))
    return min(done, 1.0)


def rate_factor(recipe, step, progress):
    """Linear warm-up times the poly curve."""
    return min(1.0, (step + 1) / max(recipe.warmup, 1)) * (1.0 - progress) ** recipe.power


def make_optimizer(net, recipe, loaded):
    """Weights of norms and biases are not decayed; `loaded` modules learn at the old rate."""
    old = {id(p) for module in loaded for p in module.parameters()}
    groups = []
    for is_old in (True, False):
        for is_kernel in (True, False):
            chosen = [
                p for p in net.parameters()
                if p.requires_grad and (id(p) in old) == is_old and (p.dim() > 1) == is_kernel
            ]
            rate = recipe.rate_old if is_old else recipe.rate_new
            decay = recipe.decay if is_kernel else 0.0
            groups.append({"params": chosen, "lr": rate, "rate": rate, "weight_decay": decay})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), foreach=True)


class Curves:
    """Rows of the CSV file with the run's curves; one more column per held-out set."""

    def __init__(self, path, held_out):
        self.path, self.fields = path, (*FIELDS, *held_out)
        if not os.path.isfile(path):
            with open(path, "w", newline="") as file:
                csv.writer(file).writerow(self.fields)

    def add(self, **row):
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow([row.get(name, "") for name in self.fields])


class Trainer:
    """A run: network, its average, optimizer, data and clock."""

    def __init__(self, task, args, device):
        self.task, self.args, self.device, self.recipe = task, args, device, task.recipe
        loaded = [(load_source(s, task, args), s.per_batch) for s in task.sources]
        self.mixer = Mixer(loaded, task, self.recipe.seed)
        self.held_out = {s.name: load_source(s, task, args)[:: args.score_stride]
                         for s in task.held_out if os.path.isdir(s.path(args.data, args.run))}
        self.weights = None
        if self.recipe.weighted:
            real = [pair for s, (pairs, _) in zip(task.sources, loaded) if s.folder for pair in pairs]
            self.weights = class_weights(real, len(task.classes)).to(device.name)
        self.state_path = os.path.join(args.run, "state.pt")
        self.curves = Curves(os.path.join(args.run, "curves.csv"), self.held_out)
        self.step, self.seconds, self.means, self.best = 0, 0.0, None, -1.0
        self.stopped = False
        self.prepare()

    def prepare(self):
        """Start weights or the state of an earlier run."""
        torch.manual_seed(self.recipe.seed)
        net = self.task.new_network()
        state = checkpoint.load(self.state_path) if os.path.isfile(self.state_path) else None
        if state is None and self.args.start:
            what = start_from(net, self.args.start, self.mixer.batch(CALIBRATION_BATCH)[0][:4])
            print(f"{what} from {os.path.basename(self.args.start)}", flush=True)
        self.net = self.device.place(net)
        self.frozen = []
        if self.recipe.freeze >= 0:
            self.frozen = self.net.backbone.early(self.recipe.freeze)
            for module in self.frozen:
                module.requires_grad_(False)
        started = (net.backbone, net.pool, net.aspp0) if self.args.start else ()
        self.optimizer = make_optimizer(self.net, self.recipe, started)
        self.average = Average(self.net, self.recipe.ema)
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.average.net.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
            print(f"resumed at step {self.step}", flush=True)

    def train_mode(self):
        self.net.train()
        for module in self.frozen:
            module.eval()

    def one_step(self, batch):
        """One optimizer step; returns cross entropy and Lovasz loss."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)  # dropout
        x, labels = (part.to(self.device.name, non_blocking=True) for part in batch)
        with self.device.autocast():
            logits = self.net(x)
        loss, *parts = loss_of(logits, labels, self.weights, self.task.void, self.recipe)
        self.optimizer.zero_grad()
        loss.backward()
        size = nn.utils.clip_grad_norm_(
            [p for p in self.net.parameters() if p.requires_grad], self.recipe.clip
        )
        if torch.isfinite(size):
            self.optimizer.step()
        else:
            print(f"step {self.step}: gradient is not finite, skipped", flush=True)
        return parts

    def run(self):
        """Trains to the end and writes the final weights."""
        feed = Prefetch(self.mixer, self.step)
        signal.signal(signal.SIGTERM, self.stop)
        saved = scored = time.monotonic()
        self.train_mode()
        while (progress := progress_of(self.recipe, self.step, self.seconds)) < 1.0:
            started = time.monotonic()
            factor = rate_factor(self.recipe, self.step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            parts = self.one_step(feed.next())
            self.step += 1
            self.average.update(self.net, self.step)
            took = time.monotonic() - started
            self.seconds += took if took < LONGEST_STEP else 0.0
            self.log(parts, progress, factor)
            if time.monotonic() - scored > self.args.score_seconds:
                self.score(self.average.net, "best.pt")
                scored = time.monotonic()
            if self.stopped or time.monotonic() - saved > self.args.save_seconds:
                self.save()
                saved = time.monotonic()
            if self.stopped:
                raise SystemExit(f"stopped at step {self.step}; the same command goes on from there")
        self.save()
        net = self.average.net
        if self.recipe.norm_batches > 0:
            batches = (self.mixer.batch(FIRST_NORM_BATCH + i)[0].to(self.device.name)
                       for i in range(self.recipe.norm_batches))
            reestimate_norms(net, batches, self.device.autocast)
        self.score(net)
        checkpoint.save(os.path.join(self.args.run, "final.pt"), self.weights_of(net))
        print(f"{self.step} steps, {self.seconds / 60:.1f} minutes", flush=True)

    def stop(self, *_):
        """Asks for an end after the step in progress."""
        self.stopped = True

    def log(self, parts, progress, factor):
        """Smoothed losses, every few steps."""
        old = self.means or parts
        self.means = [0.97 * a + 0.03 * b for a, b in zip(old, parts)]
        if self.step % self.args.log_every and self.step > 3:
            return
        entropy, lovasz = self.means
        print(
            f"step {self.step} {self.seconds:.0f} s, {self.seconds / self.step:.2f} s/step, "
            f"done {100 * progress:.1f}%, cross entropy {entropy:.4f}, Lovasz {lovasz:.4f}", flush=True,
        )
        self.curves.add(step=self.step, seconds=f"{self.seconds:.0f}", rate=f"{factor:.5f}",
                        entropy=f"{entropy:.5f}", lovasz=f"{lovasz:.5f}")

    def score(self, net, best=None):
        """Scores the held-out sets; the best so far of the first one is kept."""
        scores = {}
        for name, pairs in self.held_out.items():
            confusion = score_pairs(net, pairs, self.task, self.device)
            scores[name] = confusion.mean_iou()
            print(f"step {self.step} {name}: mean IoU {scores[name]:.4f} {confusion.iou().round(3)}", flush=True)
        self.curves.add(step=self.step, seconds=f"{self.seconds:.0f}",
                        **{name: f"{value:.5f}" for name, value in scores.items()})
        first = next(iter(scores.values()), 0.0)
        if best and first > self.best:
            self.best = first
            checkpoint.save(os.path.join(self.args.run, best), self.weights_of(net))

    def weights_of(self, net):
        return {"net": net.state_dict(), "step": self.step, "seconds": self.seconds, "task": self.task.name}

    def save(self):
        checkpoint.save(self.state_path, {
            "net": self.net.state_dict(), "average": self.average.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step, "seconds": self.seconds, "best": self.best,
        })


@torch.no_grad()
def score_pairs(net, pairs, task, device):
    """Confusion over pictures, each at its own size."""
    net.eval()
    confusion = Confusion([name for name, _ in task.classes])
    shape = task.size[::-1]
    for image, label in pairs:
        x = to_input(image[None]).to(device.name)
        x = nn.functional.interpolate(x, size=shape, mode="bilinear", antialias=True)
        with device.autocast():
            logits = net(x)
        best = upsample(logits.float(), shape).argmax(1, keepdim=True)
        best = nn.functional.interpolate(best.float(), size=label.shape, mode="nearest-exact")
        confusion.add(label, best[0, 0].cpu().numpy().astype("uint8"))
    return confusion


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", help="name in tasks/, or a file like those")
    parser.add_argument("--data", required=True, help="folder which the task's folders are in")
    parser.add_argument("--start", help="npz or checkpoint with start weights; else from scratch")
    parser.add_argument("--run", required=True, help="folder for checkpoints, curves and scenes")
    parser.add_argument("--backbone", help="another one than the task's")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--score-seconds", type=float, default=480)
    parser.add_argument("--score-stride", type=int, default=4, help="score every n-th picture")
    parser.add_argument("--save-seconds", type=float, default=110)
    parser.add_argument("--threads", type=int, default=2)
    for option in fields(Recipe):
        kind = type(option.default)
        parse = (lambda text: text.lower() in ("1", "true", "yes")) if kind is bool else kind
        parser.add_argument("--" + option.name.replace("_", "-"), type=parse, help="see tasks/")
    return parser


def with_options(task, args):
    """The task with what the command line changes."""
    chosen = {f.name: getattr(args, f.name) for f in fields(Recipe)}
    recipe = replace(task.recipe, **{k: v for k, v in chosen.items() if v is not None})
    network = replace(task.network, backbone=args.backbone) if args.backbone else task.network
    return replace(task, recipe=recipe, network=network)


def main():
    args = build_parser().parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.run, exist_ok=True)
    if os.path.isfile(os.path.join(args.run, "final.pt")):
        print(f"{args.run} has ended; remove its final.pt to train on", flush=True)
        return
    task = with_options(load_task(args.task), args)
    Trainer(task, args, Device(args.device, args.precision)).run()


if __name__ == "__main__":
    main()
