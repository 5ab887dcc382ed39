"""The lens `kernel_shap`: Shapley values of superpixels, exact for few of them, by the Shapley kernel for many."""

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
from striate.perturbation.shapley import Coalitions, coalitions, shapley_values
from striate.perturbation.superpixels import Method
from striate.perturbation.surrogates import explained as share_explained
from striate.perturbation.switching import switched
from striate.results import Segments
from striate.targets import Target

__all__ = ["kernel_shap"]


@lens
def kernel_shap(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    superpixels: Method = "slic",
    segments: int = 50,
    samples: int = 2048,
    baseline: Baseline = "grey",
    score: Score = "logit",
    seed: int = 0,
    precision: Precision = "float32",
    chunk: int | None = None,
    labels: Tensor | None = None,
) -> Segments:
    """Show each superpixel's fair share of the score: its Shapley value.

    A Shapley value is what a superpixel adds, averaged over all orders in which the picture could be
    uncovered. The values sum exactly to the score of the picture minus that of the hidden one. Where all
    coalitions of superpixels are no more than the samples they are all taken, and the values are exact;
    otherwise they are estimated from pairs of coalitions, drawn by the Shapley kernel. One picture with
    several targets is sampled once for all of them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        superpixels: slic (of about equal size, along edges), quickshift (of one colour, large and small), or grid.
        segments: about how many superpixels; quickshift finds its own number. Up to 11 are exact with 2048 samples.
        samples: most masks of each picture, at least 2.
        baseline: what hides a superpixel: black, white, grey, mean, blur, noise, average (its own mean colour), or
            a colour ("#rrggbb" or its name).
        score: logit or probability of a class; units and channels count with their value.
        seed: of the masks and the noise.
        precision: float32, or bfloat16, which is faster where the processor has it and keeps two or three digits.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.
        labels: superpixels of one's own, whole numbers, (H, W) or (N, H, W).

    Returns:
        Scores (N, H, W): at each pixel the value of its superpixel, in units of the score; with labels, values and
        the R^2 of their sums, weighted by the Shapley kernel.

    Raises:
        AddressError: no such target.
        OptionError: fewer than 2 samples, no such baseline, or 1 superpixel only.
        NetworkError: the network gives a score that is not a finite number.

    Source: Lundberg and Lee 2017, arXiv:1705.07874, theorem 2; Covert and Lee 2021, arXiv:2012.01536 (pairs).
    """
    if samples < 2:
        raise OptionError(f"samples must be at least 2, got {samples}.")
    batch, targets, _ = spread(network, network.batch(images), target)
    cut = torch.empty((len(batch), *batch.shape[2:]), dtype=torch.int64)
    weights: list[Tensor] = [torch.empty(0)] * len(batch)
    explained, clean, blank = (torch.empty(len(batch)) for _ in range(3))
    chosen: dict[int, Coalitions] = {}

    def design(count: int) -> Tensor:
        if count not in chosen:
            chosen[count] = coalitions(count, samples, seed)
        return torch.cat([chosen[count].design, torch.zeros(1, count, dtype=torch.bool)])  # last the hidden picture

    for one in switched(
        network,
        batch,
        targets,
        design,
        superpixels=superpixels,
        segments=segments,
        labels=labels,
        baseline=baseline,
        score=score,
        seed=seed,
        precision=precision,
        chunk=chunk,
        task="kernel_shap",
    ):
        together = chosen[one.design.shape[1]]
        values, empty = one.scored.values[:-1], one.scored.values[-1]
        found = shapley_values(together, values, one.scored.clean, empty)  # (T, S)
        sums = empty + together.design.double() @ found.T  # (M, T)
        cut[one.rows], clean[one.rows], blank[one.rows] = one.labels, one.scored.clean, empty
        explained[one.rows] = share_explained(values, sums, together.weights).float()
        for row, own in zip(one.rows, found.float(), strict=True):
            weights[row] = own
    used = [chosen[len(own)] for own in weights]
    shown = heatmap(
        network,
        batch,
        torch.stack([own[parts] for own, parts in zip(weights, cut, strict=True)]),
        targets,
        clean,
        signed=True,
        meaning="Each superpixel's share of the "
        + ("value" if targets.place is not None else score)
        + (": its Shapley value" if all(one.exact for one in used) else ": its Shapley value, estimated"),
        details={
            "superpixels": [len(own) for own in weights],
            "samples": [len(one.design) for one in used],
            "exact": [one.exact for one in used],
            "r_squared": explained.tolist(),
            "baseline": baseline if isinstance(baseline, str) else "given",
            "baseline_scores": blank.tolist(),
            "score": score if targets.place is None else "value",
            "precision": precision,
        },
        notes=tuple(
            f"{samples} samples cannot tell {count} superpixels apart: of all values that fit, the most even ones are "
            "shown. Take more samples, or fewer superpixels."
            for count, one in sorted(chosen.items())
            if not one.determined
        ),
    )
    return Segments.over(shown, labels=cut, weights=tuple(weights), explained=explained)
