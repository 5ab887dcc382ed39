"""The networks that can be built by name, found in `families`; and building them."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache

import torch
from torch import nn

from striate.errors import NetworkError
from striate.nets import families
from striate.nets.blank import undrawn
from striate.nets.design import Design
from striate.nets.initial import Initial, initialise
from striate.nets.layers._settings import count, pair

__all__ = ["assembled", "create", "design", "names"]


@cache
def _designs() -> dict[str, Design]:
    found: dict[str, Design] = {}
    for entry in sorted(pkgutil.iter_modules(families.__path__), key=lambda entry: entry.name):
        for one in importlib.import_module(f"{families.__name__}.{entry.name}").DESIGNS:
            assert one.name not in found, f"two networks are called {one.name}"
            found[one.name] = one
    return found


def names() -> list[str]:
    """Return the names of all networks, family by family."""
    return list(_designs())


def design(name: str) -> Design:
    """Return what is known of a network.

    Args:
        name: such as "vgg-c"; capitals and "_" for "-" are understood.

    Raises:
        NetworkError: there is none of this name; the text proposes the nearest and lists all.
    """
    known = _designs()
    plain = name.strip().lower().replace("_", "-")
    if plain in known:
        return known[plain]
    proposed = [one.name for one in known.values() if plain in one.also] or get_close_matches(plain, known, n=3)
    hint = f" Did you mean {' or '.join(proposed)}?" if proposed else ""
    raise NetworkError(f"there is no network {name!r}.{hint} There are {', '.join(known)}.")


def create(
    name: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    size: int | tuple[int, int] | None = None,
    initial: Initial | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Build a network of the lectures, untrained.

    Args:
        name: one of `names()`, such as "vgg-c" or "resnet-50".
        classes: how many logits it gives; 1,000 for most, 10 for those made for digits or CIFAR, unless given.
        channels: of its pictures; 3 or 1 unless given.
        size: of its pictures, side or (height, width) in pixels; what it was made for unless given. Where dense
            layers follow on maps, their weights depend on it.
        initial: how its first weights are drawn; what suits it unless given (see `initialise`).
        generator: what draws them; PyTorch's own, which `torch.manual_seed` sets, unless given.

    Returns:
        The module, in training mode, on the CPU. It gives logits (N, classes), without softmax.

    Raises:
        NetworkError: no such network, or the picture is too small for it.
        OptionError: a number below 1, or no such rule for the first weights.
    """
    module = assembled(name, classes=classes, channels=channels, size=size)
    return initialise(module, design(name).initial if initial is None else initial, generator)


def assembled(
    name: str, *, classes: int | None = None, channels: int | None = None, size: int | tuple[int, int] | None = None
) -> nn.Module:
    """Build a network whose weights are whatever was in memory, to be drawn or loaded. Arguments as of `create`."""
    chosen = design(name)
    classes = count(f"classes of {chosen.name}", chosen.classes if classes is None else classes)
    channels = count(f"channels of {chosen.name}", chosen.channels if channels is None else channels)
    height, width = pair(f"size of {chosen.name}", chosen.size if size is None else size)
    if min(height, width) < chosen.smallest:
        raise NetworkError(
            f"{chosen.name} cannot be built for pictures of {height} x {width}: nothing would be left of them before "
            f"its last layers. The smallest is {chosen.smallest} x {chosen.smallest}."
        )
    with undrawn():
        module = chosen.build(classes, channels, (height, width))
    side = str(height) if height == width else f"{height}x{width}"
    # how `striate.load` and a saved file make it again
    module.made_as = f"striate:{chosen.name},classes={classes},channels={channels},size={side}"  # type: ignore[assignment]
    return module
