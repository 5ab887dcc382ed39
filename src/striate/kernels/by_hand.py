"""Kernels that people have written by hand: blur, edges, sharpening. Numbers only: reads no picture, needs no torch.

A kernel is a small picture of what it answers to when it is laid on the picture as it is (cross-correlation): the
one of Sobel for "right" is dark on its left and bright on its right, and answers most where the picture is so too.
Convolution turns a kernel by half a turn first, which for these changes the sign.

Source: Gonzalez and Woods, "Digital image processing", chapters 3 and 10; Kirsch 1971, "Computer determination of
the constituent structure of biological images"; Prewitt 1970, "Object enhancement and extraction".
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.errors import OptionError

__all__ = [
    "DIRECTIONS",
    "Kernel",
    "blur",
    "difference",
    "edge",
    "gaussian",
    "identity",
    "kirsch",
    "laplacian",
    "named",
    "names",
    "parameters",
    "prewitt",
    "rotated",
    "sharpen",
    "sobel",
    "summary",
]

DIRECTIONS: Final = ("up", "up-left", "left", "down-left", "down", "down-right", "right", "up-right")
"""Where the bright side is, each an eighth of a turn against the clock from the one before; Kirsch's g1 to g8."""

LARGEST: Final = 1001  # weights along one side; more is a slip of the hand, and would take minutes

