"""Run pictures through a network as far as some layers reach, and hand over what each of them gives. Keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.network import Network
from striate.running import run, undisturbed
from striate.tap import watching

__all__ = ["Places", "batch_size", "filled", "places_of", "run_to", "short_of_memory"]

Places = Mapping[str, Mapping[int, Sequence[str]]]
"""Addresses by the name of a module and the number of its call, as `tap.watching` wants them."""


class _Enough(BaseException):
    """Ends a run early. No Exception, so that a network's own error handling lets it through."""


def places_of(layers: Sequence[Layer]) -> Places:
    """Return where some layers are to be watched; one that is named twice is watched once."""
    wanted: dict[str, dict[int, list[str]]] = {}
    for layer in {one.address: one for one in layers}.values():
        wanted.setdefault(layer.name, {}).setdefault(layer.call, []).append(layer.address)
    return wanted


def batch_size(network: Network) -> int:
    """Return how many pictures are run at a time unless that is said.

    Fixed, whatever the number of threads: the same pictures together give the same bits.
    """
    return 1 if network.one_by_one else 16 if network.device.type == "cpu" else 128


def filled(images: Tensor, size: int) -> Tensor:
    """Fill a batch up: for small ones, and other orders in memory, PyTorch takes ways that round otherwise.

    Args:
        images: (n, C, H, W), n from 1 to `size`.
        size: pictures that a batch has.

    Returns:
        (size, C, H, W), channels last in memory: the pictures, and the last of them again.
    """
    if len(images) == size:
        return images
    shape = (size, *images.shape[1:])
    full = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
    full[: len(images)] = images
    full[len(images) :] = images[-1:]
    return full


def run_to(
    network: Network, images: Tensor, places: Places, see: Callable[[str, Tensor], None], *, logits: bool
) -> Tensor | None:
    """Run a batch; call ``see(place, output)`` when a layer gives its output.

    Args:
        network: that is run.
        images: (n, C, H, W), as `Network.batch` gives them.
        places: what is watched.
        see: gets the very output, which the next operation may write into.
        logits: run to the end; else the run ends at the deepest place.

    Returns:
        The logits, (n, K), or None.

    Raises:
        NetworkError: the network cannot be run, or takes a way on which a layer is not reached.
        OptionError: the memory of the device does not hold a batch.
    """
    wanted = {place for ways in places.values() for way in ways.values() for place in way}
    seen: set[str] = set()
    found: Tensor | None = None

    def note(place: str, output: Tensor) -> None:
        seen.add(place)
        see(place, output)
        if not logits and len(seen) == len(wanted):
            raise _Enough

    module = network.module
    with short_of_memory(network, len(images)), undisturbed(module), torch.no_grad(), watching(module, places, note):
        try:
            output = run(module, images)
            if logits:
                found = network.logits(output)
        except _Enough:
            pass
    if missing := [place for ways in places.values() for way in ways.values() for place in way if place not in seen]:
        raise NetworkError(
            f"layer {missing[0]!r} was not reached on some pictures: the network takes another way for them. "
            "Leave the layer out."
        )
    return found


@contextmanager
def short_of_memory(network: Network, count: int) -> Iterator[None]:
    """Say what to do where the memory of the device does not hold a batch.

    Raises:
        OptionError: it does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OptionError(
            f"the memory of {network.device} does not hold {count} pictures at a time in {network.name}. "
            "Give a smaller batch (batch=, --batch)."
        ) from error
