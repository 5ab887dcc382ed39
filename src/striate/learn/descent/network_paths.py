"""The paths of several optimisers on the error surface of a network, seen on a plane through its weights.

All walk from the same weights on the whole loss of some pictures (none is drawn by lot), so that what differs is the
optimiser alone. The network's own weights are not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import progress
from striate.errors import NetworkError, OptionError
from striate.learn.descent.planes import Plane, across_paths, at_random
from striate.learn.descent.rules import rule
from striate.learn.descent.walking import (
    LECTURE,
    TASK,
    Ground,
    Rates,
    calm_rate,
    check_walks,
    notes_on,
    path_of,
    walk,
)
from striate.learn.seeds import generator
from striate.nets.initial import initialise
from striate.network import Network
from striate.results.base import Recipe
from striate.results.optimizer_paths import OptimizerPaths, Path
from striate.running import undisturbed

__all__ = ["on_network"]

_FACTORS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of an optimiser's own rate: tried
_GOAL: Final = 0.1  # of the loss at the start
_LOST: Final = 3.0  # times the loss at the start: a path that is so high is given up
_MARGIN: Final = 0.18  # around the paths on a plane
_ROOM: Final = 1 << 30  # bytes of points that decide about the plane
_MOST: Final = 1 << 32  # and of the ends of the paths at least
_FRAMES: Final = 8  # points of each path that decide about the plane


def on_network(
    network: Network,
    images: Tensor,
    labels: Tensor,
    *,
    optimizers: Sequence[str] = LECTURE,
    steps: int = 30,
    rates: Rates = "calm",
    start: Literal["random", "weights"] = "random",
    plane: Literal["paths", "random"] = "paths",
    grid: int = 17,
    seed: int = 0,
) -> OptimizerPaths:
    """Let optimisers train a network on some pictures, and draw their paths on a plane through its weights.

    The network itself is not touched: its weights are only where the paths begin. See the lens `optimizer_paths`.

    Args:
        network: that is trained, in a copy of its weights.
        images: (N, C, H, W), normalised.
        labels: (N,), the class of each.
        optimizers: names of `OPTIMIZERS`.
        steps: of each, at least 1.
        rates: "calm" takes for each, of six rates around its own (0.1 to 30 times), the smallest with which it comes
            down to a tenth of the loss that it starts from; "own" each one's usual one; a number the same for all.
        start: "random" draws first weights (He et al.); "weights" begins with those that the network has.
        plane: "paths", the two directions in which the paths go furthest; "random", two directions by lot.
        grid: points along each side at which the loss is computed, at least 5.
        seed: of first weights and directions.

    Returns:
        Paths and surface; its recipe names no pictures (the lens adds them).

    Raises:
        OptionError: an option out of range, or too many weights for so many paths.
        NetworkError: the network cannot be run with other weights, or gives no finite loss.
        Stopped: the user asked to stop.
    """
    check_walks(optimizers, steps, rates)
    if grid < 5:
        raise OptionError(f"grid must be at least 5, got {grid}.")
    with torch.inference_mode(False):
        weights = _first_weights(network, start, seed)
        loss = _Loss(network, list(weights), images, labels)
        begin = list(weights.values())
        with torch.no_grad():
            first = float(loss(begin))
        if not np.isfinite(first):
            raise NetworkError(f"the loss at the start is {first}: no optimiser gets anywhere from there.")
        ground = Ground(begin, loss, lambda height, _: height > _LOST * first)
        size = sum(one.numel() for one in begin)
        if plane == "paths" and size * len(optimizers) * 4 > _MOST:
            raise OptionError(
                f"{len(optimizers)} paths of {size:,} weights do not fit into memory. Name fewer optimizers, or choose "
                "the plane by lot (random)."
            )
        frames = _frames(steps, max(1, _ROOM // (4 * size * len(optimizers))))
        taken: dict[str, float] = {}
        moved: list[list[Tensor]] = []
        for index, one in enumerate(optimizers):
            progress.report(progress.Event(TASK, index, len(optimizers), one))
            taken[one] = rule(one).rate(rates)
            if rates == "calm":
                tried = [taken[one] * factor for factor in _FACTORS]
                taken[one] = calm_rate(rule(one), tried, ground, steps, _GOAL * first)
            if plane == "paths":
                moved.append(_moved(one, taken[one], ground, steps, frames))
        progress.report(progress.Event(TASK, len(optimizers), len(optimizers)))
        found = across_paths(moved) if plane == "paths" else at_random(begin, generator(seed, TASK, "directions"))
        moved.clear()
        # walked again, now that it is known where to look from
        paths = [_placed(one, taken[one], ground, steps, found) for one in optimizers]
        across, up = _window(paths, grid)
        heights = _heights(loss, begin, found, across, up)
    directions = {
        "paths": "the two directions in which the paths go furthest",
        "random": "two directions by lot, each filter's part as long as the filter",
    }[plane]
    begun = {"random": "first weights by lot", "weights": "the weights of the network"}[start]
    return OptimizerPaths(
        paths=tuple(paths),
        across=across,
        up=up,
        heights=heights,
        surface=f"the loss of {network.name} on {len(images)} pictures, from {begun}",
        lowest=(),
        least=0.0,
        axes=("along the first direction", "along the second direction"),
        plane=directions,
        recipe=Recipe(notes=(*loss.notes, *notes_on(paths, rates, len(_FACTORS), "a tenth of the loss at the start"))),
    )


class _Loss:
    """The loss of a network on some pictures as a function of its weights; the network's own are not touched.

    Attributes:
        notes: how the network was run.
    """

    def __init__(self, network: Network, names: Sequence[str], images: Tensor, labels: Tensor) -> None:
        self._network = network
        self._names = list(names)
        self._images = network.batch(images)
        self._labels = labels.to(network.device, torch.int64)
        # one picture has no statistics of its own
        norms = [part for part in network.module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self._norms = norms if len(images) > 1 else []
        self.notes: tuple[str, ...] = ()
        if self._norms:
            self.notes = ("Batch normalisation goes by the statistics of these pictures; dropout is off.",)

    def __call__(self, weights: Sequence[Tensor]) -> Tensor:
        network = self._network
        with undisturbed(network.module), torch.set_grad_enabled(torch.is_grad_enabled()):
            values: dict[str, Tensor] = dict(zip(self._names, weights, strict=True))
            values.update((name, value.clone()) for name, value in network.module.named_buffers())
            for part in self._norms:
                part.training = True
            try:
                output = torch.func.functional_call(network.module, values, (self._images,))
            except (RuntimeError, TypeError, ValueError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                raise NetworkError(
                    f"{network.name} cannot be run with other weights: {type(error).__name__}: {error}"
                ) from error
            finally:
                for part in self._norms:
                    part.training = False
        return F.cross_entropy(network.logits(output).float(), self._labels)


def _moved(name: str, rate: float, ground: Ground, steps: int, frames: set[int]) -> list[Tensor]:
    """Walk, and return by how much the weights have moved after some of the steps, (P,) each; after the last always."""
    origin = _flat(ground.start)
    points: list[Tensor] = []
    newest: list[Tensor] = [torch.zeros_like(origin)]

    def see(step: int, weights: Sequence[Tensor]) -> None:
        newest[0] = _flat(weights).sub_(origin)
        if step in frames:
            points.append(newest[0])

    gone = walk(rule(name), rate, ground, steps, see)
    return [*points, newest[0]] if gone.lost and bool(newest[0].isfinite().all()) else points or newest


def _placed(name: str, rate: float, ground: Ground, steps: int, plane: Plane) -> Path:
    """Walk, and return the path as it is seen on a plane."""
    origin = _flat(ground.start)
    places: list[Tensor] = []
    lengths: list[float] = []

    def see(_: int, weights: Sequence[Tensor]) -> None:
        moved = _flat(weights).sub_(origin)
        places.append(plane.place(moved))
        lengths.append(float(moved.double().square().sum()))

    gone = walk(rule(name), rate, ground, steps, see)
    seen = torch.stack(places).numpy()
    finite = np.isfinite(lengths) & np.isfinite(seen).all(1)
    return path_of(name, rate, gone, seen, plane.share(seen[finite], np.array(lengths)[finite]))


def _first_weights(network: Network, start: str, seed: int) -> dict[str, Tensor]:
    """Return where the paths begin, by the names of the weights."""
    module = network.module
    if start == "random":
        try:
            module = copy.deepcopy(module)
        except (RuntimeError, TypeError) as error:
            raise NetworkError(
                f"{network.name} cannot be copied to draw first weights ({error}). Begin with its own: start weights."
            ) from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # for layers that draw by themselves
            initialise(module, "he-normal", generator(seed, TASK, "first weights"))
    found = {
        name: weight.detach().to(network.device).clone()
        for name, weight in module.named_parameters()
        if weight.is_floating_point()
    }
    if not found:
        raise NetworkError(f"{network.name} has no weights, so there is nothing to train.")
    return found


def _heights(
    loss: _Loss,
    begin: Sequence[Tensor],
    plane: Plane,
    across: NDArray[np.float64],
    up: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the loss at each place of the plane, (rows, columns)."""
    origin = _flat(begin)
    shapes = [one.shape for one in begin]
    sizes = [one.numel() for one in begin]
    heights = np.empty((len(up), len(across)))
    with torch.no_grad():
        for row, second in enumerate(up.tolist()):
            progress.report(progress.Event("the surface", row, len(up)))
            for column, first in enumerate(across.tolist()):
                progress.check_stop(TASK)
                parts = torch.split(origin + plane.moved(first, second), sizes)
                heights[row, column] = float(
                    loss([part.view(shape) for part, shape in zip(parts, shapes, strict=True)])
                )
    progress.report(progress.Event("the surface", len(up), len(up)))
    return heights


def _window(paths: Sequence[Path], grid: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places along both directions at which the loss is computed: around the paths that are not lost."""
    kept = [one.places for one in paths if not one.lost] or [one.places[:-1] for one in paths]
    points = np.concatenate([np.zeros((1, 2)), *kept])
    low, high = points.min(0), points.max(0)
    wide = np.maximum(high - low, 1e-3 * max(float((high - low).max()), 1e-6))
    low, high = low - _MARGIN * wide, high + _MARGIN * wide
    return np.linspace(low[0], high[0], grid), np.linspace(low[1], high[1], grid)


def _frames(steps: int, most: int) -> set[int]:
    """Choose evenly spaced steps, the last among them."""
    return {round(at) for at in np.linspace(steps, 0, min(most, _FRAMES), endpoint=False)}


def _flat(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([one.detach().flatten() for one in weights])
