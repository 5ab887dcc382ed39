"""Sentences that several lenses have to say. Not a lens."""

from __future__ import annotations

from striate.results.words import count
from striate.tap import Gradient

__all__ = ["rule_notes"]


def rule_notes(found: Gradient) -> tuple[str, ...]:
    """Say how many rectifiers followed a backward rule, and what did not."""
    if not found.rectifiers:
        return ()
    notes = [f"{count(found.rectifiers, 'rectifier')} followed the rule."]
    if found.passed:
        others = ", ".join(f"{times} {kind}" for kind, times in found.passed.items())
        notes.append(f"Other non-linear operations passed the plain gradient: {others}.")
    return tuple(notes)
