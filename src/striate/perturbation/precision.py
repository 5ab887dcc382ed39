"""In which number type scores are worked out. A choice of the user, declared in the result."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Precision", "arithmetic"]

Precision = Literal["float32", "bfloat16"]


def arithmetic(image: Tensor, precision: Precision) -> AbstractContextManager[None]:
    """Return a context in which convolutions and matrix products are done in that type.

    Args:
        image: on the device that it is for.
        precision: float32 leaves everything as it is; bfloat16 keeps about three digits.
    """
    return torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bfloat16")
