"""Move, turn, scale and cut pictures a little, each in its own way, differentiably. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Between", "Border", "Warp"]

Border = Literal["reflection", "edge"] | float

_DRAWS = 8  # numbers for each picture, whatever is switched on: an option changed leaves the other draws as they were


@dataclass(frozen=True)
class Between:
    """All values from `low` to `high`, every one as likely.

    Args:
        low: smallest value.
        high: largest value, at least `low`.
        geometric: evenly spread as a factor (a half is as likely as a double), not as a difference.

    Raises:
        OptionError: `high` is below `low`, or a factor is not above 0.
    """

    low: float
    high: float
    geometric: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise OptionError(f"a range must rise, got {self.low} to {self.high}.")
        if self.geometric and self.low <= 0:
            raise OptionError(f"a geometric range must lie above 0, got {self.low} to {self.high}.")


@dataclass(frozen=True)
class Warp:
    """What is done to each picture before the network sees it: one affine map, one bilinear sampling.

    The middle of the picture stays where it is under turning, scaling, shear and flip. All of them come to one
    matrix for each picture, so that a picture is sampled once however much is asked for.

    Args:
        jitter: the picture moves by a whole number of pixels from -jitter to jitter, down and across.
        scales: factors by which the picture grows: one of these values, or `Between` two. Below 1 more than the
            picture is seen.
        angles: degrees by which it is turned, anticlockwise: one of these values, or `Between` two.
        shear: degrees by which columns lean, from -shear to shear.
        flip: probability that left and right are exchanged.
        crop: height and width in pixels of the part that is seen, at a random place inside the picture (around its
            middle where the picture is smaller); all of it unless given.
        pad: pixels that are seen beyond each edge of the picture; not together with `crop`.
        border: what is seen outside the picture: "reflection" (of the picture at its edge), "edge" (the last pixel,
            on and on), or a level such as 0.5 for grey.

    Raises:
        OptionError: a value makes no sense; the text says which.

    Source: Mordvintsev et al. 2015 (jitter); Olah, Mordvintsev and Schubert 2017, "Feature Visualization",
        "Transformation Robustness".
    """

    jitter: int = 0
    scales: tuple[float, ...] | Between = (1.0,)
    angles: tuple[float, ...] | Between = (0.0,)
    shear: float = 0.0
    flip: float = 0.0
    crop: tuple[int, int] | None = None
    pad: int = 0
    border: Border = "reflection"

    def __post_init__(self) -> None:
        if self.jitter < 0 or self.pad < 0:
            raise OptionError(f"jitter and pad are pixels, 0 or more, got {self.jitter} and {self.pad}.")
        for name, values in (("scales", self.scales), ("angles", self.angles)):
            given = (values.low, values.high) if isinstance(values, Between) else values
            if not given or not all(math.isfinite(value) for value in given):
                raise OptionError(f"{name} needs at least one value, all finite, got {given}.")
            if name == "scales" and min(given) <= 0:
                raise OptionError(f"scales must lie above 0, got {min(given)}.")
        if not 0 <= self.shear < 90:
            raise OptionError(f"shear is 0 or more degrees, below 90, got {self.shear}.")
        if not 0 <= self.flip <= 1:
            raise OptionError(f"flip is a probability, got {self.flip}.")
        if self.crop is not None and (self.pad or min(self.crop) < 1):
            raise OptionError(f"crop {self.crop} with pad {self.pad}: at least 1 x 1 pixel, and not both.")
        if isinstance(self.border, str) and self.border not in ("reflection", "edge"):
            raise OptionError(f"no border {self.border!r}; there are reflection, edge and a level such as 0.5.")

    @property
    def nothing(self) -> bool:
        """Whether it leaves every picture as it is."""
        still = not (self.jitter or self.shear or self.flip or self.pad or self.crop is not None)
        return still and _only(self.scales, 1.0) and _only(self.angles, 0.0)

    def view(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width, in pixels of the picture, of what is seen of it."""
        return self.crop if self.crop is not None else (height + 2 * self.pad, width + 2 * self.pad)

    def draw(
        self, count: int, height: int, width: int, generator: torch.Generator | Sequence[torch.Generator]
    ) -> Tensor:
        """Draw a map for each picture.

        Args:
            count: pictures, B.
            height: of the pictures, in pixels.
            width: likewise.
            generator: of the random numbers, on the CPU: one for all, or one for each picture. With one for each
                a picture is drawn the same map alone and in a batch.

        Returns:
            Shape (B, 2, 3), float32, on the CPU: from places in what is seen to places in the picture, both from -1
            to 1 between the outer edges of the first and the last pixel, across before down.

        Raises:
            OptionError: not as many generators as pictures.
        """
        if isinstance(generator, torch.Generator):
            numbers = torch.rand(count, _DRAWS, dtype=torch.float64, generator=generator)
        elif len(generator) != count:
            raise OptionError(f"{len(generator)} generators for {count} pictures: give one, or one for each.")
        else:
            numbers = torch.stack([torch.rand(_DRAWS, dtype=torch.float64, generator=one) for one in generator])
        down, across, scale, angle, shear, flip, top, left = numbers.unbind(1)  # each (B,), from 0 to below 1

        shrink = _chosen(self.scales, scale).reciprocal()
        turn = torch.deg2rad(_chosen(self.angles, angle))
        lean = torch.tan(torch.deg2rad((2 * shear - 1) * self.shear))
        mirror = torch.where(flip < self.flip, -1.0, 1.0).to(turn.dtype)
        sine, cosine = turn.sin(), turn.cos()
        # from a place in the view (across, down, in pixels from its middle) to one in the picture: the view is
        # mirrored, then sheared, then turned and scaled
        matrix = torch.stack(
            [
                torch.stack([cosine * mirror, cosine * lean - sine], 1),
                torch.stack([sine * mirror, sine * lean + cosine], 1),
            ],
            1,
        ) * shrink.view(-1, 1, 1)  # (B, 2, 2)
        seen = self.view(height, width)
        places = [
            _inside(draw, length, part) - _whole(move, self.jitter)
            for draw, move, length, part in zip((left, top), (across, down), (width, height), seen[::-1], strict=True)
        ]
        shift = torch.stack(places, 1).unsqueeze(2)  # (B, 2, 1), pixels
        # to the coordinates of affine_grid
        outer = torch.tensor([2 / width, 2 / height], dtype=torch.float64).view(2, 1)
        inner = torch.tensor([seen[1] / 2, seen[0] / 2], dtype=torch.float64).view(1, 2)
        return torch.cat([matrix * outer * inner, shift * outer], 2).float()

    def apply(self, images: Tensor, theta: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Return what is seen of each picture through its map.

        Differentiable with respect to the pictures. A view that is made smaller by more than two is not smoothed
        first.

        Args:
            images: (B, C, H, W), any float type; the sampling itself is done in float32 or float64.
            theta: (B, 2, 3), as `draw` gives them; moved to the device of the pictures.
            size: height and width that the view is sampled with; its own, pixel for pixel, unless given.

        Returns:
            Shape (B, C, *size), in the number type of the pictures. The pictures themselves, not a copy, where there
            is nothing to do.
        """
        height, width = images.shape[2:]
        size = size or self.view(height, width)
        if self.nothing and size == (height, width):
            return images
        exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
        grid = F.affine_grid(theta.to(exact.device, exact.dtype), [len(images), 1, *size], align_corners=False)
        if isinstance(self.border, str):
            mode = "border" if self.border == "edge" else "reflection"
            return F.grid_sample(exact, grid, padding_mode=mode, align_corners=False).to(images.dtype)
        return (F.grid_sample(exact - self.border, grid, align_corners=False) + self.border).to(images.dtype)


def _only(values: tuple[float, ...] | Between, value: float) -> bool:
    """Whether nothing but one value can be drawn."""
    return set((values.low, values.high) if isinstance(values, Between) else values) == {value}


def _chosen(values: tuple[float, ...] | Between, draw: Tensor) -> Tensor:
    """Turn numbers from 0 to 1 into values, float64."""
    if isinstance(values, Between):
        if values.geometric:
            return values.low * (values.high / values.low) ** draw
        return values.low + (values.high - values.low) * draw
    return torch.tensor(values, dtype=torch.float64)[(draw * len(values)).long()]


def _whole(draw: Tensor, most: int) -> Tensor:
    """Turn numbers from 0 to 1 into whole ones from -most to most."""
    return (draw * (2 * most + 1)).floor() - most


def _inside(draw: Tensor, length: int, part: int) -> Tensor:
    """Return where the middle of a part lies, in pixels from the middle of the whole; a larger part stays there."""
    room = length - part
    if room <= 0:
        return torch.zeros_like(draw)
    return (draw * (room + 1)).floor() - room / 2