# The places around the middle of a 3 x 3 kernel, with the clock.
_RING: Final = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
_STRAIGHT: Final = ("up", "left", "down", "right")


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel with its name; `numpy.asarray` gives its numbers.

    Args:
        name: by which `named` makes it, such as "kirsch".
        values: the weights, shape (h, w), float64.
        parameters: what it was made with.
        finds: what it answers to, in words, laid on the picture as it is.
    """

    name: str
    values: NDArray[np.float64]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    finds: str = ""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.values.shape
        return height, width

    @property
    def title(self) -> str:
        """Its name with what tells it from its like: "kirsch up-left", "blur 9"."""
        parts = (_shown(value) for value in self.parameters.values() if value is not None)
        return " ".join([self.name, *(part for part in parts if part)])

    @property
    def balanced(self) -> bool:
        """The weights sum to zero: it answers nothing where the picture does not change, and has a sign."""
        return abs(float(self.values.sum())) < 1e-9 * self.strongest

    @property
    def strongest(self) -> float:
        """The largest answer to a picture between 0 and 1, at the pattern that it looks like."""
        return float(np.clip(self.values, 0, None).sum())

    def turned(self) -> Kernel:
        """Turn it by half a turn: what convolution does before it lays a kernel on a picture.

        It is then called by its old name and "turned", and no longer knows what it finds, unless it stays as it is.
        """
        values = self.values[::-1, ::-1].copy()
        if np.array_equal(values, self.values):
            return Kernel(self.name, values, self.parameters, self.finds)
        return Kernel(f"{self.title} turned", values)


def identity() -> Kernel:
    """Leave the picture as it is: 1 in the middle of 3 x 3."""
    values = np.zeros((3, 3))
    values[1, 1] = 1
    return Kernel("identity", values, {}, "every pixel, as it is")


def blur(size: int | tuple[int, int] = 3) -> Kernel:
    """Average over a box.

    Args:
        size: pixels along each side, or (height, width); odd or even, at least 1.
    """
    height, width = _sides(size, "blur")
    values = np.full((height, width), 1 / (height * width))
    return Kernel("blur", values, {"size": size}, "the mean of the box around a pixel")


def gaussian(sigma: float = 1.0, size: int | tuple[int, int] | None = None) -> Kernel:
    """Average with weights that fall off as a bell, summing to 1.

    Args:
        sigma: width of the bell (its standard deviation), pixels, above 0.
        size: pixels along each side, or (height, width); None takes three sigma on either side of the middle.
    """
    if not (_is_number(sigma) and 0 < sigma < LARGEST):
        raise OptionError(f"the sigma of a Gaussian is its width in pixels, above 0 and below {LARGEST}, got {sigma}.")
    height, width = _sides(2 * math.ceil(3 * sigma) + 1 if size is None else size, "gaussian")
    down, across = (np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / sigma) ** 2) for side in (height, width))
    values = np.outer(down, across)
    given = {"sigma": sigma, "size": size}
    return Kernel("gaussian", values / values.sum(), given, "the mean around a pixel, the nearer the more")


def difference(direction: str = "right", centred: bool = False) -> Kernel:
    """Take the difference of two neighbours.

    It is the derivative, as far as pixels have one.

    Args:
        direction: of the neighbour that is counted as positive: right, left, up or down.
        centred: [-1, 0, 1], over both neighbours of a pixel, instead of [-1, 1], over the pixel and the next.
    """
    direction = _direction(direction, _STRAIGHT, "difference")
    row = np.array([[-1.0, 0.0, 1.0]] if centred else [[-1.0, 1.0]])
    values = {"right": row, "left": row[:, ::-1], "down": row.T, "up": row.T[::-1]}[direction]
    given = {"direction": direction, "centred": centred}
    return Kernel("difference", values.copy(), given, f"a pixel whose neighbour {_where(direction)} is brighter")


def edge(direction: str = "right") -> Kernel:
    """Take one neighbour of a pixel minus the one across from it: the simple edge.

    Args:
        direction: of the bright side, one of `DIRECTIONS`.
    """
    return _compass("edge", [[0, 1, 0], [0, 0, 0], [0, -1, 0]], direction)


def sobel(direction: str = "right", size: int = 3) -> Kernel:
    """Find edges by a difference, smoothed along the edge by weights of 1, 2, 1.

    Args:
        direction: of the bright side, one of `DIRECTIONS`.
        size: pixels along each side, odd, at least 3; above 3 the smoothing goes both ways, and the direction is
            right, left, up or down.
    """
    if size == 3:
        return _compass("sobel", [[1, 2, 1], [0, 0, 0], [-1, -2, -1]], direction)
    height, _ = _sides(size, "sobel")
    if not isinstance(size, int) or height < 3 or height % 2 == 0:
        raise OptionError(f"a Sobel kernel is square, with an odd side of at least 3, got size {size}.")
    direction = _direction(direction, _STRAIGHT, f"sobel of size {size}")
    # a difference of two binomials, one step apart on either side of the middle
    narrow = np.array([math.comb(size - 3, k) for k in range(size - 2)], dtype=np.float64)
    wide = np.array([math.comb(size - 1, k) for k in range(size)], dtype=np.float64)
    right = np.outer(wide, np.convolve(narrow, [-1, 0, 1]))
    turns = ("right", "up", "left", "down").index(direction)
    values = np.rot90(right, turns).copy()
    return Kernel("sobel", values, {"direction": direction, "size": size}, _edge_words(direction))


def prewitt(direction: str = "right") -> Kernel:
    """Find edges by a difference, averaged along the edge.

    Args:
        direction: of the bright side, one of `DIRECTIONS`.
    """
    return _compass("prewitt", [[1, 1, 1], [0, 0, 0], [-1, -1, -1]], direction)


def kirsch(direction: str = "up") -> Kernel:
    """Find edges by weights of 5 on the bright side and -3 around the rest.

    The eight directions are the g1 to g8 of the literature.

    Args:
        direction: of the bright side, one of `DIRECTIONS`.
    """
    return _compass("kirsch", [[5, 5, 5], [-3, 0, -3], [-3, -3, -3]], direction)


def laplacian(neighbours: int = 4) -> Kernel:
    """Sum the neighbours of a pixel and take the pixel away as many times.

    It is the second derivative, in all directions at once.

    Args:
        neighbours: 4, those beside it, or 8, those at the corners too.
    """
    if neighbours not in (4, 8):
        raise OptionError(f"a pixel has 4 neighbours beside it, or 8 with those at the corners, got {neighbours}.")
    corner = 1.0 if neighbours == 8 else 0.0
    values = np.array([[corner, 1, corner], [1, -neighbours, 1], [corner, 1, corner]])
    return Kernel("laplacian", values, {"neighbours": neighbours}, "a pixel darker than its neighbours")


def sharpen(amount: float = 1.0) -> Kernel:
    """Add to a picture what tells each pixel from its neighbours.

    Args:
        amount: how much of [[0, -1, 0], [-1, 4, -1], [0, -1, 0]] is added to the identity; 0 changes nothing, a
            number below 0 blurs.
    """
    if not (_is_number(amount) and math.isfinite(amount)):
        raise OptionError(f"the amount of sharpening is a number such as 2, got {amount}.")
    values = identity().values - amount * laplacian(4).values
    return Kernel("sharpen", values, {"amount": amount}, "every pixel, driven away from its neighbours")


def rotated(values: NDArray[Any] | Kernel, eighths: int = 1) -> NDArray[np.float64]:
    """Rotate a 3 x 3 kernel by eighths of a turn against the clock: its outer weights move on along the ring.

    Args:
        values: shape (3, 3).
        eighths: of a turn; 2 is a right angle, a number below 0 turns with the clock.

    Returns:
        Shape (3, 3), float64.

    Raises:
        OptionError: another shape, which cannot be turned by 45 degrees without inventing weights.
    """
    old = np.asarray(values, dtype=np.float64)
    if old.shape != (3, 3):
        raise OptionError(
            f"only a 3 x 3 kernel can be rotated by eighths of a turn, got {' x '.join(map(str, old.shape))}: larger "
            "ones would need weights between the pixels. numpy.rot90 turns any kernel by right angles."
        )
    new = old.copy()
    for place, source in zip(_RING, _RING[eighths % 8 :] + _RING[: eighths % 8], strict=True):
        new[place] = old[source]
    return new


_MAKERS: Final[dict[str, Callable[..., Kernel]]] = {
    maker.__name__: maker
    for maker in (blur, difference, edge, gaussian, identity, kirsch, laplacian, prewitt, sharpen, sobel)
}


def names() -> list[str]:
    """Return the names of all kernels, sorted."""
    return sorted(_MAKERS)


def parameters(name: str) -> dict[str, Any]:
    """Return what a kernel can be given, with the defaults.

    Raises:
        OptionError: no kernel has this name; the text proposes the nearest and lists all.
    """
    return {key: value.default for key, value in inspect.signature(_maker(name)).parameters.items()}


def summary(name: str) -> str:
    """Return what a kernel does, in one sentence.

    Raises:
        OptionError: no kernel has this name.
    """
    return (_maker(name).__doc__ or "").partition("\n")[0]


def named(name: str, **given: Any) -> Kernel:
    """Make a kernel by its name: `named("kirsch", direction="up-left")`.

    Raises:
        OptionError: no kernel has this name, it does not take this parameter, or not this value.
    """
    maker, taken = _maker(name), parameters(name)
    if unknown := [key for key in given if key not in taken]:
        takes = f"takes {' and '.join(taken)}" if taken else "takes nothing"
        raise OptionError(f"the kernel {maker.__name__} has no {unknown[0]}; it {takes}.")
    return maker(**given)


def _maker(name: str) -> Callable[..., Kernel]:
    plain = str(name).strip().lower()
    if plain in _MAKERS:
        return _MAKERS[plain]
    close = get_close_matches(plain, _MAKERS, n=2)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise OptionError(f"no kernel is called {name!r}.{hint} Kernels: {', '.join(names())}.")


def _compass(name: str, upwards: list[list[int]], direction: str) -> Kernel:
    direction = _direction(direction, DIRECTIONS, name)
    values = rotated(np.array(upwards), DIRECTIONS.index(direction))
    return Kernel(name, values, {"direction": direction}, _edge_words(direction))


def _edge_words(direction: str) -> str:
    return f"an edge that is brighter {_where(direction)}"


def _where(direction: str) -> str:
    words = {"up": "above", "down": "below", "left": "on the left", "right": "on the right"}
    return words.get(direction, f"towards {direction.replace('-', ' and ')}")


def _direction(given: str, allowed: tuple[str, ...], name: str) -> str:
    plain = str(given).strip().lower().replace("_", "-").replace(" ", "-")
    if plain in allowed:
        return plain
    swapped = "-".join(reversed(plain.split("-")))  # "left-up"
    if swapped in allowed:
        return swapped
    close = get_close_matches(plain, allowed, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise OptionError(f"{name} has no direction {given!r}.{hint} Directions: {', '.join(allowed)}.")


def _sides(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    sides = (size, size) if not isinstance(size, (tuple, list)) else tuple(size)
    whole = all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or min(sides) < 1 or max(sides) > LARGEST:
        raise OptionError(
            f"the size of {name} is a whole number of pixels from 1 to {LARGEST}, or a height and a width, got {size}."
        )
    return int(sides[0]), int(sides[1])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, bool):
        return "centred" if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)
