"""How numbers, ranges and shapes are written for a person. Strings only: reads no result, draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["count", "number", "probability", "seconds", "shape", "span"]


def number(value: float, digits: int = 3) -> str:
    """Write a number with as many digits as it deserves.

    Args:
        value: any float; not finite is written as a word.
        digits: significant digits, 1 or more.

    Returns:
        Plain notation between 0.001 and 10 million, powers of ten outside: "0.0123", "1,280", "3.1e-05".
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{exponent}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(low: float, high: float) -> str:
    """Write a range of values: "0 to 0.012", "-0.4 to 0.4"."""
    return f"{number(low)} to {number(high)}"


def probability(value: float) -> str:
    """Write a probability with two digits, and never as a certainty: 0.9971 is ">0.99", 0.0004 is "<0.01"."""
    if math.isnan(value):
        return "not a number"
    if value > 0.995:
        return ">0.99"
    if value < 0.005:
        return "<0.01"
    return f"{value:.2f}"


def shape(sizes: Sequence[int]) -> str:
    """Write a shape: (64, 56, 56) is "64 x 56 x 56"; an empty one is "one number"."""
    return " x ".join(str(size) for size in sizes) if len(sizes) else "one number"


def count(how_many: int, one: str, several: str | None = None) -> str:
    """Write how many of something: (1, "picture") is "1 picture", (4, "picture") is "4 pictures"."""
    return f"{how_many:,} {one if how_many == 1 else several or one + 's'}"


def seconds(value: float) -> str:
    """Write a time: 0.0123 is "12 ms", 3.21 is "3.2 s", 192 is "3 min 12 s"."""
    if value < 1:
        return f"{max(1, round(value * 1000))} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
