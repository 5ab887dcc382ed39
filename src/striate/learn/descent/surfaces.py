"""Error surfaces of two weights, such as lectures draw, written as formulas. Takes no step and draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from torch import Tensor

from striate.errors import OptionError

__all__ = ["SURFACES", "Surface", "surface"]


@dataclass(frozen=True)
class Surface:
    """A height over two weights.

    Attributes:
        name: as an option calls it.
        words: what it is, for a caption.
        height: of points (..., 2).
        start: where paths begin.
        window: what is drawn: least and greatest of the first weight, of the second.
        lowest: the places where it is least.
        least: its height there.
    """

    name: str
    words: str
    height: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    window: tuple[float, float, float, float]
    lowest: tuple[tuple[float, float], ...]
    least: float


def _valley(at: Tensor) -> Tensor:
    x, y = at.unbind(-1)
    return (x**2 + 30 * y**2) / 2


def _banana(at: Tensor) -> Tensor:
    x, y = at.unbind(-1)
    return (1 - x) ** 2 + 10 * (y - x**2) ** 2


def _saddle(at: Tensor) -> Tensor:
    x, y = at.unbind(-1)
    return x**2 / 2 - y**2 / 2 + y**4 / 4


def _beale(at: Tensor) -> Tensor:
    x, y = at.unbind(-1)
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


_ALL: Final = (
    Surface(
        "valley",
        "a long valley, 30 times as steep across as along",
        _valley,
        start=(-4.0, 1.2),
        window=(-4.8, 1.6, -1.7, 1.7),
        lowest=((0.0, 0.0),),
        least=0.0,
    ),
    Surface(
        "banana",
        "a bent valley whose floor hardly falls (Rosenbrock's, with 10 in place of 100)",
        _banana,
        start=(-1.4, 2.4),
        window=(-2.0, 1.8, -0.8, 3.2),
        lowest=((1.0, 1.0),),
        least=0.0,
    ),
    Surface(
        "saddle",
        "a saddle between two hollows",
        _saddle,
        start=(-1.6, 0.02),
        window=(-2.0, 1.2, -1.7, 1.7),
        lowest=((0.0, -1.0), (0.0, 1.0)),
        least=-0.25,
    ),
    Surface(
        "beale",
        "Beale's function, steep walls around a flat hollow",
        _beale,
        start=(0.8, 1.4),
        window=(-0.9, 4.3, -1.4, 1.9),
        lowest=((3.0, 0.5),),
        least=0.0,
    ),
)
SURFACES: Final[Mapping[str, Surface]] = {one.name: one for one in _ALL}
"""All surfaces by their name."""


def surface(name: str) -> Surface:
    """Return a surface by its name.

    Raises:
        OptionError: there is none of that name.

    Source: Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function"; Beale 1958,
        "On an iterative method for finding a local minimum of a function of more than one variable".
    """
    if name in SURFACES:
        return SURFACES[name]
    close = get_close_matches(str(name).lower(), SURFACES, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise OptionError(f"no surface is called {name!r}.{hint} There are {', '.join(SURFACES)}.")
