"""Change pictures until what a network makes of them is what is wanted: one descent, for inversion and for style.

The pixels are moved. Their gradient is smoothed first, each frequency divided by its height as in photographs, so
that colours and shapes move as fast as fine detail does; then each pixel goes by about the same amount (Adam), less
and less towards the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate import progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.network import Network
from striate.running import undisturbed
from striate.streaming import in_chunks
from striate.synthesis.climbing import Adam
from striate.synthesis.observing import as_taken
from striate.synthesis.showing import tell
from striate.tap import Tapped, follow

__all__ = ["Cost", "Descent", "coarse_first", "descend", "slopes"]

Cost = Callable[[Tapped, Tensor, slice], Tensor]
"""Takes what a run gave, the pictures that it was given (b, C, H, W), from 0 to 1, and which of all they are; returns
what each costs, (b,)."""

_LOOKS = 25  # times that the pictures so far are shown
_SECOND = 0.99  # decay of Adam's mean square: gradients change fast in a few hundred steps


@dataclass(frozen=True, eq=False)
class Descent:
    """What `descend` made.

    Attributes:
        pictures: (B, C, H, W), float32, from 0 to 1, on the network's device: the cheapest iterate of each.
        costs: (B,), on the CPU, of these very pictures.
        curve: (B, k), the cost before each step, and after the last.
        best_steps: (B,), steps made before the cheapest.
        notes: sentences on what happened on the way.
        stopped: it was ended early, as asked.
    """

    pictures: Tensor
    costs: Tensor
    curve: Tensor
    best_steps: Tensor
    notes: tuple[str, ...]
    stopped: bool

    def better(self, other: Descent) -> Descent:
        """Return, picture by picture, the cheaper of two tries at the same."""
        wins = other.costs < self.costs
        at = wins.to(self.pictures.device).view(-1, 1, 1, 1)
        length = max(self.curve.shape[1], other.curve.shape[1])
        curves = [F.pad(one.curve, (0, length - one.curve.shape[1]), value=torch.nan) for one in (self, other)]
        return Descent(
            pictures=torch.where(at, other.pictures, self.pictures),
            costs=torch.where(wins, other.costs, self.costs),
            curve=torch.where(wins.view(-1, 1), curves[1], curves[0]),
            best_steps=torch.where(wins, other.best_steps, self.best_steps),
            notes=tuple(dict.fromkeys([*self.notes, *other.notes])),
            stopped=other.stopped,
        )


def descend(
    network: Network,
    start: Tensor,
    places: Sequence[str],
    cost: Cost,
    *,
    steps: int,
    rate: float,
    chunk: int | None = None,
    task: str = "descent",
) -> Descent:
    """Move pictures downhill, each by itself, and keep the cheapest iterate of each.

    A request to stop (`progress.stoppable`) after the first step ends it with the best so far. A picture whose cost
    or gradient is no finite number is left alone from that step on.

    Args:
        network: that looks at them.
        start: (B, C, H, W), from 0 to 1, on the network's device.
        places: layers that the cost needs.
        cost: of each picture.
        steps: at least 1.
        rate: what a pixel changes by in a step, about, at the beginning, on the scale from 0 to 1.
        chunk: pictures in one pass; chosen by the device unless given.
        task: what to call it where progress is shown.

    Raises:
        OptionError: steps below 1, or a rate that is not above 0.
        NetworkError: no start picture has a finite cost, or the cost does not depend on the pictures.
        Stopped: before the first step was made.
    """
    if steps < 1:
        raise OptionError(f"steps must be at least 1, got {steps}.")
    if not 0 < rate < math.inf:
        raise OptionError(f"rate must be above 0, and finite, got {rate}.")
    with torch.inference_mode(False), torch.no_grad():
        pictures = start.float().clone()
        best, costs = pictures.clone(), torch.full((len(pictures),), torch.inf)
        best_steps = torch.zeros(len(pictures), dtype=torch.int64)
        broken_at: dict[int, int] = {}
        curve: list[Tensor] = []
        notes: list[str] = []
        stopped = False
        climb = Adam(rate, second=_SECOND, least=1e-12).begin(pictures, pictures[0])
        looks = {round(look * steps / _LOOKS) for look in range(_LOOKS)}
        for step in range(steps + 1):
            try:
                progress.check_stop(task)
                values, gradient = slopes(network, pictures, places, cost, chunk=chunk, task=task)
            except Stopped:
                if not step:
                    raise
                notes.append(f"Stopped at step {step} of {steps}, as asked: the best so far is kept.")
                stopped = True
                break
            fine = values.isfinite() & gradient.flatten(1).isfinite().all(1).cpu()
            for row in (~fine).nonzero().flatten().tolist():
                broken_at.setdefault(row, step)
            fine[list(broken_at)] = False
            curve.append(values.masked_fill(~fine, torch.nan))
            better = fine & (values < costs)
            costs, best_steps = torch.where(better, values, costs), best_steps.masked_fill(better, step)
            at = better.to(pictures.device)
            best[at] = pictures[at]
            if not fine.any():
                break
            tell(task, step, steps, best if step in looks or step == steps else None)
            if step < steps:
                gradient[~fine.to(gradient.device)] = 0
                moved = climb(pictures, -coarse_first(gradient))
                # the second half slows down to a stand
                share = min(1.0, 2 * (steps - step) / steps)
                pictures = pictures.lerp(moved, share).clamp(0, 1)
        if not bool(costs.isfinite().any()):
            raise NetworkError(
                f"{network.name} gives no finite number for the picture that the {task} starts from, so there is no "
                "way down. Check the weights of the network, and its mean and std."
            )
        for row, step in sorted(broken_at.items()):
            notes.append(f"Picture {row + 1}: no finite number at step {step}; that of step {best_steps[row]} is kept.")
    return Descent(best, costs, torch.stack(curve, 1), best_steps, tuple(notes), stopped)


def slopes(
    network: Network,
    pictures: Tensor,
    places: Sequence[str],
    cost: Cost,
    *,
    chunk: int | None = None,
    task: str = "descent",
) -> tuple[Tensor, Tensor]:
    """Return what pictures cost, and the gradient of it with respect to their values.

    Args:
        network: that is run as far as the deepest of the places.
        pictures: (B, C, H, W), from 0 to 1, on the network's device.
        places: layers that the cost needs; with none the network is not run.
        cost: of each picture.
        chunk: pictures in one pass; chosen by the device unless given.
        task: what to call it where progress is shown.

    Returns:
        Shape (B,), float32, on the CPU; and the gradient, shaped like the pictures.

    Raises:
        NetworkError: the cost does not depend on the pictures.
    """
    values = torch.empty(len(pictures))
    gradient = torch.empty_like(pictures)

    def run_piece(start: int, stop: int) -> None:
        part = slice(start, stop)
        leaf = pictures[part].detach().requires_grad_()
        with undisturbed(network.module), torch.enable_grad():  # on the way back too, see `tap.follow`
            tapped = follow(network, as_taken(network, leaf), places) if places else Tapped({}, None)
            found = cost(tapped, leaf, part)
            if not found.requires_grad:
                raise NetworkError(
                    f"{', '.join(places)} does not depend on the picture by way of a gradient: the network cuts it "
                    "before. Choose another layer."
                )
            (gradient[part],) = torch.autograd.grad(found.sum(), leaf)
        values[part] = found.detach().float().cpu()

    with torch.inference_mode(False):
        in_chunks(len(pictures), run_piece, size=network.piece(chunk), task=f"{task}, pictures")
    return values, gradient


def coarse_first(gradient: Tensor) -> Tensor:
    """Divide each frequency of a gradient (B, C, H, W) by its height; the mean by that of one wave over the picture.

    The direction is still one that goes down: every frequency keeps its sign.

    Source: Neuberger 2010, "Sobolev Gradients and Differential Equations"; Olah, Mordvintsev and Schubert 2017,
        "Feature Visualization" (the same weighting, as a parameterisation).
    """
    height, width = gradient.shape[2:]
    down = torch.fft.fftfreq(height, device=gradient.device)[:, None]
    across = torch.fft.rfftfreq(width, device=gradient.device)[None]
    frequency = (down**2 + across**2).sqrt().clamp(min=1 / max(height, width))
    smoothed: Tensor = torch.fft.irfft2(torch.fft.rfft2(gradient) / frequency, s=(height, width))
    return smoothed
