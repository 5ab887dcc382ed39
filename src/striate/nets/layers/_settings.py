"""What all layers ask of their settings: whole numbers, given once or for each axis. Arithmetic only."""

from __future__ import annotations

from operator import index

from striate.errors import OptionError

__all__ = ["Pair", "count", "pair"]

Pair = int | tuple[int, int]


def count(name: str, value: int, *, least: int = 1) -> int:
    """Return a whole number of at least `least`, also where NumPy gives it.

    Raises:
        OptionError: it is smaller, or no whole number.
    """
    try:
        number = least - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return number


def pair(name: str, value: Pair, *, least: int = 1) -> tuple[int, int]:
    """Return a setting for rows and columns, which may be given once for both.

    Raises:
        OptionError: it is too small, or neither one whole number nor two.
    """
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise OptionError(f"{name} must be one whole number, or two for rows and columns, got {value!r}.")
        return count(name, value[0], least=least), count(name, value[1], least=least)
    return (count(name, value, least=least),) * 2
