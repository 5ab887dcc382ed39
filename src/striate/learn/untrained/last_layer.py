"""Train the last layer of a network and nothing else: what it reads is kept, and it is solved for in closed form.

No step of gradient descent is taken. The layers before are run once over the pictures; they need not have learned
anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate import progress
from striate.errors import DataError, NetworkError
from striate.files import byte_count
from striate.learn.pictures.feeding import Feed
from striate.learn.starting.heads import head_of
from striate.learn.untrained.ridge import fit_ridge
from striate.network import Network
from striate.progress import Event
from striate.running import run, undisturbed

__all__ = ["LastLayer", "fit_last_layer", "read_features", "settle_norms"]

_LARGEST = 6 * 2**30  # bytes of features that are kept
_ALIKE = 0.99  # share of pictures that the network must name as the solved layer does


@dataclass(frozen=True)
class LastLayer:
    """What became of the last layer.

    Attributes:
        name: its address.
        features: numbers that it reads.
        pictures: that it learned from.
        strength: of the penalty that was chosen (see `ridge`).
        left_out: share of these pictures that it names rightly when it has not seen them.
    """

    name: str
    features: int
    pictures: int
    strength: float
    left_out: float


class _Reached(BaseException):
    """Ends a run early. No Exception, so that a network's own error handling lets it through."""


