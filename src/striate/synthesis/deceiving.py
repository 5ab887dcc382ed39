"""Change pictures of 8 bits as little as it takes until a network is sure of a class that they do not show.

A step moves every channel of every pixel by the same small amount, to the side that the gradient says; what counts is
always the picture rounded to its 256 levels, which is the one that can be saved. Knows no lens.

Source: Goodfellow, Shlens and Szegedy 2014, arXiv:1412.6572, section 4 (the sign of the gradient); Dong et al. 2017,
    arXiv:1710.06081, algorithm 1 (momentum); Nguyen, Yosinski and Clune 2014, arXiv:1412.1897 (from noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate import progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.network import Network
from striate.running import undisturbed
from striate.streaming import in_chunks
from striate.synthesis.observing import as_taken
from striate.tap import follow

__all__ = ["TASK", "Deceived", "deceive", "noise"]

TASK, STEPS = "fooling", "fooling step"
LEVELS = 255.0
MOMENTUM = 0.5
LONGER = 10  # after so many steps a step is twice as long, after twice as many three times
_SPARE = 0.05  # of log odds beyond what is asked for: other batch sizes round otherwise


@dataclass(frozen=True, eq=False)
class Deceived:
    """What became of some pictures.

    Attributes:
        pictures: uint8, (B, C, H, W): the first of each that is good enough, else the best.
        steps: (B,), made for each, int64.
        notes: sentences on what happened on the way.
    """

    pictures: Tensor
    steps: Tensor
    notes: tuple[str, ...]


def noise(channels: int, height: int, width: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw pictures whose every number is any of 256 levels: uint8, (B, C, H, W), one generator for each."""
    shape = (channels, height, width)
    return torch.stack([torch.randint(256, shape, generator=one, dtype=torch.uint8) for one in generators])


def deceive(
    network: Network,
    starts: Tensor,
    classes: Sequence[int],
    *,
    confidence: float = 0.99,
    step_size: float = 0.25,
    steps: int = 100,
    chunk: int | None = None,
) -> Deceived:
    """Change each picture until it is taken for its class.

    Args:
        network: to be fooled.
        starts: uint8, (B, C, H, W).
        classes: that the pictures are to be taken for, B of them.
        confidence: probability that is to be exceeded, above 0 and below 1.
        step_size: how far the first step goes, in levels of 255.
        steps: at most so many for each.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Raises:
        OptionError: a confidence, step size or number of steps that makes no sense.
        NetworkError: the network's answer is not finite, or depends on the picture by no gradient.
        Stopped: before the first step was made.
    """
    if not 0 < confidence < 1:
        raise OptionError(f"confidence must lie between 0 and 1, got {confidence}.")
    if not (math.isfinite(step_size) and step_size > 0):
        raise OptionError(f"step_size must be above 0 levels, got {step_size}.")
    if steps < 1:
        raise OptionError(f"steps must be at least 1, got {steps}.")
    goal = math.log(confidence / (1 - confidence)) + _SPARE
    made = starts.clone()
    counts = torch.zeros(len(starts), dtype=torch.int64)
    notes: list[str] = []

    def run_piece(start: int, stop: int) -> None:
        piece = _Piece(network, starts[start:stop], torch.tensor(classes[start:stop]), goal, step_size)
        try:
            for number in range(steps + 1):  # the last time only to look
                progress.check_stop(TASK)
                progress.report(progress.Event(STEPS, number, steps + 1))
                if not piece.advance(number):
                    break
        finally:  # what was reached counts, also when it was stopped here
            progress.report(progress.Event(STEPS, steps + 1, steps + 1))
            made[start:stop], counts[start:stop] = piece.best.cpu(), piece.counts

    try:
        with torch.inference_mode(False):
            in_chunks(len(starts), run_piece, size=network.piece(chunk), task=TASK)
    except Stopped:
        if torch.equal(made, starts):
            raise
        notes.append("Stopped, as asked: some pictures are not finished.")
    return Deceived(made, counts, tuple(notes))


class _Piece:
    """Some pictures on their way; those that are good enough are left alone."""

    def __init__(self, network: Network, starts: Tensor, classes: Tensor, goal: float, step: float) -> None:
        device = network.device
        self.network, self.goal, self.step = network, goal, step
        self.classes = classes.to(device)
        self.values = starts.to(device).float()  # on the scale of the levels, with fractions
        self.way = torch.zeros_like(self.values)
        self.best = starts.to(device).clone()
        self.margins = torch.full((len(starts),), -torch.inf, device=device)
        self.live = torch.arange(len(starts), device=device)
        self.counts = torch.zeros(len(starts), dtype=torch.int64)

    def advance(self, number: int) -> bool:
        """Look at the pictures, and move those that are not good enough; tell whether any are left."""
        live = self.live
        rounded = self.values[live].round()
        margins, gradient = _uphill(self.network, rounded, self.classes[live])
        better = margins > self.margins[live]
        self.margins[live[better]] = margins[better]
        self.best[live[better]] = rounded[better].to(torch.uint8)
        going = margins < self.goal
        self.counts[live.cpu()] = number
        self.live = live = live[going]
        if not len(live):
            return False
        gradient = gradient[going]
        sizes = gradient.abs().mean((1, 2, 3), keepdim=True)
        self.way[live] = MOMENTUM * self.way[live] + gradient / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)
        length = self.step * (1 + number / LONGER)
        self.values[live] = (self.values[live] + length * self.way[live].sign()).clamp(0, LEVELS)
        return True


def _uphill(network: Network, levels: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log odds of each class, (B,), and their gradient with respect to the levels, (B, C, H, W)."""
    leaf = levels.detach().requires_grad_()
    with undisturbed(network.module), torch.enable_grad():  # on the way back too, see `tap.follow`
        logits = follow(network, as_taken(network, leaf / LEVELS), [], logits=True).logits
        assert logits is not None  # they were asked for
        if logits.shape[1] == 1:
            raise NetworkError(
                f"{network.name} has a single class, whose probability is 1 whatever it is shown: it cannot be fooled."
            )
        margins = _log_odds(logits.float(), classes)
        if not bool(margins.isfinite().all()):
            raise NetworkError(
                "the network's answer is not finite for a picture on the way. Check its weights, and its mean and std."
            )
        if not margins.requires_grad:
            raise NetworkError(
                "the classes do not depend on the picture by way of a gradient, so there is no way to go."
            )
        (gradient,) = torch.autograd.grad(margins.sum(), leaf)
    return margins.detach(), torch.nan_to_num(gradient)


def _log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of the classes, without the rounding of p near 1."""
    own = logits.gather(1, classes[:, None])
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return own[:, 0] - others.logsumexp(1)
