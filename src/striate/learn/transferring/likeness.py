"""How like pictures are to what a network knows: its features told apart by class means, and how far off they lie.

Runs the network on a few hundred pictures; trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.errors import DataError, NetworkError
from striate.learn.transferring.heads._folds import dealt
from striate.network import Network
from striate.progress import Event, check_stop, report
from striate.results.likeness import Depth, Likeness
from striate.results.shares import standard_error
from striate.running import run, undisturbed

__all__ = ["LOOKED_AT", "likeness_of", "nearest_mean", "shift_of"]

LOOKED_AT = 256
"""Pictures by which the shift is measured."""

_TASK = "likeness"
_FOLDS = 5


def likeness_of(
    network: Network,
    features: Mapping[str, NDArray[np.floating[Any]]],
    labels: NDArray[np.int64],
    images: Iterator[Tensor] | Sequence[Tensor],
    *,
    seed: int = 0,
) -> Likeness:
    """Measure how like pictures are to what a network knows.

    Args:
        network: whose features they are.
        features: by address, from the first layer to the deepest, each (N, D).
        labels: classes of the N pictures, from 0.
        images: batches of some of the pictures, normalised, on which the shift is measured.
        seed: of the folds.

    Raises:
        DataError: no class has two pictures.
        NetworkError: the network cannot be run on the pictures.
        Stopped: the user asked to stop.
    """
    graph = network.graph()
    depths = []
    for address, values in features.items():
        check_stop(_TASK)
        accuracy, pictures = nearest_mean(values, labels, seed=seed)
        field = graph.layer(address).field
        depths.append(
            Depth(
                address=address,
                channels=values.shape[1],
                field=None if field.size is None else float(min(max(field.size), max(network.spec.size))),
                accuracy=accuracy,
                error=standard_error(accuracy, pictures),
            )
        )
    shift, confidence = shift_of(network, images)
    counts = np.bincount(labels)
    return Likeness(
        depths=tuple(depths),
        chance=float(counts.max() / counts.sum()),
        pictures=len(labels),
        shift=shift,
        confidence=confidence,
        classes=graph.classes,
    )


def nearest_mean(
    features: NDArray[np.floating[Any]], labels: NDArray[np.int64], *, folds: int = _FOLDS, seed: int = 0
) -> tuple[float, int]:
    """Say how often the nearest class mean is that of the picture's own class, in cross-validation.

    Each feature is divided by its standard deviation first, or a few loud channels would decide alone. The means are
    of the other folds' pictures, so no picture helps to find itself.

    Args:
        features: (N, D).
        labels: (N,), from 0.
        folds: at most; a class is spread over all of them as evenly as it goes.
        seed: of who comes into which fold.

    Returns:
        The accuracy in [0, 1], and the number of pictures that it is of.

    Raises:
        DataError: no class has two pictures.

    Source: Mensink et al. 2013, Distance-based image classification, section 3 (nearest class mean).
    """
    values: NDArray[Any] = np.asarray(features, np.float32)
    counts = np.bincount(labels)
    if counts.max(initial=0) < 2 or (counts > 0).sum() < 2:
        raise DataError("nearest class means need two classes, and a class with two pictures. Give more pictures.")
    deviation: NDArray[np.float64] = np.std(values, axis=0, dtype=np.float64)
    values = values / np.where(deviation > 0, deviation, 1).astype(np.float32)
    middle: NDArray[np.float64] = np.mean(values, axis=0, dtype=np.float64)
    values = values - middle.astype(np.float32)  # small numbers lose fewer digits below
    fold = dealt(labels, min(folds, len(labels)), seed)
    classes = len(counts)
    sums = np.zeros((classes, values.shape[1]), np.float64)
    np.add.at(sums, labels, values)
    right = judged = 0
    for one in range(int(fold.max()) + 1):
        held = np.flatnonzero(fold == one)
        others = sums.copy()
        np.subtract.at(others, labels[held], values[held])
        left = counts - np.bincount(labels[held], minlength=classes)
        known = left > 0
        means = (others[known] / left[known, None]).astype(np.float32)
        # |x - m|^2 without |x|^2, which is the same for all means
        distances = (means**2).sum(1) - 2 * values[held] @ means.T
        said = np.flatnonzero(known)[distances.argmin(1)]
        right += int((said == labels[held]).sum())
        judged += len(held)
    return right / judged, judged


def shift_of(network: Network, images: Iterator[Tensor] | Sequence[Tensor]) -> tuple[float | None, float | None]:
    """Say how far pictures are from those that a network learned from, without having any of these.

    Two different things, both of which the network itself can tell:

    The shift. Batch norm keeps mean m and deviation s of each channel over the pictures that were learned from. Where
    these pictures give mean m' and deviation s', ``sqrt((m' - m)^2 + (s' - s)^2) / s`` is the Wasserstein distance
    of two bell curves in units of s: 0 for the same pictures. It is taken in the middle (the median) of a layer's
    channels, and of these in the middle of the layers. With EfficientNet-Lite0, trained on ImageNet, photographs gave
    0.14, enlarged CIFAR-10 0.36, digits 0.46, noise 0.54. It is of how pictures look, light, blur and texture above
    all; it does not say whether their classes can be told apart, and says nothing of single pictures. Networks
    without batch norm, or whose statistics were not gathered, have none.

    The confidence. How sure the network is on average that a picture is one of its own classes: a network whose
    probabilities can be believed is as sure of its own kind of pictures as it is often right, and less sure of others.
    It is no measure of distance: nothing keeps a network from being sure of what it has never seen.

    Args:
        network: that is asked.
        images: batches (n, C, H, W), normalised.

    Returns:
        The shift in standard deviations, None where there are no statistics; and the confidence in [0, 1], None for a
        network of one class.

    Raises:
        NetworkError: it cannot be run on them, or gives what is no number.
        Stopped: the user asked to stop.

    Source: Li et al. 2016, arXiv:1603.04779 (statistics of batch norm tell the domain); Hendrycks and Gimpel 2017,
    arXiv:1610.02136 (the largest probability tells what is unknown).
    """
    sums: dict[nn.Module, _Sums] = {}
    sure, pictures = 0.0, 0
    classes = 0
    with undisturbed(network.module), torch.no_grad(), _listening(network.module, sums):
        for batch in images:
            moved = network.batch(batch)
            for piece in torch.split(moved, network.piece()):
                check_stop(_TASK)
                logits = network.logits(run(network.module, piece)).double()
                if not bool(torch.isfinite(logits).all()):
                    raise NetworkError(f"{network.name} gives NaN or infinity on these pictures.")
                sure += float(logits.softmax(1).amax(1).sum())
                classes, pictures = logits.shape[1], pictures + len(logits)
                report(Event(_TASK, pictures, None))
    report(Event(_TASK, pictures, pictures))
    layers = [found for part, one in sums.items() if (found := one.distance(part)) is not None]
    shift = float(np.median(layers)) if layers else None
    return shift, sure / pictures if pictures and classes > 1 else None


class _Sums:
    """Sums over all that a layer is given."""

    def __init__(self) -> None:
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.count = 0

    def add(self, values: Tensor) -> None:
        axes = [0, *range(2, values.dim())]
        exact = values.double()
        first, second = exact.sum(axes), exact.square().sum(axes)
        self.first = first if self.first is None else self.first + first
        self.second = second if self.second is None else self.second + second
        self.count += values.numel() // values.shape[1]

    def distance(self, part: nn.Module) -> float | None:
        """Return the distance to what batch norm keeps, in the middle of the channels."""
        assert isinstance(part, _BatchNorm)
        if self.first is None or self.second is None or part.running_mean is None or part.running_var is None:
            return None
        mean = self.first / self.count
        deviation = (self.second / self.count - mean.square()).clamp(min=0).sqrt()
        variance = part.running_var.double() + part.eps
        squares = (mean - part.running_mean.double()).square() + (deviation - variance.sqrt()).square()
        return float((squares / variance).median().sqrt())


@contextmanager
def _listening(module: nn.Module, sums: dict[nn.Module, _Sums]) -> Iterator[None]:
    """Add up what every batch norm that keeps statistics is given, while this is entered."""

    def hear(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            sums.setdefault(part, _Sums()).add(inputs[0])

    parts = [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and getattr(part, "running_mean", None) is not None
    ]
    handles = [part.register_forward_pre_hook(hear) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
