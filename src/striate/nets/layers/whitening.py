"""A first layer whose filters are not learned: small patterns of light and colour, each made about equally strong.

Neighbouring pixels of a picture are nearly alike, and so are its channels: nearly all that varies in a small window is
how light it is as a whole. A network has to unlearn that first. The cosine transform of the window takes it apart into
patterns that vary independently of each other (how light, which edge, which colour), and dividing each by how strong it
usually is in pictures leaves answers of about the same size. What a principal component analysis of the windows
("whitening") finds in pictures is close to this, and this needs no data.

Source: Ahmed, Natarajan and Rao 1974, "Discrete cosine transform" (nearly the principal components of pictures);
whitening as a fixed first layer with both signs of each filter: Page 2018, "How to train your ResNet", and Jordan 2024,
arXiv:2404.00498, section 3.2. How strong the patterns are was measured here on the training pictures of CIFAR-10.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from striate.nets.layers._settings import count

__all__ = ["WhiteningConv2d"]

_EDGES = (1.0, 0.18, 0.18, 0.075)
"""How strong flat windows, edges across, edges down and chequers are beside each other."""
_COLOURS = (1.0, 0.29, 0.14)
"""How strong light, the first contrast of channels (red against blue) and further ones are beside each other."""
_LIGHT = 0.92
"""How strong flat light is, of what it would be if all pixels of a window were alike."""
_LEAST = 0.022
"""Standard deviation that is added, so that what is hardly there at all is not amplified without end."""


class WhiteningConv2d(nn.Conv2d):
    """Windows of 2 x 2 taken apart into light, edges and colours, each as strong as the other.

    There are 4C patterns, and each is there twice, with both signs: a rectifier after it loses nothing. Pictures should
    be standardised (mean 0 and standard deviation 1 in each channel). The filters are what they are whatever rule draws
    the other weights; freeze ``weight`` to keep them.

    Shape:
        input (N, C, H, W); output (N, 8C, H - 1, W - 1).

    Args:
        channels: C.
        bias: a number for each output channel, zero at first, to be learned.

    Raises:
        OptionError: fewer than one channel.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        channels = count("channels", channels)
        super().__init__(channels, 8 * channels, 2, bias=bias)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the filters, and the bias to zero."""
        self.weight.copy_(_filters(self.in_channels))
        if self.bias is not None:
            self.bias.zero_()


def _filters(channels: int) -> Tensor:
    """Return the filters (8C, C, 2, 2): all patterns, then all of them with the opposite sign."""
    colours, lines = _cosines(channels), _cosines(2)
    patterns = torch.einsum("kc,yi,xj->kyxcij", colours, lines, lines)
    strength = torch.tensor(
        [[edge * _COLOURS[min(colour, len(_COLOURS) - 1)] for edge in _EDGES] for colour in range(channels)]
    ).view(channels, 2, 2, 1, 1, 1)
    strength = strength * _LIGHT * math.sqrt(4 * channels)
    found = (patterns / (strength**2 + _LEAST**2).sqrt()).reshape(4 * channels, channels, 2, 2)
    return torch.cat([found, -found])


def _cosines(length: int) -> Tensor:
    """Return the orthonormal cosine transform (length, length): row k is the k-th wave."""
    place = torch.arange(length)
    waves = torch.cos(math.pi / length * torch.outer(place.float(), place + 0.5))
    found: Tensor = waves / waves.norm(dim=1, keepdim=True)
    return found
