"""Ways to go uphill: how far a step goes for a gradient. Each picture of a batch by itself; knows no network.

A `Climb` is a setting; `begin` gives the function that makes the steps of one run and remembers what it has to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Adam", "Climb", "Constant", "Progress", "Settling", "Step"]

Step = Callable[[Tensor, Tensor], Tensor]
"""Takes parameters and the gradient of the value, both (B, ...), and returns the parameters after the step."""


@dataclass(frozen=True)
class Adam:
    """Every number by about the same amount, whatever the size of its gradient.

    Args:
        rate: of a step, in units of the parameters.
        first: decay of the mean gradient.
        second: decay of the mean square.

    Source: Kingma and Ba 2014, arXiv:1412.6980, algorithm 1.
    """

    rate: float
    first: float = 0.9
    second: float = 0.999
    least: float = 1e-8

    def begin(self, parameters: Tensor, centre: Tensor) -> Step:
        """Return the function that makes the steps; `centre` does not count."""
        mean, square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        made = 0

        def step(parameters: Tensor, gradient: Tensor) -> Tensor:
            nonlocal made
            made += 1
            mean.lerp_(gradient, 1 - self.first)
            square.mul_(self.second).addcmul_(gradient, gradient, value=1 - self.second)
            deviation = square.sqrt().div_((1 - self.second**made) ** 0.5).add_(self.least)
            return parameters.addcdiv(mean, deviation, value=self.rate / (1 - self.first**made))

        return step


@dataclass(frozen=True)
class Constant:
    """As far as the gradient is long.

    Args:
        rate: that it is multiplied by.
    """

    rate: float

    def begin(self, parameters: Tensor, centre: Tensor) -> Step:
        """Return the function that makes the steps."""
        return lambda parameters, gradient: parameters + self.rate * gradient


@dataclass(frozen=True)
class Progress:
    """As far as the value would rise by a wanted amount, were the network linear.

    Args:
        gain: wanted amount, in units of the value.
        most: largest rate.

    Source: Yosinski et al. 2015's code, `gradient_optimizer.py`: min(most, gain / |g|^2).
    """

    gain: float
    most: float

    def begin(self, parameters: Tensor, centre: Tensor) -> Step:
        """Return the function that makes the steps."""

        def step(parameters: Tensor, gradient: Tensor) -> Tensor:
            square = gradient.square().flatten(1).sum(1)
            rate = (self.gain / square.clamp(min=1e-38)).clamp(max=self.most)
            return parameters + _of_each(rate, gradient) * gradient

        return step


@dataclass(frozen=True)
class Settling:
    """Along the gradient, held back by a penalty on the squared norm whose weight is found on the way.

    The weight is what it has to be for pictures to settle at a wanted norm: |g| / (2 norm). A weight as such suits
    one network and one unit; the norm it leads to can be said beforehand.

    Args:
        rate: root mean square of a step's way, in values from 0 to 1, as long as nothing holds it back.
        norm: root mean square of the offset from the mean colour at which a picture settles.

    Source: Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, equation 1 (without the weight's value).
    """

    rate: float
    norm: float

    def begin(self, parameters: Tensor, centre: Tensor) -> Step:
        """Return the function that makes the steps; offsets are taken from `centre`."""

        def step(parameters: Tensor, gradient: Tensor) -> Tensor:
            size = gradient.square().flatten(1).mean(1).sqrt()
            way = gradient / _of_each(size.clamp(min=1e-38), gradient)
            way = torch.where(_of_each(size > 0, gradient), way - (parameters - centre) / self.norm, 0)
            return parameters + self.rate * way

        return step


Climb = Adam | Constant | Progress | Settling


def _of_each(values: Tensor, like: Tensor) -> Tensor:
    """Give numbers (B,) the dimensions of (B, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))
