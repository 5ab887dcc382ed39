"""Which fonts a line of words needs, where the usual one has not all its letters. Draws nothing."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.ft2font import FT2Font

__all__ = ["writable"]

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def writable(words: str, family: str = "sans-serif") -> tuple[str, list[str]]:
    """Return words that can be drawn, and the fonts to draw them with, in the order in which they are asked.

    Letters that the usual font lacks are drawn with another installed font that has them; those that no font has, as
    a replacement character, instead of matplotlib's empty boxes and a warning for each.

    Args:
        words: one line.
        family: such as "sans-serif" or "monospace".
    """
    if words.isascii():
        return words, [family]
    usual = _letters(fontManager.findfont(FontProperties(family=[family])))
    families = [family]
    for letter in sorted(set(words)):
        if ord(letter) in usual:
            continue
        other = _other(letter)
        if other is None:
            words = words.replace(letter, _UNKNOWN if ord(_UNKNOWN) in usual else "?")
        elif other not in families:
            families.append(other)
    return words, families


@cache
def _letters(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())


@cache
def _other(letter: str) -> str | None:
    """Return an installed font that has a letter: the first by name of plain weight, else any."""
    real = (one for one in fontManager.ttflist if not one.name.startswith("Last Resort"))  # which has boxes alone
    for font in sorted(real, key=lambda one: (one.weight != 400, one.style != "normal", one.name)):
        try:
            if ord(letter) in _letters(font.fname):
                return str(font.name)
        except (OSError, RuntimeError):  # not readable, or no font after all
            continue
    return None
