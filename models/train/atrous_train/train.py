"""Two-stage training: CamVid alone, then CamVid mixed with rendered scenes.

    python -m atrous_train.train --camvid DIR --start FILE.npz --run DIR [--scenes DIR]

Each stage leaves `RUN/stageN.pt` (state in progress, resumable) and
`RUN/stageN-final.pt` (weights only).  A run started again with the same
arguments goes on where it was.  A stage ends after its steps or its minutes,
whichever is nearer; the learning rate follows that progress.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from . import checkpoint
from .arch import INPUT_HEIGHT, INPUT_WIDTH, RoadNet, upsample
from .data import VOID, Mixer, class_weights, load_folder, to_input
from .init import load_pretrained
from .metrics import Confusion

CAMVID_SIZE = (480, 360)
CROP = (INPUT_HEIGHT, INPUT_WIDTH)
CURVE_FIELDS = ("stage", "step", "seconds", "rate", "loss", "camvid", "scenes")


@dataclass(frozen=True)
class Stage:
    """What differs between the stages."""

    number: int
    steps: int
    minutes: float
    rate_old: float  # learning rate of the layers with start weights
    rate_new: float  # and of the others
    warmup: int
    scenes_per_batch: int


class Clock:
    """Seconds spent in this stage, over all restarts."""

    def __init__(self, before=0.0):
        self.before, self.started = before, time.monotonic()

    def seconds(self):
        return self.before + time.monotonic() - self.started


def progress_of(stage, step, seconds):
    """Share of the stage that is done, 0..1."""
    done = step / stage.steps
    if stage.minutes > 0:
        done = max(done, seconds / (60 * stage.minutes))
    return min(done, 1.0)


def rate_factor(stage, step, progress):
    """Linear warm-up times the poly curve."""
    return min(1.0, (step + 1) / max(stage.warmup, 1)) * (1.0 - progress) ** 0.9


def autocast(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def make_optimizer(net, stage):
    """SGD with Nesterov momentum; weights of norms and biases are not decayed."""
    old = {id(p) for module in net.pretrained_part() for p in module.parameters()}
    groups = []
    for is_old in (True, False):
        for is_kernel in (True, False):
            chosen = [
                p for p in net.parameters() if (id(p) in old) == is_old and (p.dim() > 1) == is_kernel
            ]
            rate = stage.rate_old if is_old else stage.rate_new
            decay = 2e-4 if is_kernel else 0.0
            groups.append({"params": chosen, "lr": rate, "rate": rate, "weight_decay": decay})
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)


@torch.no_grad()
def quick_score(net, pairs, precision):
    """Mean IoU over pictures, at the picture's size."""
    was_training = net.training
    net.eval()
    confusion = Confusion()
    for image, label in pairs:
        x = upsample(to_input(image[None]), CROP)
        with autocast(precision):
            logits = net(x)
        logits = upsample(upsample(logits.float(), CROP), label.shape)
        confusion.add(label, logits.argmax(1)[0].numpy())
    net.train(was_training)
    return confusion.mean_iou()


@torch.no_grad()
def reestimate_norms(net, mixer, batches, precision, first=1 << 24):
    """Replaces the running statistics by plain averages over fresh training batches.

    Batches without augmentation were tried too: 1.4 points of mean IoU worse.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    net.train()
    for i in range(batches):
        with autocast(precision):
            net(mixer.batch(first + i)[0])
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


class Curves:
    """Rows of the CSV file with the run's curves."""

    def __init__(self, path):
        self.path = path
        if not os.path.isfile(path):
            with open(path, "w", newline="") as file:
                csv.writer(file).writerow(CURVE_FIELDS)

    def add(self, **row):
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow([row.get(field, "") for field in CURVE_FIELDS])


def run_stage(stage, net, mixer, weights, held_out, args, curves):
    """Trains one stage to its end and writes its final weights."""
    state_path = os.path.join(args.run, f"stage{stage.number}.pt")
    optimizer = make_optimizer(net, stage)
    step, clock = 0, Clock()
    if os.path.isfile(state_path):
        state = checkpoint.load(state_path)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step, clock = state["step"], Clock(state["seconds"])
        print(f"stage {stage.number}: resumed at step {step}", flush=True)
    average, saved = None, time.monotonic()
    net.train()
    while (progress := progress_of(stage, step, clock.seconds())) < 1.0:
        factor = rate_factor(stage, step, progress)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        loss = train_step(net, optimizer, mixer.batch(step), weights, args, step)
        step += 1
        if loss is not None:
            average = loss if average is None else 0.95 * average + 0.05 * loss
        if average is not None and (step % args.log_every == 0 or step <= 3):
            seconds = clock.seconds()
            print(
                f"stage {stage.number} step {step} {seconds:.0f} s, {seconds / step:.2f} s/step, "
                f"done {100 * progress:.0f}%, loss {average:.4f}", flush=True,
            )
            curves.add(stage=stage.number, step=step, seconds=f"{seconds:.0f}",
                       rate=f"{stage.rate_new * factor:.6f}", loss=f"{average:.5f}")
        if step % args.score_every == 0:
            report_scores(stage, step, clock, net, held_out, args, curves)
        if time.monotonic() - saved > args.save_seconds:
            save_state(state_path, net, optimizer, step, clock)
            saved = time.monotonic()
    save_state(state_path, net, optimizer, step, clock)
    reestimate_norms(net, mixer, args.norm_batches, args.precision)
    report_scores(stage, step, clock, net, held_out, args, curves)
    final = os.path.join(args.run, f"stage{stage.number}-final.pt")
    checkpoint.save(final, {"net": net.state_dict(), "step": step, "seconds": clock.seconds()})
    print(f"stage {stage.number}: {step} steps, {clock.seconds() / 60:.1f} minutes", flush=True)


