"""Every optimiser of the lecture by its name there: torch's class, its settings, its paper. Knows no network.

One vocabulary for all of them: `rate`, `momentum` (of the running mean of gradients), `decay` (of the running mean of
their squares), `least` (what keeps a division from being one by zero), `initial`, `weight_decay`. A setting that an
optimiser does not have is refused, never ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.learn.descent.muon import Muon

__all__ = ["MEANINGS", "OPTIMIZERS", "Rule", "rule"]

MEANINGS: Final[Mapping[str, str]] = {
    "rate": "how far a step goes (learning rate)",
    "momentum": "share of the running mean of gradients that is kept at each step, from 0 up to 1",
    "decay": "share of the running mean of squared gradients that is kept at each step, from 0 up to 1",
    "least": "added to the divisor, so that a gradient of nothing does not divide by zero",
    "initial": "what the sum of squared gradients starts from",
    "weight_decay": "share of each weight that is taken from it at each step, before the rate",
}
"""What each setting means; `Rule.words` says it where an optimiser means it otherwise."""

_FUSED: Final = {
    "cpu": (torch.optim.SGD, torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW),
    "cuda": (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW),
}
"""What torch does in one kernel for all weights, by the kind of device."""


@dataclass(frozen=True)
class Rule:
    """One way to turn gradients into steps.

    Attributes:
        name: as the lecture calls it.
        kind: torch's class.
        defaults: its settings in our words, with their values.
        places: where torch keeps each of them: a keyword, or a keyword and an index.
        fixed: what makes it this optimiser and no other.
        summary: what it does, in a sentence.
        source: the paper.
        words: what a setting means here, where `MEANINGS` does not say it.
    """

    name: str
    kind: type[torch.optim.Optimizer]
    defaults: Mapping[str, float]
    places: Mapping[str, tuple[str, int | None]]
    fixed: Mapping[str, Any]
    summary: str
    source: str
    words: Mapping[str, str]

    def meaning(self, setting: str) -> str:
        """Say what one of its settings means."""
        return self.words.get(setting, MEANINGS[setting])

    def settings(self, **given: float | None) -> dict[str, float]:
        """Return all its settings: what is given, and its own value for the rest (None).

        Raises:
            OptionError: a setting that it does not have, or a value that it cannot have.
        """
        for setting, value in given.items():
            if value is None:
                continue
            if setting not in self.defaults:
                others = [one.name for one in OPTIMIZERS.values() if setting in one.defaults]
                raise OptionError(
                    f"{self.name} has no {setting}; it has {', '.join(self.defaults)}. "
                    + (f"{setting} is a setting of {', '.join(others)}." if others else "")
                )
            _check(self.name, setting, value)
        return {
            setting: float(own if (value := given.get(setting)) is None else value)
            for setting, own in self.defaults.items()
        }

    def rate(self, wanted: float | str) -> float:
        """Return a rate that was given as a number, or its own where a word stands for one."""
        return self.defaults["rate"] if isinstance(wanted, str) else float(wanted)

    def keywords(self, settings: Mapping[str, float]) -> dict[str, Any]:
        """Return settings as torch's class takes them."""
        keywords: dict[str, Any] = dict(self.fixed)
        pairs: dict[str, dict[int, float]] = {}
        for setting, value in settings.items():
            keyword, index = self.places[setting]
            if index is None:
                keywords[keyword] = value
            else:
                pairs.setdefault(keyword, {})[index] = value
        return {**keywords, **{keyword: (pair[0], pair[1]) for keyword, pair in pairs.items()}}

    def build(self, groups: list[dict[str, Any]], settings: Mapping[str, float]) -> torch.optim.Optimizer:
        """Make it over groups of weights (`params` and what differs from the settings, in torch's words)."""
        weights = [weight for group in groups for weight in group["params"]]
        keywords = {**self.keywords(settings), **_implementation(self.kind, weights)}
        return self.kind(groups, **keywords)


def _declare(
    name: str,
    kind: type[torch.optim.Optimizer],
    summary: str,
    source: str,
    *,
    fixed: Mapping[str, Any] | None = None,
    words: Mapping[str, str] | None = None,
    settings: Mapping[str, float],
) -> Rule:
    places: dict[str, tuple[str, int | None]] = {
        "rate": ("lr", None),
        "momentum": ("betas", 0),
        "decay": ("betas", 1),
        "least": ("eps", None),
        "initial": ("initial_accumulator_value", None),
        "weight_decay": ("weight_decay", None),
    }
    if kind in (torch.optim.SGD, torch.optim.RMSprop, Muon):
        places["momentum"] = ("momentum", None)
    if kind is torch.optim.RMSprop:
        places["decay"] = ("alpha", None)
    if kind is torch.optim.Adadelta:
        places["decay"] = ("rho", None)
    defaults = {"weight_decay": 0.0, **settings}
    defaults["weight_decay"] = defaults.pop("weight_decay")  # named last
    return Rule(name, kind, defaults, {one: places[one] for one in defaults}, fixed or {}, summary, source, words or {})


_ADAM: Final = {"rate": 0.001, "momentum": 0.9, "decay": 0.999, "least": 1e-8}
_VELOCITY: Final = {"momentum": "share of the last step that is kept in this one, from 0 up to 1"}

