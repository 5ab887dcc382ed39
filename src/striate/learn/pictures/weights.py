"""Loss weights for classes of unequal size. Pure arithmetic: reads no disk, touches no model."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import DataError, OptionError

__all__ = ["KINDS", "class_weights"]

KINDS = ("effective", "balanced")
"""How classes may be weighed: by the effective number of their pictures, or by plain inverse frequency."""


def class_weights(counts: Tensor, *, kind: str = "effective", beta: float = 0.999) -> Tensor:
    """Weigh each class by the inverse of its number of pictures, or of what that number is worth.

    Pictures of one class overlap, so the thousandth teaches less than the first: by "effective" n pictures are worth
    (1 - beta**n) / (1 - beta) distinct ones. `beta=0` treats all classes alike; `beta -> 1` tends to plain inverse
    frequency, which is "balanced": every class then weighs as much as every other, however few its pictures are.

    Args:
        counts: pictures of each class, shape (K,), any integer dtype, each >= 1.
        kind: "effective" or "balanced".
        beta: overlap between pictures, unitless, in [0, 1); for "effective" only.

    Returns:
        Weights, shape (K,), float32, mean 1, on the device of `counts`. The mean of 1 keeps the scale of the loss,
        so a learning rate found without weights still holds.

    Raises:
        DataError: a class has no pictures.
        OptionError: no such kind, or `beta` lies outside [0, 1).

    Source: Cui et al. 2019, arXiv:1901.05555, Proposition 1.
    """
    if kind not in KINDS:
        raise OptionError(f"no class weights {kind!r}; there are {' and '.join(KINDS)}.")
    if not 0 <= beta < 1:
        raise OptionError(f"beta must lie in [0, 1), got {beta}.")
    if empty := (counts < 1).nonzero().flatten().tolist():
        raise DataError(
            f"{len(empty)} of {counts.numel()} classes have no pictures (indices {empty[:5]}): "
            "a weight for them would be infinite. Drop those classes, or put pictures into their folders."
        )
    if kind == "balanced":
        weights = 1 / counts.double()
    else:
        log_beta = torch.tensor(beta, dtype=torch.float64, device=counts.device).log()
        effective = -torch.expm1(counts.double() * log_beta)  # 1 - beta**n; expm1 keeps digits as beta -> 1
        weights = 1 / effective  # the constant (1 - beta) cancels below
    return (weights / weights.mean()).float()
