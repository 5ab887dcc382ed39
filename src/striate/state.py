"""Whether a network is still what it was: a mark that is another when a weight, a part or a setting was changed."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

__all__ = ["state_of"]

_PLAIN = (bool, int, float, str, type(None))


class _Known(NamedTuple):
    """Where to look in a network.

    Attributes:
        parts: identities of all its parts, and how many attributes each has.
        places: where its tensors lie in memory.
        samples: of these.
        settings: of each part its attributes, and the names of those that are numbers, texts or flags.
    """

    parts: list[int]
    places: list[int]
    samples: list[Tensor]
    settings: list[tuple[dict[str, Any], list[str]]]


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def state_of(module: nn.Module) -> Hashable:
    """Return the mark of a network.

    Weights and buffers count by autograd's versions, and for what is written past them (``weight.data``) by a sample,
    which has a number of every filter at least, and all of biases and batch norms: a change to a part of a filter only,
    made so, can be missed. Parts count with their class, and their numbers, texts and flags but for ``training``.
    """
    found = list(module.modules())
    held = [
        tensor
        for part in found
        for tensor in chain(part._parameters.values(), part._buffers.values())
        if tensor is not None
    ]
    parts = [number for part in found for number in (id(part), len(part.__dict__))]
    places = [tensor.data_ptr() for tensor in held]
    known = _known.get(module)
    if known is None or known.parts != parts or known.places != places:
        samples = [one for tensor in held if (one := _sample(tensor)) is not None]
        known = _known[module] = _Known(parts, places, samples, [(part.__dict__, _plain(part)) for part in found])
    taken = torch.cat(known.samples).cpu().view(torch.uint8).numpy().tobytes() if known.samples else b""
    return (
        tuple(parts),
        tuple(places),
        tuple(-1 if tensor.is_inference() else tensor._version for tensor in held),
        tuple(getattr(type(part), "forward", None) for part in found),
        tuple(values.get(name) for values, names in known.settings for name in names),
        taken,
    )


def _plain(part: nn.Module) -> list[str]:
    """Return the names of a part's numbers, texts and flags, but for those that say whether it is trained."""
    return [name for name, value in part.__dict__.items() if isinstance(value, _PLAIN) and name != "training"]


def _sample(weight: Tensor) -> Tensor | None:
    """Return some numbers of a weight, as they lie in memory: one of every row at least, and a hundred where there are.

    Nothing of counters and empty ones.
    """
    if not weight.is_floating_point() or not weight.numel():
        return None
    values = weight.detach()
    row = values.numel() // (len(values) if values.dim() else 1)
    # the golden ratio scatters the places within the rows evenly
    step = max(1, min(int(row / 1.618), values.numel() // 101))
    while math.gcd(step, values.numel()) > 1:  # else it would meet the same corner of every kernel
        step -= 1
    end = (values.storage_offset() + values.numel()) * values.element_size()
    dense = end <= values.untyped_storage().nbytes()
    return values.as_strided((-(-values.numel() // step),), (step,)) if dense else values.flatten()[:1]
