"""In which number type scores are worked out. A choice of the user, declared in the result."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from striate.network import Network

__all__ = ["Precision", "arithmetic", "tolerance"]

Precision = Literal["float32", "bfloat16"]


def arithmetic(image: Tensor, precision: Precision) -> AbstractContextManager[None]:
    """Return a context in which convolutions and matrix products are done in that type.

    Args:
        image: on the device that it is for.
        precision: float32 leaves everything as it is; bfloat16 keeps about three digits.
    """
    return torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def tolerance(network: Network, precision: Precision) -> float:
    """Return how far two ways to a score may be apart by rounding alone, relative to the largest score.

    Args:
        network: whose weights may be of 16 bits themselves.
        precision: of the arithmetic.
    """
    fine = precision == "float32" and network.dtype in (torch.float32, torch.float64)
    return 1e-4 if fine else 3e-2
