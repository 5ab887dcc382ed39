"""Mu-fidelity: do the sums of a map predict what happens when pixels are taken away?"""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.masks import Score, mask_scores
from striate.results import Heatmap
from striate.targets import resolve
from striate.trust.curves import together

__all__ = ["fidelity"]


def fidelity(
    network: Network,
    images: Images,
    heatmap: Heatmap,
    *,
    samples: int = 200,
    cells: int = 9,
    share: float = 0.2,
    baseline: Baseline = "mean",
    score: Score = "logit",
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """Correlate what a map says of random parts of the picture with how far the score falls without them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths: the pictures that the map is of.
        heatmap: the map.
        samples: random parts for each picture, at least 2.
        cells: the picture is cut into cells x cells squares, of which each part takes some (fewer where it has not so
            many pixels).
        share: of the squares in a part, in (0, 1).
        baseline: what stands in for a part that is taken away, named by what it looks like.
        score: "logit" of a class, or its "probability".
        seed: of the parts.
        chunk: pictures in one pass; chosen by the device unless given.

    Returns:
        Shape (N,), float64, in [-1, 1]: 1 where the sums of the map predict every fall; NaN where one of them does not
        vary.

    Raises:
        OptionError: the map is of other pictures, or an option makes no sense.

    Source: Bhatt, Weller and Moura 2020, arXiv:2005.00631, equation 2.
    """
    if samples < 2 or cells < 1 or not 0 < share < 1:
        raise OptionError(
            f"samples must be at least 2, cells at least 1 and share in (0, 1), got {samples}, {cells}, {share}."
        )
    batch, labels = together({heatmap.recipe.lens or "map": heatmap}, network.batch(images))
    targets = resolve(network, list(labels), batch)
    height, width = batch.shape[2:]
    rows, columns = (torch.arange(side) * min(cells, side) // side for side in (height, width))
    squares = rows[:, None] * min(cells, width) + columns  # (H, W), the square of each pixel
    count = int(squares.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    taken = max(1, round(share * count))
    parts = torch.rand(samples, count, generator=generator).argsort(1) < taken  # (M, S): `taken` squares of each
    blank = fill(network, batch, baseline, seed)
    found = []
    for index in range(len(batch)):

        def masks(start: int, stop: int) -> Tensor:
            return (~parts[start:stop])[:, squares.flatten()].view(-1, height, width).float()

        scored = mask_scores(
            network,
            batch[index : index + 1],
            masks,
            samples,
            blank[index],
            targets.pick([index]),
            score=score,
            chunk=chunk,
            task="fidelity",
        )
        falls = (scored.clean - scored.values)[:, 0].double()
        sums = torch.zeros(count, dtype=torch.float64)
        sums.index_add_(0, squares.flatten(), heatmap.scores[index].flatten().double())
        said = parts.double() @ sums
        pair = torch.stack([falls, said])
        constant = bool((pair.std(1) == 0).any())
        found.append(float("nan") if constant else float(torch.corrcoef(pair)[0, 1]))
    return torch.tensor(found, dtype=torch.float64)
