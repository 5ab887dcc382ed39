"""Classifiers on features: modules from (N, D) to logits (N, K), found in this folder. Trains none of them.

A file a head, with a class called `HEAD`: it is made blank from plain numbers (`plain`), and filled by a state dict, so
that a saved one holds data only. `striate.learn.transferring.heads` fits them; what stands before them is
`striate.nets.joined`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor

from striate.errors import NetworkError
from striate.nets.blank import undrawn
from striate.nets.heads._head import Head

__all__ = ["Head", "blank", "filled", "kinds"]


@cache
def kinds() -> dict[str, type[Head]]:
    """Return all kinds of heads by name."""
    found: dict[str, type[Head]] = {}
    for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name):
        if not entry.name.startswith("_"):
            one: type[Head] = importlib.import_module(f"{__name__}.{entry.name}").HEAD
            assert one.kind not in found, f"two heads are called {one.kind}"
            found[one.kind] = one
    return found


def blank(plain: Mapping[str, Any]) -> Head:
    """Make a head whose numbers are whatever was in memory, to be loaded.

    Args:
        plain: what `Head.plain` gave: "kind" and whole numbers.

    Raises:
        NetworkError: no such kind, or numbers that it is not made of; the text says which.
    """
    sizes = dict(plain)
    kind = sizes.pop("kind", None)
    if kind not in kinds():
        raise NetworkError(f"there is no head {kind!r}; there are {', '.join(kinds())}.")
    made = kinds()[kind]
    wrong = [
        f"{name}={value!r}"
        for name, value in sizes.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]
    if set(sizes) != set(made.sizes) or wrong:
        raise NetworkError(
            f"a {kind} head is made of {', '.join(made.sizes)}, whole numbers of at least 1; got "
            f"{', '.join(wrong or map(str, sizes)) or 'nothing'}."
        )
    with undrawn():
        return made(**sizes)


def filled(kind: str, state: Mapping[str, Tensor], **sizes: int) -> Head:
    """Make a head and put numbers into it.

    Args:
        kind: of head.
        state: all of its parameters and buffers, by name.
        sizes: what it is made of.

    Raises:
        NetworkError: no such kind, or wrong sizes.
    """
    head = blank({"kind": kind, **sizes})
    head.load_state_dict(dict(state))
    return head.eval().requires_grad_(False)