def fit_last_layer(network: Network, feed: Feed, classes: int) -> LastLayer:
    """Solve for the weights of the last layer, in place; all others stay as they are.

    Args:
        network: its last layer is dense, or a convolution of 1 x 1 whose map is averaged.
        feed: of the training pictures, in any order; `Feed.epoch(1)` is gone through once.
        classes: as many as the network has logits.

    Raises:
        NetworkError: there is no such layer, several layers make the logits, or what stands behind it changes which
            logit is the largest.
        DataError: no picture can be read, or the features would not fit into memory.
        Stopped: the user asked to stop.
    """
    name, layer = _head(network)
    features, labels, first = read_features(network, feed)
    found = fit_ridge(features, labels, classes, intercept=layer.bias is not None)
    with torch.no_grad():
        layer.weight.copy_(found.weight.view_as(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(found.bias)
    _check(network, name, first)
    return LastLayer(name, found.weight.shape[1], len(labels), found.strength, found.left_out)


def read_features(network: Network, feed: Feed) -> tuple[Tensor, Tensor, Tensor]:
    """Run all pictures up to the last layer, and keep what it reads.

    Returns:
        Features (N, D), float32, and labels (N,), int64, on the network's device; and the first batch of pictures.

    Raises:
        NetworkError: what the layer reads is not one row of numbers for each picture, nor maps that are averaged.
        DataError: no picture can be read, or the features would not fit into memory.
        Stopped: the user asked to stop.
    """
    name, layer = _head(network)
    held: list[Tensor] = []
    labels: list[Tensor] = []
    first: Tensor | None = None
    task = f"reading what {name} reads"
    for number, fed in enumerate(feed.epoch(1), 1):
        progress.check_stop(task)
        with undisturbed(network.module), torch.no_grad(), _reading(layer) as read, suppress(_Reached):
            run(network.module, fed.images)
        held.append(_row(read, layer, name, network.name, len(fed)).float())
        labels.append(fed.labels)
        if first is None:
            first = fed.images
            size = feed.count * held[0].shape[1] * 4
            if size > _LARGEST:
                raise DataError(
                    f"{name} of {network.name} reads {held[0].shape[1]:,} numbers of each of {feed.count:,} pictures: "
                    f"{byte_count(size)}, more than is kept here ({byte_count(_LARGEST)}). Take fewer or smaller "
                    "pictures, or a network that pools more."
                )
        progress.report(Event(task, number, max(feed.batches, number)))
    if first is None:
        raise DataError("no picture to train the last layer on can be read.")
    return torch.cat(held), torch.cat(labels), first


def settle_norms(network: Network, feed: Feed) -> int:
    """Measure the statistics of all batch norms over the pictures, in place; no weight changes.

    A network with random weights has those of no pictures at all, and would be thrown far off its range. Every batch
    norm gets the mean over the batches of their means and variances, while each normalises by its own batch, as in
    training; all layers are measured in one pass.

    Args:
        network: any.
        feed: of the pictures, in an order in which classes are mixed; `Feed.epoch(1)` is gone through once.

    Returns:
        How many batch norms there are.

    Raises:
        Stopped: the user asked to stop.
    """
    norms = [
        part
        for part in network.module.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None
    ]
    if not norms:
        return 0
    kept = [norm.momentum for norm in norms]
    task = "measuring batch norm"
    network.module.eval()
    done = usual = 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        with torch.no_grad():
            for number, fed in enumerate(feed.epoch(1), 1):
                progress.check_stop(task)
                if done and 2 * len(fed) < usual:
                    continue  # a small remainder says less, and a single picture nothing
                usual = usual or len(fed)
                done += 1
                for norm in norms:
                    norm.momentum = 1 / done  # the mean over all batches so far
                run(network.module, fed.images)
                progress.report(Event(task, number, max(feed.batches, number)))
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
        network.module.eval()
    return len(norms)


def _head(network: Network) -> tuple[str, nn.Linear | nn.Conv2d]:
    """Return the layer that makes the logits.

    Raises:
        NetworkError: there are several, or it looks at more than one place of a map.
    """
    names = head_of(network)
    if len(names) > 1:
        raise NetworkError(
            f"the logits of {network.name} come from several layers ({', '.join(names)}): it is not known which of "
            "them to train. Take a network with one last layer."
        )
    layer = network.module.get_submodule(names[0])
    assert isinstance(layer, nn.Linear | nn.Conv2d)  # head_of finds nothing else
    plain = isinstance(layer, nn.Linear) or (
        layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1 and layer.padding in (0, (0, 0))
    )
    if not plain:
        raise NetworkError(
            f"{names[0]}, the last layer of {network.name}, is a convolution over several places of a map: it cannot "
            "be solved for by itself. Take a network that ends in a dense layer, or in a convolution of 1 x 1."
        )
    return names[0], layer


@contextmanager
def _reading(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Catch what a layer is given, and end the run there."""
    read: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        read.append(inputs[0].detach().clone())
        raise _Reached

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield read
    finally:
        handle.remove()


def _row(read: list[Tensor], layer: nn.Module, name: str, network: str, count: int) -> Tensor:
    """Return (b, D) of what the layer was given."""
    found = read[0] if read else None
    if isinstance(layer, nn.Conv2d) and found is not None and found.dim() == 4 and len(found) == count:
        return found.mean((2, 3))  # the mean of the answers is the answer to the mean
    if found is None or found.dim() != 2 or len(found) != count:
        shape = "nothing" if found is None else " x ".join(map(str, found.shape))
        raise NetworkError(
            f"{name}, the last layer of {network}, is given {shape} for {count} pictures: one row of numbers for each "
            "is wanted."
        )
    return found


def _check(network: Network, name: str, images: Tensor) -> None:
    """Make sure that the largest logit is the one that the last layer makes largest."""
    given: list[Tensor] = []
    layer = network.module.get_submodule(name)
    handle = layer.register_forward_hook(lambda _module, _inputs, output: given.append(output.detach().clone()))
    try:
        with undisturbed(network.module), torch.no_grad():
            logits = network.logits(run(network.module, images))
    finally:
        handle.remove()
    own = given[0].mean((2, 3)) if given[0].dim() == 4 else given[0]
    alike = float((own.argmax(1) == logits.argmax(1)).double().mean())
    if alike < _ALIKE:
        raise NetworkError(
            f"what stands behind {name}, the last layer of {network.name}, changes which logit is the largest (in "
            f"{100 * (1 - alike):.0f} % of a few pictures): a rectifier, perhaps. It cannot be solved for by itself."
        )
