"""What a recipe is: a network and the settings to train it with, under one name. Data only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from striate.learn.judging.views import Views
from striate.learn.settings import Settings

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained, known to reach a mark.

    Attributes:
        name: such as "fast-cifar".
        summary: what it is for and what it reaches, in a sentence.
        net: source of the untrained network, as `striate.learn.start` takes it.
        settings: how it is trained; each can be overridden.
        mark: accuracy on the test pictures that it is held to, in percent, mean of three seeds.
        views: in which the test pictures are seen then, as `striate.learn.evaluate` takes them.
    """

    name: str
    summary: str
    net: str
    settings: Settings
    mark: float
    views: Views = "one"

    def changed(self, **fields: Any) -> Recipe:
        """Return the recipe with some of its settings changed.

        Raises:
            TypeError: there is no such setting.
            OptionError: a value makes no sense.
        """
        return replace(self, settings=replace(self.settings, **fields))
