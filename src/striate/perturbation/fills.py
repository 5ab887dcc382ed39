"""What a picture is replaced with where it is hidden, named by what it looks like. Runs no network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.network import Network

__all__ = ["COLOURS", "Baseline", "fill"]

Baseline = str | Tensor

COLOURS = {
    "aqua": "#00ffff",
    "blue": "#0000ff",
    "fuchsia": "#ff00ff",
    "green": "#008000",
    "lime": "#00ff00",
    "maroon": "#800000",
    "navy": "#000080",
    "olive": "#808000",
    "orange": "#ffa500",
    "purple": "#800080",
    "red": "#ff0000",
    "silver": "#c0c0c0",
    "teal": "#008080",
    "yellow": "#ffff00",
}
"""The basic colours of CSS 2.1, but for black, white and grey, which any number of channels can show."""

_BLANKS = ("black", "white", "grey", "gray", "mean")
_BLUR = 20  # the standard deviation of the blur is the picture's short side over this: 11 pixels of 224


def fill(
    network: Network, images: Tensor, baseline: Baseline, seed: int = 0, *, labels: Tensor | None = None
) -> Tensor:
    """Return for each picture what shows where it is hidden.

    Args:
        network: whose specification says what black is.
        images: (N, C, H, W), normalised.
        baseline: black, white, grey (0.5 everywhere), mean (the specification's mean colour), blur (the picture,
            out of focus), noise (each value uniform between black and white, the same for every picture), average
            (each superpixel in its own mean colour), a colour ("#rrggbb" or one of `COLOURS`); or a tensor of
            normalised values that fits the pictures: a number, (C,), (C, H, W) or (N, C, H, W).
        seed: of the noise.
        labels: (N, H, W), int64: the superpixels, for average.

    Returns:
        Shape (N, C, H, W), normalised, on the device and in the number type of `images`.

    Raises:
        OptionError: no such baseline, or one that does not fit these pictures.
    """
    if isinstance(baseline, Tensor):
        return _given(images, baseline)
    if baseline in _BLANKS:
        return network.spec.baseline(baseline, images).expand_as(images)
    if baseline == "blur":
        return _as_seen(network, images, _blurred)
    if baseline == "noise":
        generator = torch.Generator().manual_seed(seed)
        levels = torch.rand(images.shape[1:], generator=generator, device="cpu").to(images)
        return network.spec.normalise(levels).expand_as(images)
    if baseline == "average":
        if labels is None:
            raise OptionError("the baseline 'average' is the mean colour of each superpixel, and there are none here.")
        return _as_seen(network, images, lambda seen: _averaged(seen, labels))
    if not isinstance(baseline, str):
        raise OptionError(f"a baseline is a name or a tensor, got {baseline!r}. Write torch.tensor({baseline!r}).")
    return _coloured(network, images, baseline).expand_as(images)


def _given(images: Tensor, values: Tensor) -> Tensor:
    values = values.detach().to(images)
    if not values.isfinite().all():
        raise OptionError("there are NaN or infinite values in the baseline.")
    shaped = values.view(-1, 1, 1) if values.dim() == 1 else values
    try:
        return shaped.expand_as(images)
    except RuntimeError:
        found, wanted = (" x ".join(map(str, tensor.shape)) for tensor in (values, images))
        raise OptionError(
            f"a baseline of {found} does not fit pictures of {wanted}. "
            f"Give one number, one for each of the {images.shape[1]} channels, or a picture of that size."
        ) from None


def _as_seen(network: Network, images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Mix neighbouring pixels as they are seen: standardised at each pixel, each has a scale of its own."""
    if network.spec.pixelwise is None:
        return change(images)
    return network.spec.normalise(change(network.spec.denormalise(images)))


def _blurred(images: Tensor) -> Tensor:
    """Blur by a Gaussian, whose weights at the edges are those of the pixels that there are."""
    height, width = images.shape[2:]
    deviation = min(height, width) / _BLUR
    down, across = (_gaussian(length, deviation).to(images) for length in (height, width))
    return down @ images @ across.T


def _gaussian(length: int, deviation: float) -> Tensor:
    """Return the matrix (length, length) that blurs an axis; every row sums to 1."""
    places = torch.arange(length, dtype=torch.float64)
    weights = torch.exp(-(((places[:, None] - places) / max(deviation, 1e-6)) ** 2) / 2)
    return weights / weights.sum(1, keepdim=True)


def _averaged(images: Tensor, labels: Tensor) -> Tensor:
    """Give every pixel the mean of its superpixel, picture by picture."""
    filled = torch.empty_like(images)
    # in double precision, which not every device has
    for index, (image, parts) in enumerate(zip(images.cpu().double(), labels.cpu(), strict=True)):
        flat = parts.flatten()
        sizes = torch.bincount(flat)
        sums = image.new_zeros(len(image), len(sizes)).index_add_(1, flat, image.flatten(1))  # (C, S)
        filled[index] = (sums / sizes)[:, flat].view_as(image)
    return filled


def _coloured(network: Network, images: Tensor, name: str) -> Tensor:
    """Return the one colour that a name or six hexadecimal digits stand for, at every pixel: (1, C, H, W)."""
    digits = COLOURS.get(name.lower(), name).removeprefix("#")
    try:
        levels = torch.tensor(list(bytes.fromhex(digits))) / 255
    except ValueError:
        levels = torch.empty(0)
    if len(levels) != 3 or (name.lower() not in COLOURS and not name.startswith("#")):
        raise OptionError(
            f"no baseline {name!r}; there are black, white, grey, mean, blur, noise, average (of superpixels), "
            f"a colour (#rrggbb, {', '.join(COLOURS)}), or a tensor."
        )
    if images.shape[1] != 3:
        raise OptionError(
            f"the colour {name!r} for a network that takes {images.shape[1]} channels, not red, green and blue. "
            "Use black, white, grey, or a tensor of values."
        )
    return network.spec.normalise(levels.to(images).view(1, 3, 1, 1).expand(1, 3, *images.shape[2:]))