def train_step(net, optimizer, batch, weights, args, step):
    """One optimizer step; returns the loss, None where the step was skipped."""
    torch.manual_seed(args.seed * 1_000_003 + step)  # dropout
    x, labels = batch
    with autocast(args.precision):
        logits = net(x)
    logits = upsample(logits.float(), labels.shape[1:])
    loss = F.cross_entropy(logits, labels, weight=weights, ignore_index=VOID)
    optimizer.zero_grad()
    loss.backward()
    size = nn.utils.clip_grad_norm_(net.parameters(), args.clip)
    if not torch.isfinite(size):
        print(f"step {step}: gradient is not finite, skipped", flush=True)
        return None
    optimizer.step()
    return loss.item()


def save_state(path, net, optimizer, step, clock):
    checkpoint.save(path, {
        "net": net.state_dict(), "optimizer": optimizer.state_dict(),
        "step": step, "seconds": clock.seconds(),
    })


def report_scores(stage, step, clock, net, held_out, args, curves):
    """Scores the held-out sets, prints and logs them."""
    scores = {name: quick_score(net, pairs, args.precision) for name, pairs in held_out.items()}
    text = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
    print(f"stage {stage.number} step {step}: mean IoU {text}", flush=True)
    curves.add(stage=stage.number, step=step, seconds=f"{clock.seconds():.0f}",
               **{name: f"{score:.5f}" for name, score in scores.items()})


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", required=True, help="folder with train/ and val/")
    parser.add_argument("--start", required=True, help="npz with the start weights")
    parser.add_argument("--run", required=True, help="folder for checkpoints and curves")
    parser.add_argument("--scenes", help="folder of rendered scenes to train on (stage 2)")
    parser.add_argument("--held-out-scenes", help="folder of rendered scenes to score on")
    parser.add_argument("--stage", choices=("1", "2", "both"), default="both")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--scene-share", type=float, default=0.25, help="of every batch in stage 2")
    parser.add_argument("--steps1", type=int, default=630)
    parser.add_argument("--minutes1", type=float, default=0, help="0: no limit but the steps")
    parser.add_argument("--steps2", type=int, default=560)
    parser.add_argument("--minutes2", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0.05, help="of new layers; a fifth for old ones")
    parser.add_argument("--rate2", type=float, default=0.03, help="the same in stage 2")
    parser.add_argument("--clip", type=float, default=10.0, help="largest norm of the gradient")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--norm-batches", type=int, default=30)
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--score-every", type=int, default=200)
    parser.add_argument("--score-stride", type=int, default=4, help="score every n-th picture")
    parser.add_argument("--save-seconds", type=float, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def prepare_net(args, calibration):
    """A network from the start weights."""
    torch.manual_seed(args.seed)
    net = RoadNet().to(memory_format=torch.channels_last)
    layers = load_pretrained(net, args.start, calibration)
    print(f"{layers} layers from {os.path.basename(args.start)}", flush=True)
    return net


def run_stage1(args, camvid, held_out, curves):
    stage = Stage(1, args.steps1, args.minutes1, args.rate / 5, args.rate, 50, 0)
    mixer = Mixer([(camvid, args.batch)], CROP, args.seed)
    if os.path.isfile(os.path.join(args.run, "stage1.pt")):
        net = RoadNet().to(memory_format=torch.channels_last)
    else:
        net = prepare_net(args, mixer.batch(1 << 23)[0][:4])
        checkpoint.save(os.path.join(args.run, "start.pt"), {"net": net.state_dict()})
    run_stage(stage, net, mixer, class_weights(camvid), held_out, args, curves)


def run_stage2(args, camvid, held_out, curves):
    if not args.scenes:
        raise SystemExit("stage 2 needs --scenes")
    scenes = load_folder(args.scenes, CAMVID_SIZE)
    rendered = max(1, round(args.batch * args.scene_share))
    stage = Stage(2, args.steps2, args.minutes2, args.rate2 / 5, args.rate2, 20, rendered)
    mixer = Mixer([(camvid, args.batch - rendered), (scenes, rendered)], CROP, args.seed + 100)
    first = os.path.join(args.run, "stage1-final.pt")
    if not os.path.isfile(first):
        raise SystemExit(f"stage 1 has not ended: no {first}")
    net = RoadNet().to(memory_format=torch.channels_last)
    net.load_state_dict(checkpoint.load(first)["net"])
    run_stage(stage, net, mixer, class_weights(camvid), held_out, args, curves)


def main():
    args = build_parser().parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.run, exist_ok=True)
    curves = Curves(os.path.join(args.run, "curves.csv"))
    camvid = load_folder(os.path.join(args.camvid, "train"), CAMVID_SIZE)
    held_out = {"camvid": load_folder(os.path.join(args.camvid, "val"))[:: args.score_stride]}
    if args.held_out_scenes:
        held_out["scenes"] = load_folder(args.held_out_scenes)[:: args.score_stride]
    for number, run in (("1", run_stage1), ("2", run_stage2)):
        done = os.path.isfile(os.path.join(args.run, f"stage{number}-final.pt"))
        if args.stage in (number, "both") and not done:
            run(args, camvid, held_out, curves)


if __name__ == "__main__":
    main()
