"""What the answers of a kernel mean: how steep and which way, and where the pattern is. Numbers only; draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from striate.errors import OptionError
from striate.kernels import by_hand
from striate.kernels.by_hand import Kernel
from striate.kernels.convolving import convolve
from striate.kernels.windows import Border, Padding, check_word

__all__ = ["GRADIENTS", "Gradient", "found", "gradient"]

GRADIENTS: Final = ("sobel", "prewitt", "edge", "difference")
"""The kernels that come in pairs, one to the right and one downwards."""


@dataclass(frozen=True, eq=False)
class Gradient:
    """How brightness changes at each pixel.

    Args:
        right: answers of the kernel that looks for brighter on the right, shape (..., h, w), float.
        down: answers of the one that looks for brighter below.
    """

    right: NDArray[np.floating[Any]]
    down: NDArray[np.floating[Any]]

    @property
    def magnitude(self) -> NDArray[np.floating[Any]]:
        """How steep: the length of (right, down), at least 0, in the kernel's own scale."""
        return np.asarray(np.hypot(self.right, self.down))

    @property
    def direction(self) -> NDArray[np.floating[Any]]:
        """Which way it gets brighter, in radians from -pi to pi: 0 is to the right, pi/2 is up, as on paper.

        Rows of a picture are counted downwards, so "up" has the opposite sign of `down`. Where nothing changes the
        direction is 0 and means nothing.
        """
        return np.asarray(np.arctan2(-self.down + 0.0, self.right))  # + 0.0: no minus zero, which would be minus pi


def gradient(
    picture: ArrayLike | torch.Tensor,
    kernel: Literal["sobel", "prewitt", "edge", "difference"] = "sobel",
    *,
    padding: Padding = "same",
    border: Border = "replicate",
    channels: Literal["first", "last"] | None = None,
) -> Gradient:
    """Find how steeply and which way brightness changes, from two kernels at right angles.

    Args:
        picture: brightness, shape (..., H, W).
        kernel: whose pair is taken. A step from 0 to 1 along a straight edge gives 4 by Sobel, 3 by Prewitt, 1 by
            the others.
        padding: as in `convolve`.
        border: as in `convolve`; the default makes the picture go on as it ends, so that no edge is found there.
        channels: "last" for pictures (..., H, W, C), whose channels are taken each by itself; as in `convolve`.

    Raises:
        OptionError: a kernel that does not come in pairs.
        ImageError: the picture is smaller than the kernel, has too few axes, or may have its channels last.
    """
    check_word(kernel, GRADIENTS, "kernel of a gradient")
    if isinstance(picture, torch.Tensor):
        picture = picture.detach().cpu().numpy()
    # both on the same grid: the two-pixel differences would otherwise miss different rims
    right, down = (
        convolve(
            picture,
            _square(by_hand.named(kernel, direction=way)),
            mode="correlation",
            padding=padding,
            border=border,
            channels=channels,
        )
        for way in ("right", "down")
    )
    return Gradient(right, down)


def found(answers: ArrayLike, kernel: Kernel, threshold: float = 0.1) -> NDArray[np.int8]:
    """Say where the pattern of a kernel is, and where its opposite is.

    Args:
        answers: of the kernel (as correlation) to pictures between 0 and 1, any shape.
        kernel: of which they are; its weights sum to zero.
        threshold: share of the largest answer that there can be, in (0, 1].

    Returns:
        1 where the pattern is found, -1 where its opposite is (bright for dark), 0 elsewhere; the shape of `answers`.

    Raises:
        OptionError: the threshold lies outside (0, 1], or the kernel has no opposite (a blur).
    """
    if not 0 < threshold <= 1:
        raise OptionError(f"the threshold is a share of the largest answer there can be, in (0, 1], got {threshold}.")
    if not kernel.balanced:
        raise OptionError(
            f"the weights of {kernel.title} do not sum to zero, so it has no opposite to be found. Take one that "
            "looks for a pattern, such as sobel or laplacian."
        )
    share = np.asarray(answers, dtype=np.float64) / kernel.strongest
    return np.asarray((share >= threshold).astype(np.int8) - (share <= -threshold).astype(np.int8))


def _square(kernel: Kernel) -> NDArray[np.float64]:
    """Stand a row or a column in a square whose first row or column it is."""
    side = max(kernel.size)
    square = np.zeros((side, side))
    square[: kernel.size[0], : kernel.size[1]] = kernel.values
    return square
