"""The training loss: cross entropy, and Lovasz for what intersection over union counts."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .layers import upsample

FEWEST = 20  # pixels of a class in a batch below which Lovasz leaves it out


def lovasz_softmax(probabilities, truth):
    """Mean over the classes present; [pixels, classes] and [pixels] (Berman et al., 2018)."""
    losses = []
    for index in range(probabilities.shape[1]):
        own = (truth == index).float()
        total = own.sum()
        if total < FEWEST:
            continue
        errors, order = torch.sort((own - probabilities[:, index]).abs(), descending=True)
        own = own[order]
        jaccard = 1 - (total - own.cumsum(0)) / (total + (1 - own).cumsum(0))
        jaccard = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append(torch.dot(errors, jaccard))
    return torch.stack(losses).mean()


def cross_entropy(logits, labels, weights, void, hardest):
    """Over all known pixels, or over the `hardest` share of them (OHEM)."""
    if hardest <= 0:
        return F.cross_entropy(logits, labels, weight=weights, ignore_index=void)
    losses = F.cross_entropy(logits, labels, weight=weights, ignore_index=void, reduction="none")
    losses = losses[labels != void]
    return losses.topk(max(1, int(hardest * losses.numel()))).values.mean()


def loss_of(logits, labels, weights, void, recipe):
    """(loss, cross entropy, Lovasz) on every other pixel: the crops are random anyway."""
    labels = labels[:, ::2, ::2]
    logits = upsample(logits.float(), labels.shape[1:])
    entropy = cross_entropy(logits, labels, weights, void, recipe.hardest)
    if recipe.lovasz <= 0:
        return entropy, entropy.item(), 0.0
    classes = logits.shape[1]
    flat = logits.permute(0, 2, 3, 1)[:, ::2, ::2].reshape(-1, classes)
    truth = labels[:, ::2, ::2].reshape(-1)
    known = truth != void
    lovasz = lovasz_softmax(F.softmax(flat[known], 1), truth[known])
    return entropy + recipe.lovasz * lovasz, entropy.item(), lovasz.item()
