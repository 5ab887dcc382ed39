"""What makes a picture costly: large values, and steps between neighbours. Differentiable; knows no network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from striate.errors import OptionError

__all__ = ["alpha_norm", "squared_norm", "total_variation"]


def squared_norm(images: Tensor, centre: Tensor | float = 0.0) -> Tensor:
    """Return the squared Euclidean length of each picture.

    Args:
        images: (B, C, H, W).
        centre: what counts as nothing: a level, or one for each channel, (C, 1, 1); the mean colour in the paper.

    Returns:
        Shape (B,): sum over channels and pixels of (x - centre)^2.

    Source: Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, equation 1 (mean-free pictures).
    """
    return (images - centre).square().sum((1, 2, 3))


def alpha_norm(images: Tensor, alpha: float = 6.0, centre: Tensor | float = 0.0) -> Tensor:
    """Return the alpha-norm of each picture to the power alpha: it keeps values in a range, softly.

    Args:
        images: (B, C, H, W).
        alpha: at least 1; the larger, the harder the edge of the range. 6 in the paper.
        centre: what counts as nothing: a level, or one for each channel, (C, 1, 1); the mean colour in the paper.

    Returns:
        Shape (B,): sum over channels and pixels of |x - centre|^alpha.

    Raises:
        OptionError: `alpha` is below 1.

    Source: Mahendran and Vedaldi 2014, arXiv:1412.0035, section 3.1.
    """
    if not alpha >= 1:
        raise OptionError(f"alpha must be at least 1, got {alpha}.")
    offset = images - centre
    if alpha == 2:
        return offset.square().sum((1, 2, 3))
    # an even whole power needs no absolute value, which has no slope at 0
    powered = offset.pow(alpha) if alpha % 2 == 0 else offset.abs().pow(alpha)
    return powered.sum((1, 2, 3))


def total_variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """Return how much neighbouring pixels of each picture differ.

    Beyond the last row and column the picture goes on as it ends, so every pixel counts. Where nothing changes the
    gradient is 0, also for a `beta` below 2, whose true one has a corner there.

    Args:
        images: (B, C, H, W).
        beta: above 0. 1 is the usual total variation, which leaves spikes on layers that have strides; 2 spreads
            a step evenly.

    Returns:
        Shape (B,): sum over channels and pixels of (dx^2 + dy^2)^(beta / 2), where dx and dy are the differences to
        the next pixel to the right and below.

    Raises:
        OptionError: `beta` is not above 0.

    Source: Mahendran and Vedaldi 2014, arXiv:1412.0035, equation 4 and figure 2.
    """
    if not beta > 0:
        raise OptionError(f"beta must be above 0, got {beta}.")
    across = (images[..., :, 1:] - images[..., :, :-1]).square()  # (B, C, H, W - 1)
    down = (images[..., 1:, :] - images[..., :-1, :]).square()  # (B, C, H - 1, W)
    if beta == 2:
        return across.sum((1, 2, 3)) + down.sum((1, 2, 3))
    steps = F.pad(across, (0, 1)) + F.pad(down, (0, 0, 0, 1))  # (B, C, H, W)
    flat = steps == 0
    return steps.masked_fill(flat, 1.0).pow(beta / 2).masked_fill(flat, 0.0).sum((1, 2, 3))
