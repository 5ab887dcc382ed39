"""How alike two maps are, whatever their scale: by the order of their pixels or by structure. Runs no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Measure", "measure", "rank_similarity", "ranks", "structural_similarity"]

Measure = Literal["rank", "ssim"]

WINDOW = 7  # pixels across, of the structural similarity


def measure(name: Measure) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what "rank" or "ssim" stands for.

    Raises:
        OptionError: no such measure.
    """
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"rank": rank_similarity, "ssim": structural_similarity}
    if name not in measures:
        raise OptionError(f"no similarity {name!r}; there are {', '.join(measures)}.")
    return measures[name]


def rank_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Correlate the order in which two maps put the sizes of their pixels (Spearman).

    The sign of a value does not count: a pixel that speaks against the score is as important as one for it.

    Args:
        first: (N, H, W).
        second: likewise.

    Returns:
        Shape (N,), float64, in [-1, 1]: 1 for the same order, 0 for none in common. NaN where a map is constant
        or not finite, for it puts its pixels in no order.

    Source: Spearman 1904; on absolute values as in Adebayo et al. 2018, arXiv:1810.03292, section 3.
    """
    _same_shape(first, second)
    pairs = zip(first.flatten(1), second.flatten(1), strict=True)
    return torch.stack([_correlation(ranks(one.abs()), ranks(other.abs())) for one, other in pairs])


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Compare the structure of two maps of absolute values, each scaled to a largest value of 1 (SSIM).

    Args:
        first: (N, H, W), at least 3 pixels each way.
        second: likewise.

    Returns:
        Shape (N,), float64, at most 1. NaN where a map is zero everywhere or not finite.

    Raises:
        OptionError: a map is smaller than 3 x 3.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861; scaling as in Adebayo et al. 2018, appendix.
    """
    from skimage import metrics

    compare: Any = metrics.structural_similarity  # it has no types

    _same_shape(first, second)
    shortest = min(first.shape[1:])
    if shortest < 3:
        raise OptionError(
            f"maps of {first.shape[1]} x {first.shape[2]} pixels have no structure to compare. "
            "Use the similarity 'rank'."
        )
    window = min(WINDOW, shortest - 1 + shortest % 2)  # odd
    found = []
    for one, other in zip(first.double().abs(), second.double().abs(), strict=True):
        tops = one.max(), other.max()
        if not all(torch.isfinite(values).all() and top > 0 for values, top in zip((one, other), tops, strict=True)):
            found.append(float("nan"))
            continue
        pair = ((values / top).numpy() for values, top in zip((one, other), tops, strict=True))
        found.append(float(compare(*pair, win_size=window, data_range=1.0)))
    return torch.tensor(found, dtype=torch.float64)


def ranks(values: Tensor) -> Tensor:
    """Return the place of each value in their order, from 1; equal values share the mean of their places.

    Args:
        values: (P,).

    Returns:
        Shape (P,), float64; NaN throughout where a value is not finite.
    """
    if not torch.isfinite(values).all():
        return torch.full(values.shape, float("nan"), dtype=torch.float64)
    _, group, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    places: Tensor = last - (counts.double() - 1) / 2
    return places[group]


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation of two rows; NaN where one does not vary."""
    first, second = first - first.mean(), second - second.mean()
    sizes = first.norm() * second.norm()
    if not sizes > 0:
        return torch.tensor(float("nan"), dtype=torch.float64)
    found: Tensor = (first @ second) / sizes
    return found.clamp(-1, 1)


def _same_shape(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.dim() != 3:
        shapes = " and ".join(" x ".join(map(str, values.shape)) for values in (first, second))
        raise OptionError(f"maps of {shapes} cannot be compared pixel by pixel. Give two of the same shape N x H x W.")
