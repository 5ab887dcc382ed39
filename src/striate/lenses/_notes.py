"""Sentences that several lenses have to say. Not a lens."""

from __future__ import annotations

from striate.tap import Gradient

__all__ = ["rule_notes"]


def rule_notes(found: Gradient) -> tuple[str, ...]:
    """Say how many rectifiers followed a backward rule, and what did not."""
    if not found.rectifiers:
        return ()
    notes = [f"{found.rectifiers} rectifiers followed the rule."]
    if found.passed:
        others = ", ".join(f"{count} {kind}" for kind, count in found.passed.items())
        notes.append(f"Other non-linear operations passed the plain gradient: {others}.")
    return tuple(notes)
