"""Where optimisers go from the same weights, on the error surface of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from striate.errors import AddressError
from striate.learn.descent.network_paths import on_network
from striate.learn.descent.walking import LECTURE
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results.optimizer_paths import OptimizerPaths
from striate.targets import Target, resolve

__all__ = ["optimizer_paths"]


@lens
def optimizer_paths(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    optimizers: Sequence[str] = LECTURE,
    steps: int = 30,
    rates: Literal["calm", "own"] | float = "calm",
    start: Literal["random", "weights"] = "random",
    plane: Literal["paths", "random"] = "paths",
    grid: int = 17,
    seed: int = 0,
) -> OptimizerPaths:
    """Show the paths that optimisers take from the same weights, on one error surface.

    The loss is the cross-entropy of the given pictures together, without draw and without weight decay, so what
    differs is the optimiser alone. The surface has as many directions as the network has weights; drawn is the plane
    through the start in which the paths go furthest, with how much of their movement it holds. The network itself is
    not trained. Surfaces of two weights, such as lectures draw: `striate lesson optimizers`.

    Args:
        network: to be trained, in a copy of its weights.
        images: pictures to train on, (N, C, H, W) normalised, or paths; a few of each class.
        target: class of the pictures, one for all or one for each; what the network says of them unless given.
        optimizers: any of sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamax, nadam, amsgrad, adamw.
        steps: that each takes.
        rates: "calm" takes for each the smallest rate, of six (0.1 to 30 times its usual one), with which it comes down
            to a tenth of the loss that it starts from; "own" its usual one; a number is the same for all.
        start: "random" begins with weights drawn by lot (He et al.), "weights" with those that the network has.
        plane: "paths" is the plane in which the paths go furthest; "random" is one by lot, with each filter's part as
            long as the filter: it shows the surface, and nearly nothing of the paths.
        grid: places along each side at which the loss is computed.
        seed: of first weights and directions.

    Raises:
        OptionError: no such optimiser, or an option out of range.
        AddressError: a target that is no class.
        NetworkError: the network cannot be run with other weights, or gives no finite loss.

    Source: surface and planes: Li et al. 2018, arXiv:1712.09913; the optimisers: `striate.learn.descent.rules`.
    """
    batch = network.batch(images)
    targets = resolve(network, target, batch)
    if targets.place is not None:
        raise AddressError(f"{targets.labels[0]} is no class; a loss needs the class that each picture is of.")
    targets = targets.settle(network(batch), network)
    labels = torch.tensor([channel or 0 for channel in targets.channels])
    return on_network(
        network,
        batch,
        labels,
        optimizers=[optimizers] if isinstance(optimizers, str) else list(optimizers),
        steps=steps,
        rates=rates,
        start=start,
        plane=plane,
        grid=grid,
        seed=seed,
    )
