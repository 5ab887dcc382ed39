"""Trainings that are known to reach a mark, by name: a file each with a network and its settings. Trains nothing.

    recipe = recipes.recipe("fast-cifar")
    network = learn.start(recipe.net, classes=10)
    run = learn.fit(network, "cifar/train", **recipe.settings.to_dict())

`striate train FOLDER --recipe fast-cifar` does that. A new recipe is a new file here with a `RECIPE`; nothing else
names it. What they reach stands in docs/training.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache

from striate.errors import OptionError
from striate.learn.recipes.recipe import Recipe

__all__ = ["Recipe", "names", "recipe"]


@cache
def _recipes() -> dict[str, Recipe]:
    found: dict[str, Recipe] = {}
    for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name):
        if entry.name != "recipe":
            one: Recipe = importlib.import_module(f"{__name__}.{entry.name}").RECIPE
            assert one.name not in found, f"two recipes are called {one.name}"
            found[one.name] = one
    return found


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(_recipes())


def recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Args:
        name: such as "fast-cifar"; capitals and "_" for "-" are understood.

    Raises:
        OptionError: there is none of this name; the text proposes the nearest and lists all.
    """
    known = _recipes()
    plain = name.strip().lower().replace("_", "-")
    if plain in known:
        return known[plain]
    close = get_close_matches(plain, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise OptionError(f"there is no recipe {name!r}.{hint} There are {', '.join(known)}.")
