"""How well a network does on the validation pictures, between epochs. Changes nothing but the mode of the module."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from striate import progress
from striate.errors import TrainingError
from striate.learn.interrupting import TASK
from striate.learn.pictures.feeding import Feed
from striate.learn.precision import autocast
from striate.learn.ranks import Ranks
from striate.learn.telling import first_reason
from striate.network import Network
from striate.progress import Event

__all__ = ["validate"]


def validate(
    module: nn.Module, network: Network, feed: Feed, number: int, *, precision: str, ranks: Ranks
) -> tuple[float, float]:
    """Return mean cross entropy, neither smoothed nor weighted, and accuracy over all validation pictures.

    Args:
        module: what is called: that of the network, or a compiled one around it.
        network: finds the logits in what comes.
        feed: of the pictures.
        number: of the epoch.
        precision: "float32" or "bfloat16".
        ranks: the processes that share the pictures.

    Raises:
        TrainingError: none of the pictures can be read.
        Stopped: the user asked to stop.
    """
    module.eval()
    device = network.device
    kind = torch.float32 if device.type == "mps" else torch.float64
    sums = torch.zeros(3, dtype=kind, device=device)  # loss, right answers, pictures: there until the end
    task = f"validating epoch {number}"
    with torch.no_grad():
        for done, fed in enumerate(feed.epoch(number), 1):
            if ranks.count == 1:
                progress.check_stop(TASK)
            if len(fed.labels):
                with autocast(precision, device):
                    output = module(fed.images)
                logits = network.logits(output).float()
                losses = functional.cross_entropy(logits, fed.labels, reduction="none").to(kind)
                right = (logits.argmax(1) == fed.labels).to(kind)
                sums += torch.stack((losses.sum(), right.sum(), torch.ones_like(losses).sum()))
            progress.report(Event(task, done, max(feed.batches, done)))
    loss, right_ones, pictures = ranks.sums(*sums.tolist())
    if not pictures:
        raise TrainingError(f"none of the validation pictures can be read. {first_reason(feed)}")
    return loss / pictures, right_ones / pictures