_RULES: Final = (
    _declare(
        "sgd",
        torch.optim.SGD,
        "Goes against the gradient of a few pictures at a time.",
        "Robbins and Monro 1951, A Stochastic Approximation Method",
        settings={"rate": 0.01},
    ),
    _declare(
        "momentum",
        torch.optim.SGD,
        "Goes on in the direction of the steps before, so that zigzags cancel and long slopes add up.",
        "Polyak 1964, Some methods of speeding up the convergence of iteration methods",
        words=_VELOCITY,
        settings={"rate": 0.01, "momentum": 0.9},
    ),
    _declare(
        "nesterov",
        torch.optim.SGD,
        "Momentum that takes the gradient where the step before is about to lead.",
        "Nesterov 1983; Sutskever et al. 2013, On the importance of initialization and momentum in deep learning",
        fixed={"nesterov": True},
        words=_VELOCITY,
        settings={"rate": 0.01, "momentum": 0.9},
    ),
    _declare(
        "adagrad",
        torch.optim.Adagrad,
        "Divides each weight's step by the size of all its gradients so far: steps only ever get shorter.",
        "Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods, JMLR 12",
        settings={"rate": 0.01, "least": 1e-10, "initial": 0.0},
    ),
    _declare(
        "adadelta",
        torch.optim.Adadelta,
        "Divides by the size of recent gradients and multiplies by the size of recent steps: needs no rate.",
        "Zeiler 2012, arXiv:1212.5701",
        words={
            "rate": "factor of the steps, which have their size already; the paper has none (1)",
            "decay": "share of the running means of squared gradients and of squared steps that is kept, up to 1",
            "least": "added to both means; the first steps are about its root long",
        },
        settings={"rate": 1.0, "decay": 0.95, "least": 1e-6},
    ),
    _declare(
        "rmsprop",
        torch.optim.RMSprop,
        "Divides each weight's step by the size of its recent gradients.",
        "Tieleman and Hinton 2012, COURSERA: Neural Networks for Machine Learning, lecture 6.5",
        words=_VELOCITY,
        settings={"rate": 0.001, "momentum": 0.0, "decay": 0.9, "least": 1e-8},
    ),
    _declare(
        "adam",
        torch.optim.Adam,
        "Running mean of gradients, divided by the size of recent ones; both corrected for their start at zero.",
        "Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1",
        settings=_ADAM,
    ),
    _declare(
        "adamax",
        torch.optim.Adamax,
        "Adam that divides by the largest of recent gradients instead of their mean size.",
        "Kingma and Ba 2015, arXiv:1412.6980, Algorithm 2",
        words={"decay": "share of the largest gradient so far that is kept at each step, from 0 up to 1"},
        settings={**_ADAM, "rate": 0.002},
    ),
    _declare(
        "nadam",
        torch.optim.NAdam,
        "Adam with Nesterov's look ahead.",
        "Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR workshop",
        settings={**_ADAM, "rate": 0.002},
    ),
    _declare(
        "amsgrad",
        torch.optim.Adam,
        "Adam that divides by the largest size so far, so that a weight's step never grows again.",
        "Reddi, Kale and Kumar 2018, arXiv:1904.09237",
        fixed={"amsgrad": True},
        settings=_ADAM,
    ),
    _declare(
        "adamw",
        torch.optim.AdamW,
        "Adam whose weight decay shrinks the weights themselves instead of adding to their gradients.",
        "Loshchilov and Hutter 2019, arXiv:1711.05101",
        words={"weight_decay": "share of each weight that is taken from it at each step, times the rate"},
        settings={**_ADAM, "weight_decay": 0.01},
    ),
    _declare(
        "muon",
        Muon,
        "Momentum whose steps of kernels go equally far in every direction; Adam for biases and normalisations.",
        "Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks",
        words=_VELOCITY,
        settings={"rate": 0.06, "momentum": 0.9},
    ),
)

OPTIMIZERS: Final[Mapping[str, Rule]] = {one.name: one for one in _RULES}
"""The lecture's optimisers in its order (row B11), and two that came after it."""


def rule(name: str) -> Rule:
    """Return an optimiser's declaration by its name.

    Raises:
        OptionError: there is none of that name; the text proposes the nearest.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    close = get_close_matches(str(name).lower(), OPTIMIZERS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise OptionError(f"no optimizer is called {name!r}.{hint} There are {', '.join(OPTIMIZERS)}.")


def _check(name: str, setting: str, value: float) -> None:
    """Refuse a value that a setting cannot have."""
    if name == "nesterov" and setting == "momentum":
        words, holds = "above 0 and below 1 (without momentum it is sgd)", 0 < value < 1
    elif setting == "rate":
        words, holds = "above 0", value > 0
    elif setting in ("momentum", "decay"):
        words, holds = "from 0 up to (not including) 1", 0 <= value < 1
    else:
        words, holds = "0 or more", value >= 0
    if not (holds and math.isfinite(value)):
        raise OptionError(f"{setting} of {name} must be {words}, got {value}.")


def _implementation(kind: type[torch.optim.Optimizer], weights: list[Tensor]) -> dict[str, bool]:
    """Choose torch's fastest way to take a step: one kernel for all weights, or one for each operation."""
    device = weights[0].device.type
    alike = all(weight.device.type == device and weight.is_floating_point() for weight in weights)
    if alike and kind in _FUSED.get(device, ()):
        return {"fused": True}
    grouped = alike and device in _FUSED and kind.__module__.startswith("torch.")
    return {"foreach": True} if grouped else {}
