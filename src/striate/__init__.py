"""Look inside a convolutional network: what it sees, and why it decided as it did.

    import striate

    network = striate.load("efficientnet_lite0")
    images = network.read(["cat.jpg"])
    striate.lenses.saliency(network, images).save("cat.png")

Importing this imports no torch: each name is fetched when it is first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from striate.errors import StriateError

if TYPE_CHECKING:
    from striate import atlas, costs, kernels, learn, lenses, nets, sizes, synthesis, trust
    from striate.memory import keep_memory
    from striate.network import Network
    from striate.remaking import again
    from striate.sources import load
    from striate.spec import InputSpec

__all__ = [
    "InputSpec",
    "Network",
    "StriateError",
    "__version__",
    "again",
    "atlas",
    "costs",
    "keep_memory",
    "kernels",
    "learn",
    "lenses",
    "load",
    "nets",
    "sizes",
    "synthesis",
    "trust",
]

__version__ = "0.1.0"

_ROOMS = ("atlas", "costs", "kernels", "learn", "lenses", "nets", "sizes", "synthesis", "trust")
_PLACES = {
    "InputSpec": "striate.spec",
    "Network": "striate.network",
    "again": "striate.remaking",
    "keep_memory": "striate.memory",
    "load": "striate.sources",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"striate.{name}")
    if name in _PLACES:
        value = getattr(importlib.import_module(_PLACES[name]), name)
        globals()[name] = value  # the next use finds it without coming here
        return value
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
