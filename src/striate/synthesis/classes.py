"""Which classes are meant, and how sure a network is of them in pictures of 8 bits. Makes no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import AddressError, NetworkError
from striate.network import Network
from striate.targets import resolve

__all__ = ["Classes", "Said", "chosen_classes", "say"]


@dataclass(frozen=True)
class Classes:
    """Classes of a network.

    Attributes:
        indices: one for each picture.
        labels: their addresses, as they are shown.
    """

    indices: tuple[int, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, eq=False)
class Said:
    """What a network says of pictures.

    Attributes:
        logits: (N,), of the class in question, before softmax.
        probabilities: (N,), of the class in question.
        names: what it takes each picture for.
        best: (N,), the probability of that.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    names: tuple[str, ...]
    best: NDArray[np.float32]


def chosen_classes(network: Network, target: str | int | Sequence[str | int], lens: str) -> Classes:
    """Make classes definite.

    Args:
        network: that has them.
        target: class:NAME, class:INDEX or an index; or several.
        lens: what asks, for the error.

    Raises:
        AddressError: no such class, a unit in the place of one, or none at all.
    """
    asked = [target] if isinstance(target, str | int) else list(target)
    if not asked:
        raise AddressError("no class was named. Write class:NAME or class:INDEX, such as class:tabby.")
    shape = (network.spec.channels, *network.spec.size)
    indices, labels = [], []
    for one in asked:
        found = resolve(network, one, torch.empty((1, *shape), device="meta"))
        index = found.channels[0]
        if found.place is not None or index is None:
            raise AddressError(
                f"{one!r} is a unit, and {lens} is for classes: class:NAME or class:INDEX, such as class:0. "
                "Pictures for units are made by synthesize."
            )
        indices.append(index)
        labels.append(found.labels[0])
    return Classes(tuple(indices), tuple(labels))


def say(network: Network, pictures: NDArray[np.uint8], classes: Sequence[int]) -> Said:
    """Ask a network for pictures of 8 bits, at its own input size.

    Args:
        network: that is asked.
        pictures: uint8, (N, C, H, W); resized where they have another size than its input.
        classes: in question, one for each picture.

    Raises:
        NetworkError: an answer is not finite.
    """
    size = network.spec.size
    if pictures.shape[2:] == size:
        images = network.spec.normalise(torch.from_numpy(pictures).float() / 255)
    else:
        images = torch.stack([network.spec.preprocess(np.moveaxis(one, 0, -1)) for one in pictures])
    logits = network(images).float().cpu()
    if not bool(logits.isfinite().all()):
        row = int((~logits.isfinite()).any(1).nonzero()[0])
        raise NetworkError(
            f"the network's answer for picture {row + 1} is not finite. Check its weights, and its mean and std."
        )
    shares = logits.double().softmax(1).float()
    rows, wanted = torch.arange(len(logits)), torch.tensor(classes)
    best, top = shares.max(1)
    return Said(
        logits=_array(logits[rows, wanted]),
        probabilities=_array(shares[rows, wanted]),
        names=tuple(network.class_name(index) for index in top.tolist()),
        best=_array(best),
    )


def _array(values: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values.numpy()
    return found
