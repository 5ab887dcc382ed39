"""The lens `lime`: superpixels switched on and off, and a simple model of what that does to the score."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.perturbation.fills import Baseline
from striate.perturbation.masks import Score
from striate.perturbation.precision import Precision
from striate.perturbation.readout import spread
from striate.perturbation.superpixels import Method
from striate.perturbation.surrogates import Surrogate, closeness, fit, neighbourhood, penalty
from striate.perturbation.switching import switched
from striate.results import Segments
from striate.targets import Target

__all__ = ["lime"]


@lens
def lime(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    superpixels: Method = "slic",
    segments: int = 50,
    samples: int = 1000,
    surrogate: Surrogate = "ridge",
    alpha: float | None = None,
    kernel_width: float = 0.25,
    baseline: Baseline = "grey",
    score: Score = "logit",
    seed: int = 0,
    precision: Precision = "float32",
    chunk: int | None = None,
    labels: Tensor | None = None,
) -> Segments:
    """Show which superpixels speak for the target, and which against it.

    Superpixels are hidden at random, each in half of the samples; a simple model is fitted to the
    scores, near samples counting more. R^2 says how well it does. One picture with several targets is
    sampled once for all of them. With so few superpixels that all masks are no more than the
    samples, each mask is taken once and nothing is left to chance.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        superpixels: slic (of about equal size, along edges), quickshift (of one colour, large and small), or grid.
        segments: about how many superpixels; quickshift finds its own number.
        samples: masks of each picture, at least 1.
        surrogate: ridge (linear), lasso (linear, most superpixels get exactly 0), or forest (trees; a weight is how
            much their answer changes on average when the superpixel is switched on).
        alpha: weight of the penalty; 1 for ridge and 0.01 for lasso unless given.
        kernel_width: how far the neighbourhood of the picture reaches: a sample that keeps k of S superpixels weighs
            exp(-d^2 / (2 width^2)), d = 1 - sqrt(k / S), the cosine distance.
        baseline: what hides a superpixel: black, white, grey, mean, blur, noise, average (its own mean colour), or
            a colour ("#rrggbb" or its name).
        score: logit or probability of a class; units and channels count with their value.
        seed: of the masks, the noise and the forest.
        precision: float32, or bfloat16, which is faster where the processor has it and keeps two or three digits.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.
        labels: superpixels of one's own, whole numbers, (H, W) or (N, H, W).

    Returns:
        Scores (N, H, W): at each pixel the weight of its superpixel, in units of the score; with labels, weights and
        weighted R^2 (of the forest: by the trees that have not seen a sample).

    Raises:
        AddressError: no such target.
        OptionError: fewer than 1 sample, a kernel width not above 0, no such baseline, or 1 superpixel only.
        NetworkError: the network gives a score that is not a finite number.

    Source: Ribeiro, Singh and Guestrin 2016, arXiv:1602.04938, algorithm 1.
    """
    if samples < 1:
        raise OptionError(f"samples must be at least 1, got {samples}.")
    if not kernel_width > 0:
        raise OptionError(f"kernel_width must be above 0, got {kernel_width}.")
    strength = penalty(surrogate, alpha)
    batch, targets, _ = spread(network, network.batch(images), target)
    cut = torch.empty((len(batch), *batch.shape[2:]), dtype=torch.int64)
    weights: list[Tensor] = [torch.empty(0)] * len(batch)
    explained, clean = torch.empty(len(batch)), torch.empty(len(batch))
    for one in switched(
        network,
        batch,
        targets,
        lambda count: neighbourhood(count, samples, seed),
        superpixels=superpixels,
        segments=segments,
        labels=labels,
        baseline=baseline,
        score=score,
        seed=seed,
        precision=precision,
        chunk=chunk,
        task="lime",
    ):
        near = closeness(one.design, kernel_width)
        found = fit(one.design, one.scored.values, near, surrogate, alpha=strength, seed=seed)
        cut[one.rows], clean[one.rows], explained[one.rows] = one.labels, one.scored.clean, found.explained.float()
        for row, own in zip(one.rows, found.weights.float(), strict=True):
            weights[row] = own
    counts = [len(one) for one in weights]
    shown = heatmap(
        network,
        batch,
        torch.stack([one[own] for one, own in zip(weights, cut, strict=True)]),
        targets,
        clean,
        signed=True,
        meaning=f"What each superpixel adds to the {score}" if targets.place is None else "What each superpixel adds",
        details={
            "superpixels": counts,
            "samples": [min(samples, 2**count) for count in counts],
            "every_mask": [2**count <= samples for count in counts],
            "r_squared": explained.tolist(),
            "baseline": baseline if isinstance(baseline, str) else "given",
            "score": score if targets.place is None else "value",
            "precision": precision,
        },
    )
    return Segments.over(shown, labels=cut, weights=tuple(weights), explained=explained)
