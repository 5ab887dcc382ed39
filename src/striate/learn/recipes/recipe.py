"""What a recipe is: a network and the settings to train it with, under one name. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from striate.learn.descent.optimizers import rule
from striate.learn.judging.views import Views
from striate.learn.settings import Settings

__all__ = ["OF_OPTIMIZER", "Recipe"]

OF_OPTIMIZER: Final = ("rate", "momentum", "weight_decay", "optimizer_options")
"""Settings whose values mean something for one optimiser only."""


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

    def changed(self, *, net: str | None = None, **fields: Any) -> Recipe:
        """Return the recipe with some of its settings changed.

        Another optimiser comes with its own rate, momentum and so on, unless those are given too: the recipe's belong
        to the recipe's optimiser. Likewise what does not learn belongs to the recipe's network.

        Args:
            net: another network.
            fields: settings by name.

        Raises:
            TypeError: there is no such setting.
            OptionError: a value makes no sense.
        """
        left = {name: getattr(Settings(), name) for name in self._left(net, fields)}
        return replace(self, net=net or self.net, settings=replace(self.settings, **left, **fields))

    def given_up(self, *, net: str | None = None, **fields: Any) -> list[str]:
        """Say in sentences which of its settings such changes leave behind.

        Args:
            net: as for `changed`; likewise the rest.
        """
        said: list[str] = []
        left = self._left(net, fields)
        if bound := [name for name in left if name in OF_OPTIMIZER]:
            mine, new = self.settings, self.changed(net=net, **fields).settings
            own = rule(new.optimizer).settings(
                rate=new.rate, momentum=new.momentum, weight_decay=new.weight_decay, **new.optimizer_options
            )
            theirs = ", ".join(f"{name} {own[name]:g}" for name in bound if name in own)
            said.append(
                f"{', '.join(f'{name} {getattr(mine, name)}' for name in bound)} of the recipe "
                f"{'is' if len(bound) == 1 else 'are'} for {mine.optimizer}; for {new.optimizer} its usual "
                f"{'one is' if len(bound) == 1 else 'ones are'} taken{f' ({theirs})' * bool(theirs)}."
            )
        if "frozen" in left:
            said.append(
                f"{', '.join(self.settings.frozen)}, which the recipe keeps as it is, is a weight of {self.net}, not "
                f"of {net}: all of {net} learns."
            )
        return said

    def _left(self, net: str | None, fields: Mapping[str, Any]) -> list[str]:
        """Return the settings that go back to their defaults."""
        plain, chosen = Settings(), fields.get("optimizer", self.settings.optimizer)
        names: tuple[str, ...] = () if rule(chosen) is rule(self.settings.optimizer) else OF_OPTIMIZER
        names += () if net in (None, self.net) else ("frozen",)
        return [one for one in names if one not in fields and getattr(self.settings, one) != getattr(plain, one)]
