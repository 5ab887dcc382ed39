"""Make an optimiser of torch for a network, by the lecture's name. Takes no step and reads no picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import AddressError, NetworkError, OptionError
from striate.learn.descent.rules import MEANINGS, OPTIMIZERS, Rule, rule

__all__ = ["MEANINGS", "OPTIMIZERS", "Rule", "make_optimizer", "rate_of", "rule", "set_rate"]


def make_optimizer(
    name: str,
    module: nn.Module,
    *,
    rate: float | None = None,
    momentum: float | None = None,
    decay: float | None = None,
    least: float | None = None,
    initial: float | None = None,
    weight_decay: float | None = None,
    groups: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Make an optimiser for the weights of a network that learn (`requires_grad`); frozen ones are left out.

    Weight decay goes to kernels and matrices only: a bias or the scale of a normalisation that is pulled towards zero
    makes no smoother function. torch's fused kernels are used where the device has them, its grouped ones elsewhere.
    Each group holds `initial_lr`, the rate that `set_rate` multiplies, and `name`, what it is, in words.

    Args:
        name: one of `OPTIMIZERS`.
        module: whose weights.
        rate: learning rate, above 0; None for the optimiser's own, as for the other settings.
        momentum: see `MEANINGS`.
        decay: likewise.
        least: likewise.
        initial: likewise.
        weight_decay: likewise.
        groups: factors of the rate for parts of the network: {"layer1": 0.1, "fc": 1.0}. A key is the address of a
            module or weight; the longest that fits decides, what none fits has factor 1.

    Raises:
        OptionError: no such optimiser, a setting that it does not have, or a value out of range.
        AddressError: a key of `groups` fits no weight.
        NetworkError: there is no weight that learns.

    Source: discriminative rates: Howard and Ruder 2018, arXiv:1801.06146, section 3.2; no decay on biases and norms:
        He et al. 2019, arXiv:1812.01187, section 3.1.
    """
    chosen = rule(name)
    settings = chosen.settings(
        rate=rate, momentum=momentum, decay=decay, least=least, initial=initial, weight_decay=weight_decay
    )
    made: list[dict[str, Any]] = []
    for words, factor, decays, weights in _parted(module, groups or {}):
        own_rate = settings["rate"] * factor
        made.append(
            {
                "params": weights,
                "lr": own_rate,
                "initial_lr": own_rate,
                "weight_decay": settings["weight_decay"] if decays else 0.0,
                "name": words,
            }
        )
    if not made:
        raise NetworkError(
            "there is nothing to train: no weight of the network learns (all are frozen, or there is none). "
            "Set requires_grad of those that should."
        )
    return chosen.build(made, settings)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the rate of every group to its own (`initial_lr`) times a factor, as a schedule says."""
    for group in optimizer.param_groups:
        wanted = group["initial_lr"] * factor
        if isinstance(group["lr"], Tensor):  # a rate on the device, which a captured graph reads
            group["lr"].fill_(wanted)
        else:
            group["lr"] = wanted


def rate_of(optimizer: torch.optim.Optimizer) -> float:
    """Return the rate of the next step; of several groups the largest."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _parted(module: nn.Module, groups: Mapping[str, float]) -> list[tuple[str, float, bool, list[nn.Parameter]]]:
    """Part the weights that learn by their factor and by whether they decay: words, factor, decays, weights."""
    for key, factor in groups.items():
        if not math.isfinite(factor) or factor <= 0:
            raise OptionError(
                f"the factor of {key!r} must be above 0, got {factor}. To keep a part as it is, freeze it "
                "(requires_grad_(False)) instead."
            )
    names = [name for name, _ in module.named_parameters()]
    for key in groups:
        if not any(_fits(key, name) for name in names):
            known = dict.fromkeys(part for name in names for part in _prefixes(name))
            close = get_close_matches(key, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise AddressError(f"groups: no weight lies in {key!r}.{hint} `striate layers` lists the layers.")
    kept = _undecayed(module)
    parts: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for key in (*groups, ""):  # in the order given, the rest last; kernels before biases
        parts[key, True], parts[key, False] = [], []
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            key = max((key for key in groups if _fits(key, name)), key=len, default="")
            parts[key, name not in kept].append(weight)
    return [
        (
            f"{key or ('rest' if groups else 'all')}, {'kernels' if decays else 'biases and normalisation'}",
            float(groups.get(key, 1.0)),
            decays,
            weights,
        )
        for (key, decays), weights in parts.items()
        if weights
    ]


def _fits(key: str, name: str) -> bool:
    return key == "" or name == key or name.startswith(f"{key}.")


def _prefixes(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[: length + 1]) for length in range(len(words))]


def _undecayed(module: nn.Module) -> set[str]:
    """Name the weights without decay: biases, normalisations, vectors, and what the network itself names (timm)."""
    own = getattr(module, "no_weight_decay", None)
    kept = {str(name) for name in own()} if callable(own) else set()
    for address, part in module.named_modules():
        normalises = "Norm" in type(part).__name__ or any("Norm" in base.__name__ for base in type(part).__mro__)
        for name, weight in part.named_parameters(recurse=False):
            if normalises or name == "bias" or weight.dim() <= 1:
                kept.add(f"{address}.{name}" if address else name)
    return kept
