"""What is done to a picture after each step: shrink it, blur it, wipe out what does little. Knows no network.

Pictures are offsets from the mean colour here: 0 is nothing, which is what a pixel is set to that is wiped out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Projection", "blur", "clip_small_contribution", "clip_small_norm", "decay"]

_WIDTH = 4.0  # standard deviations at which the bell is cut off


@dataclass(frozen=True)
class Projection:
    """What is done after each step, in the paper's order: decay, blur, small norms, small contributions.

    Args:
        decay: share of every value that is taken away, from 0 to below 1 (theta_decay).
        blur: standard deviation of the bell in pixels, 0 for none (theta_b_width). Below 0.3 it hardly blurs.
        blur_every: steps from one blur to the next; the first step blurs (theta_b_every).
        small_norm: percentage of the pixels that are set to 0: those with the smallest values (theta_n_pct).
        small_contribution: percentage of the pixels that are set to 0: those that the score depends on least
            (theta_c_pct).

    Raises:
        OptionError: a value makes no sense; the text says which.

    Source: Yosinski et al. 2015, arXiv:1506.06579, section 3 and table 1.
    """

    decay: float = 0.0
    blur: float = 0.0
    blur_every: int = 1
    small_norm: float = 0.0
    small_contribution: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise OptionError(f"decay must lie in [0, 1), got {self.decay}.")
        if not self.blur >= 0 or self.blur_every < 1:
            raise OptionError(f"blur is 0 or more pixels, every 1 or more steps, got {self.blur}, {self.blur_every}.")
        for name, percent in (("small_norm", self.small_norm), ("small_contribution", self.small_contribution)):
            if not 0 <= percent < 100:
                raise OptionError(f"{name} is a percentage in [0, 100), got {percent}.")

    def apply(self, images: Tensor, gradient: Tensor, step: int) -> Tensor:
        """Return the pictures after what is done at one step.

        Args:
            images: (B, C, H, W), offsets from the mean colour, already moved by this step.
            gradient: of the score, shaped like `images`, as it was before the move.
            step: from 0.
        """
        if self.decay:
            images = decay(images, self.decay)
        if self.blur and step % self.blur_every == 0:
            images = blur(images, self.blur)
        if self.small_norm:
            images = clip_small_norm(images, self.small_norm)
        if self.small_contribution:
            images = clip_small_contribution(images, gradient, self.small_contribution)
        return images


def decay(images: Tensor, share: float) -> Tensor:
    """Take a share of every value away: the step of a squared-norm penalty."""
    return images * (1 - share)


def blur(images: Tensor, width: float) -> Tensor:
    """Blur each channel of each picture by a bell, which is reflected at the edges.

    Args:
        images: (B, C, H, W).
        width: standard deviation in pixels; 0 returns the pictures themselves. The bell is cut off at 4 of them.
    """
    if width == 0:
        return images
    down, across = (_bell(length, width).to(images) for length in images.shape[2:])
    return down @ images @ across.T


def clip_small_norm(images: Tensor, percent: float) -> Tensor:
    """Set the pixels of each picture to 0 whose length over the channels is below a percentile of that picture's.

    Args:
        images: (B, C, H, W).
        percent: from 0 to 100.
    """
    return images * _at_least(images.norm(dim=1, keepdim=True), percent)


def clip_small_contribution(images: Tensor, gradient: Tensor, percent: float) -> Tensor:
    """Set the pixels of each picture to 0 that the score would miss least, to first order.

    Args:
        images: (B, C, H, W); without a pixel the score changes by about sum over channels of gradient * -x.
        gradient: of the score, shaped like `images`.
        percent: of the pixels by the size of that change, from 0 to 100.
    """
    return images * _at_least((gradient * images).sum(1, keepdim=True).abs(), percent)


def _at_least(values: Tensor, percent: float) -> Tensor:
    """Return 1 where a value (B, 1, H, W) reaches the percentile of its picture, else 0."""
    flat = values.flatten(1)
    # a percentile lies between two neighbours in size: the larger is the smallest value that reaches it
    place = ceil(percent / 100 * (flat.shape[1] - 1))
    threshold = flat.kthvalue(place + 1, dim=1).values
    return (values >= threshold.view(-1, 1, 1, 1)).to(values.dtype)


def _bell(length: int, width: float) -> Tensor:
    """Return the blur along one axis as a matrix (length, length), float64; faster than a convolution of so few taps.

    Beyond its edges the picture goes on as its mirror image: d c b a | a b c d | d c b a.
    """
    reach = int(_WIDTH * width + 0.5)
    steps = torch.arange(-reach, reach + 1)
    bell = torch.exp(-0.5 * (steps.double() / width) ** 2)
    places = (torch.arange(length)[:, None] + steps) % (2 * length)
    places = torch.minimum(places, 2 * length - 1 - places)  # (length, taps)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, places, (bell / bell.sum()).expand(length, -1))
