"""How far what a layer gives is from what it should give, and the costs of inversion and of style. Runs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.synthesis.penalties import alpha_norm, total_variation
from striate.tap import Tapped

__all__ = ["Inverting", "Styling", "gram", "relative_error"]

_ALPHA, _ALPHA_WEIGHT = 6.0, 8e-10 * 255**4  # lambda_alpha for values from 0 to 1 instead of 0 to 255
_LEAST = 1e-30  # a squared length that is taken for more than nothing


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared distance of what is found from what is wanted, as a share of the squared length wanted.

    Args:
        found: (B, ...).
        wanted: (B, ...) of the same shape, or (1, ...) for all alike.

    Returns:
        Shape (B,): |found - wanted|^2 / |wanted|^2; 0 is the same, 1 is as far as giving nothing.
    """
    length = wanted.float().square().flatten(1).sum(1).clamp(min=_LEAST)
    return (found.float() - wanted.float()).square().flatten(1).sum(1) / length


def gram(maps: Tensor) -> Tensor:
    """Return how the channels of a layer go together, wherever in the picture.

    Args:
        maps: (B, C, h, w).

    Returns:
        Shape (B, C, C): the mean over the map of the product of each two channels. (The paper's G is the sum, h w
        times that, which pictures of different sizes could not share.)

    Source: Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", equation 3.
    """
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


@dataclass(frozen=True, eq=False)
class Inverting:
    """The cost of an inversion: the layer's error, and what keeps the picture a picture.

    |Phi(x) - Phi0|^2 / |Phi0|^2 + (lambda_alpha |x|_6^6 + lambda_V V_2(x)) / (2 |x0|^2), where x is the offset from
    the mean colour and V_2 the total variation with beta = 2.

    Attributes:
        place: layer.
        wanted: (B, ...), what it gives for the pictures themselves.
        sizes: (B,), squared length of each picture, |x0|^2, as an offset from the mean colour.
        variation: lambda_V.
        centre: the mean colour, (C, 1, 1).

    Source: Mahendran and Vedaldi 2014, arXiv:1412.0035, equation 3, with the weights of their code (deep-goggle).
    """

    place: str
    wanted: Tensor
    sizes: Tensor
    variation: float
    centre: Tensor

    def __call__(self, tapped: Tapped, images: Tensor, part: slice) -> Tensor:
        """Return the cost of each picture, (b,)."""
        error = relative_error(tapped.outputs[self.place], self.wanted[part])
        if not self.variation:
            return error
        kept = _ALPHA_WEIGHT * alpha_norm(images, _ALPHA, self.centre) + self.variation * total_variation(images)
        return error + kept / (2 * self.sizes[part])


@dataclass(frozen=True, eq=False)
class Styling:
    """The cost of a picture that should show one thing in the manner of another.

    Attributes:
        content: by layer, (B, ...), what it gives for the picture that says what is shown.
        style: by layer, Gram matrices (B or 1, C, C) of the picture that says how.
        strength: what the style's mean error counts beside the content's.
        variation: weight of the total variation (beta = 2), as a share of that of the start pictures.
        variations: (B,), total variation of the pictures that say what is shown.

    Source: Gatys, Ecker and Bethge 2016, equations 1 to 7. There the errors are sums of squares over the layer's size,
        made comparable by a network rescaled to it; here each is a share of what is wanted, for any network.
    """

    content: Mapping[str, Tensor]
    style: Mapping[str, Tensor]
    strength: float
    variation: float
    variations: Tensor

    @property
    def places(self) -> list[str]:
        """The layers that have to be reached, each once."""
        return list(dict.fromkeys([*self.content, *self.style]))

    def __call__(self, tapped: Tapped, images: Tensor, part: slice) -> Tensor:
        """Return the cost of each picture, (b,)."""
        cost = self.content_error(tapped, part) + self.strength * self.style_error(tapped, part)
        if self.variation:
            cost = cost + self.variation * total_variation(images) / self.variations[part]
        return cost

    def content_error(self, tapped: Tapped, part: slice) -> Tensor:
        """Return the mean over the content's layers of their relative errors, (b,)."""
        return _mean([relative_error(tapped.outputs[place], wanted[part]) for place, wanted in self.content.items()])

    def style_error(self, tapped: Tapped, part: slice) -> Tensor:
        """Return the mean over the style's layers of their Gram matrices' relative errors, (b,)."""
        return _mean(
            [
                relative_error(gram(tapped.outputs[place].float()), wanted if len(wanted) == 1 else wanted[part])
                for place, wanted in self.style.items()
            ]
        )


def _mean(errors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(errors)).mean(0)
