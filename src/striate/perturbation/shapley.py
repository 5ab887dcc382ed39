"""Shapley values of superpixels from the scores of some coalitions, or of all. Runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from striate.perturbation.surrogates import every_mask

__all__ = ["Coalitions", "coalitions", "shapley_values"]


@dataclass(frozen=True)
class Coalitions:
    """Which superpixels are shown together, and how much each such coalition counts.

    Attributes:
        design: (M, S), bool; neither none nor all of them.
        weights: (M,), float64, of sum 1: the Shapley kernel.
        exact: every coalition is in it, once.
    """

    design: Tensor
    weights: Tensor
    exact: bool

    @property
    def determined(self) -> bool:
        """Whether they are enough to tell all superpixels apart."""
        design = self.design.double()
        return int(torch.linalg.matrix_rank(design - design.mean(1, keepdim=True))) == design.shape[1] - 1


def coalitions(count: int, samples: int, seed: int) -> Coalitions:
    """Choose coalitions so that their weights follow the Shapley kernel.

    A coalition of k superpixels weighs (S - 1) / (C(S, k) k (S - k)). The smallest and the largest count most and
    are the fewest: sizes that fit into the samples are taken whole, from the outside in. The others are drawn, each
    with its complement, which halves the noise and more.

    Args:
        count: of superpixels, S, at least 2.
        samples: most coalitions to take, at least 2; odd numbers are rounded down where pairs are drawn.
        seed: of the draws.

    Source: Lundberg and Lee 2017, arXiv:1705.07874, theorem 2; Covert and Lee 2021, arXiv:2012.01536, section 4.2
        (pairs).
    """
    if 2**count - 2 <= samples:
        design = every_mask(count)[1:-1]
        each = [_kernel(count, size) / math.comb(count, size) for size in range(1, count)]
        weights = torch.tensor(each, dtype=torch.float64)[design.sum(1) - 1]
        return Coalitions(design, weights / weights.sum(), exact=True)
    shares = torch.tensor([_kernel(count, size) for size in range(1, count)], dtype=torch.float64)
    shares /= shares.sum()
    designs: list[Tensor] = []
    weights_of: list[Tensor] = []
    room, left = samples, torch.ones(count - 1, dtype=torch.bool)
    for size in range(1, count // 2 + 1):
        pair = {size, count - size}
        ways = len(pair) * math.comb(count, size)
        share = float(sum(shares[one - 1] for one in pair))
        if ways > room * share / float(shares[left].sum()):
            break
        for one in sorted(pair):
            whole = torch.zeros(math.comb(count, one), count, dtype=torch.bool)
            for row, members in zip(whole, combinations(range(count), one), strict=True):
                row[list(members)] = True
            designs.append(whole)
            weights_of.append(torch.full((len(whole),), float(shares[one - 1]) / len(whole), dtype=torch.float64))
            left[one - 1] = False
        room -= ways
    if left.any() and room >= 2:
        drawn = _pairs(count, room // 2, shares * left, seed)
        designs.append(drawn)
        weights_of.append(torch.full((len(drawn),), float(shares[left].sum()) / len(drawn), dtype=torch.float64))
    weights = torch.cat(weights_of)
    return Coalitions(torch.cat(designs), weights / weights.sum(), exact=False)


def shapley_values(found: Coalitions, values: Tensor, full: Tensor, empty: Tensor) -> Tensor:
    """Solve for the values that come nearest to all coalitions and sum to the whole change exactly.

    Args:
        found: M coalitions of S superpixels.
        values: (M, T), their scores.
        full: (T,), scores with everything shown.
        empty: (T,), scores with nothing shown.

    Returns:
        Shape (T, S), float64; with all coalitions the exact Shapley values.

    Source: Lundberg and Lee 2017, arXiv:1705.07874, equation 8; Charnes et al. 1988 (the constrained least squares).
    """
    design = found.design.double()
    count = design.shape[1]
    change = (full - empty).double()  # (T,)
    # an even share each, and what departs from it, which sums to 0
    share = design.mean(1, keepdim=True)  # (M, 1)
    centred = design - share
    rest = values.double() - empty.double() - share * change
    weighed = centred.T * found.weights
    inverse: Tensor = torch.linalg.pinv(weighed @ centred, hermitian=True)
    departure = inverse @ (weighed @ rest)  # (S, T)
    return (departure - departure.mean(0) + change / count).T


def _kernel(count: int, size: int) -> float:
    """Return the weight of all coalitions of one size together."""
    return (count - 1) / (size * (count - size))


def _pairs(count: int, pairs: int, shares: Tensor, seed: int) -> Tensor:
    """Draw coalitions whose sizes follow `shares`, each with its complement: (2 pairs, S)."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.multinomial(shares, pairs, replacement=True, generator=generator) + 1
    order = torch.rand(pairs, count, generator=generator, device="cpu").argsort(1).argsort(1)
    drawn = order < sizes[:, None]
    return torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)
