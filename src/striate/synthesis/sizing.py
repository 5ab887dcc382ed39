"""How large a picture a unit deserves: what it sees, and some room around it. Knows layers, makes no pictures."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from striate.errors import NetworkError, OptionError
from striate.network import Network

__all__ = ["LARGEST", "SMALLEST", "Sized", "checked", "sized"]

LARGEST = 128  # pixels of the shorter side, unless the network's own is smaller
SMALLEST = 48  # pixels: smaller pictures leave warps nothing to move
_ROOM = 1.5  # times what a unit sees
_STEP = 8  # pixels


@dataclass(frozen=True)
class Sized:
    """A size with its reason.

    Attributes:
        height: in pixels.
        width: in pixels.
        why: a sentence, or empty for the usual size.
    """

    height: int
    width: int
    why: str = ""


def sized(network: Network, place: str | None) -> Sized:
    """Return the size of a picture for the units of a place.

    The usual size has a shorter side of 128 pixels in the network's own proportions. Units that see little of it
    get less: half as much again as they see, which is faster and shows them larger. A network that takes nothing but
    its own size (one with a layer that counts on it) gets that.

    Args:
        network: that looks.
        place: layer, "name" or "name~k"; None for the classes.
    """
    height, width = network.spec.size
    factor = min(1.0, LARGEST / min(height, width))
    usual = (round(height * factor), round(width * factor))
    if usual != network.spec.size and not _taken(network, *usual):
        return Sized(height, width, f"{network.name} takes pictures of {height} x {width} only.")
    if place is None:
        return Sized(*usual)
    field = network.graph(*usual).layer(place).field
    window = field.size
    if window is None or field.status == "unknown":
        return Sized(*usual)
    seen = max(window)
    side = max(SMALLEST, _STEP * ceil(_ROOM * seen / _STEP))
    if side >= min(usual) or not _taken(network, side, side):
        return Sized(*usual)
    return Sized(side, side, f"A unit of {place} sees {window[0]} x {window[1]} pixels.")


def checked(network: Network, height: int, width: int) -> tuple[int, int]:
    """Return a size that was asked for, once it is known that the network takes it.

    Raises:
        OptionError: it does not, or there is nothing in such a picture.
    """
    if height < 1 or width < 1:
        raise OptionError(f"a picture of {height} x {width} pixels has nothing in it: the size must be at least 1.")
    try:
        network.graph(height, width)
    except NetworkError as error:
        raise OptionError(
            f"{network.name} cannot be run on pictures of {height} x {width} pixels, which may be too small for it; "
            f"its own size is {' x '.join(map(str, network.spec.size))}. ({error})"
        ) from error
    return height, width


def _taken(network: Network, height: int, width: int) -> bool:
    """Tell whether the network runs on pictures of that size."""
    try:
        network.graph(height, width)
    except NetworkError:
        return False
    return True
