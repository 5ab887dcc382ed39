"""Build modules without drawing the weights that PyTorch's layers draw by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from striate.errors import NetworkError

__all__ = ["undrawn"]

_LARGEST = 2**31  # numbers in one weight: 8 GB
# what PyTorch's layers draw with; some functions of `init` are seen as one call, others as what they do
_DRAWS: frozenset[Callable[..., Any]] = frozenset(
    {Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_}
)


class _Undrawn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWS:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        if func is torch.empty:
            shape = args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args
            if math.prod(shape) > _LARGEST:
                sizes = " x ".join(map(str, shape))
                raise NetworkError(
                    f"one layer would have {sizes} weights ({math.prod(shape) * 4 / 1e9:,.0f} GB). "
                    "Take a smaller picture or fewer units."
                )
        return func(*args, **(kwargs or {}))


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave weights as they are in memory, and PyTorch's own generator where it is.

    For weights that are drawn or loaded right afterwards: drawing twice takes seconds for a large network.

    Raises:
        NetworkError: one weight would be larger than 8 GB.
    """
    with _Undrawn():
        yield
