"""Whether a network is still what it was: marks that are others when a weight, a part or a setting was changed."""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

__all__ = ["SAMPLES", "Marks", "state_of", "weights_of"]

Marks = Mapping[tuple[int, str], Hashable]
"""What was found at each place: the number of a part and the name of an attribute."""

SAMPLES = (-1, "samples")
"""Where the numbers are that were taken of all weights."""

_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size})
_OWN = frozenset(nn.Module().__dict__)  # tensors and parts stand in these; flags and hooks are no settings
_DEEP = 3  # lists in lists that are looked into
_LONG = 1000  # entries of one list


class _Sampled(NamedTuple):
    """Where samples were taken, and these: views of the weights."""

    where: Marks
    samples: list[Tensor]


_sampled: WeakKeyDictionary[nn.Module, _Sampled] = WeakKeyDictionary()


def weights_of(module: nn.Module) -> Marks:
    """Return the marks of a network's parts, weights and buffers.

    They count by autograd's versions, and for what is written past them (``weight.data``) by a sample, which has a
    number of every filter at least, and all of biases and batch norms: a change to a part of a filter only, made so,
    can be missed.
    """
    where: dict[tuple[int, str], Hashable] = {}
    versions: dict[tuple[int, str], Hashable] = {}
    held = []
    for number, part in enumerate(module.modules()):
        where[number, ""] = id(part)
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    where[number, name] = _place(tensor)
                    versions[number, f"{name} version"] = _version(tensor)
                    held.append(tensor)
    known = _sampled.get(module)
    if known is None or known.where != where:
        samples = [one for tensor in held if (one := _sample(tensor)) is not None]
        known = _sampled[module] = _Sampled(where, samples)
    taken = torch.cat(known.samples).cpu().view(torch.uint8).numpy().tobytes() if known.samples else b""
    return {**where, **versions, SAMPLES: taken}


def state_of(module: nn.Module) -> Marks:
    """Return the marks of all that a network's answers hang on: weights, classes and attributes of its parts.

    Of attributes numbers, texts and flags count but for ``training``, lists and dicts of them, tensors that are not
    registered, and which object else stands there (a function, say). Not seen is what changes inside such an object or
    an array, and a method of a class other than ``forward``.
    """
    found = dict(weights_of(module))
    for number, part in enumerate(module.modules()):
        found[number, "class"] = type(part), getattr(type(part), "forward", None)
        for name, value in part.__dict__.items():
            if name not in _OWN:
                found[number, f".{name}"] = _mark(value, _DEEP)
    return found


class _Same:
    """Stands for an object: equal to what stands for this very one, without keeping it."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        try:
            self.held: object = weakref.ref(held)  # the same as long as the object lives
        except TypeError:
            self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


def _mark(value: Any, deep: int) -> Hashable:
    """Return what tells a value of an attribute from others."""
    kind = type(value)
    if kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, value))):
        found: Hashable = value
        return found
    if isinstance(value, Tensor):
        return _Same(value), _version(value)
    if isinstance(value, list | tuple | dict) and deep and len(value) <= _LONG:
        return (kind, *_marks(value, deep - 1))
    return _Same(value)


def _marks(values: Any, deep: int) -> Iterator[Hashable]:
    for value in list(values.items()) if isinstance(values, dict) else values:
        yield _mark(value, deep + isinstance(values, dict))


def _place(tensor: Tensor) -> int:
    """Return where a tensor lies in memory; -1 where it has none of its own (sparse, of another library's making)."""
    try:
        return tensor.data_ptr()
    except (RuntimeError, ValueError):
        return -1


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _sample(weight: Tensor) -> Tensor | None:
    """Return some numbers of a weight, as they lie in memory: one of every row at least, and a hundred where there are.

    Nothing of counters and empty ones, and of what does not lie in memory as it is.
    """
    if _place(weight) < 0 or not weight.is_floating_point() or not weight.numel():
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
