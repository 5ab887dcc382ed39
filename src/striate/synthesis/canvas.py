"""What is moved to make a picture: its pixels, or its spectrum in colours that photographs do not correlate.

A canvas turns parameters into pictures with values from 0 to 1, and pictures into parameters. Which it is decides
what is near to what: a step of the same length in the spectrum changes all scales alike, in pixels the finest most.

Source: Olah, Mordvintsev and Schubert 2017, "Feature Visualization", "Preconditioning and Parameterization"; lucid,
    `param/spatial.py` and `param/color.py` (constants).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["COLOURS", "Canvas", "Fourier", "Pixels"]

# Square root of the colours' covariance over ImageNet, rows red, green, blue; divided by its longest column's length.
_SQUARE_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_QUARTER = 4.0  # lucid: "a magic constant" that spectra are divided by
_NEAREST = 1 / 512  # to 0 and 1 that a picture may come which is to be drawn by a sigmoid


def _colours() -> Tensor:
    root = torch.tensor(_SQUARE_ROOT, dtype=torch.float64)
    scaled: Tensor = root / root.norm(dim=0).max()
    return scaled.float()


COLOURS = _colours()
"""Turns three uncorrelated numbers into red, green and blue before the sigmoid: rgb = COLOURS @ numbers."""


class Canvas(Protocol):
    """What turns parameters into pictures and back."""

    def noise(self, generators: Sequence[torch.Generator], deviation: float, centre: Tensor) -> Tensor:
        """Draw parameters of noise, one generator for each picture."""
        ...

    def of(self, images: Tensor) -> Tensor:
        """Return the parameters of pictures (B, C, H, W)."""
        ...

    def render(self, parameters: Tensor) -> Tensor:
        """Return the pictures of parameters, (B, C, H, W), values from 0 to 1."""
        ...

    def inside(self, parameters: Tensor) -> Tensor:
        """Return the nearest parameters whose picture lies from 0 to 1."""
        ...


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, cut off at 0 and 1.

    Args:
        channels: of the pictures.
        height: in pixels.
        width: in pixels.
    """

    channels: int
    height: int
    width: int

    def noise(self, generators: Sequence[torch.Generator], deviation: float, centre: Tensor) -> Tensor:
        """Draw normal noise around a colour.

        Args:
            generators: one for each picture, on the CPU.
            deviation: standard deviation on the scale from 0 to 1.
            centre: level of each channel, (C, 1, 1).

        Returns:
            Shape (B, C, H, W), values from 0 to 1.
        """
        shape = (self.channels, self.height, self.width)
        drawn = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        return self.inside(drawn.to(centre.device) * deviation + centre)

    def of(self, images: Tensor) -> Tensor:
        """Return the pictures, cut off at 0 and 1."""
        return self.inside(images)

    def render(self, parameters: Tensor) -> Tensor:
        """Return the parameters: they are the pictures."""
        return parameters

    def inside(self, parameters: Tensor) -> Tensor:
        """Cut off at 0 and 1."""
        return parameters.clamp(0, 1)


@dataclass(frozen=True)
class Fourier:
    """The spectrum of a picture, its colours uncorrelated where there are three, through a sigmoid.

    Frequencies are divided by their height, as their strength in photographs is: without that, a step would change
    the finest detail most, which networks answer to and eyes do not.

    Args:
        channels: of the pictures.
        height: in pixels.
        width: in pixels.
        decay: power of the frequency that strengths are divided by.
    """

    channels: int
    height: int
    width: int
    decay: float = 1.0

    def noise(self, generators: Sequence[torch.Generator], deviation: float, centre: Tensor) -> Tensor:
        """Draw normal coefficients: a picture all but grey, with the spectrum of photographs.

        Args:
            generators: one for each picture, on the CPU.
            deviation: standard deviation of each coefficient, 0.01 in lucid.
            centre: only its device counts; the sigmoid's middle is grey.

        Returns:
            Shape (B, C, H, W // 2 + 1, 2).
        """
        shape = (self.channels, self.height, self.width // 2 + 1, 2)
        drawn = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        return (drawn * deviation).to(centre.device)

    def of(self, images: Tensor) -> Tensor:
        """Return the spectrum of pictures; black and white are moved a 512th inwards, where the sigmoid has a slope."""
        values = torch.logit(images.float().clamp(_NEAREST, 1 - _NEAREST))
        if self.channels == 3:
            values = torch.einsum("dc,bchw->bdhw", torch.linalg.inv(COLOURS).to(values.device), values)
        spectrum = torch.fft.rfft2(values * _QUARTER) / self._scale(values.device)
        return torch.view_as_real(spectrum).contiguous()

    def render(self, parameters: Tensor) -> Tensor:
        """Return the pictures of spectra (B, C, H, W // 2 + 1, 2), channels last where there are three."""
        spectrum = torch.view_as_complex(parameters) * self._scale(parameters.device)
        values = torch.fft.irfft2(spectrum, s=(self.height, self.width)) / _QUARTER
        if self.channels == 3:
            mixed = values.permute(0, 2, 3, 1) @ COLOURS.to(values.device).T  # (B, H, W, 3)
            values = mixed.permute(0, 3, 1, 2)
        return torch.sigmoid(values)

    def inside(self, parameters: Tensor) -> Tensor:
        """Return the spectra as they are: the sigmoid keeps the picture from 0 to 1."""
        return parameters

    def _scale(self, device: torch.device) -> Tensor:
        """Return what each frequency is multiplied by, (H, W // 2 + 1)."""
        down = torch.fft.fftfreq(self.height, device=device)[:, None]
        across = torch.fft.rfftfreq(self.width, device=device)[None]
        frequency = (down**2 + across**2).sqrt().clamp(min=1 / max(self.height, self.width))
        scale: Tensor = (self.height * self.width) ** 0.5 / frequency**self.decay
        return scale
