"""The lens `rise`: the score under thousands of smooth random masks."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.masks import Score, mask_scores, smooth_masks
from striate.perturbation.precision import Precision
from striate.perturbation.readout import grouped, spread
from striate.results import Heatmap
from striate.targets import Target

__all__ = ["rise"]


@lens
def rise(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    samples: int = 2000,
    cells: int = 7,
    keep: float = 0.5,
    centred: bool = True,
    baseline: Baseline = "black",
    score: Score = "probability",
    seed: int = 0,
    precision: Precision = "float32",
    chunk: int | None = None,
) -> Heatmap:
    """Show where the picture has to be seen for a high score.

    The picture is looked at through random masks: a coarse grid of which each cell is open or shut by
    chance, enlarged smoothly and shifted by a random part of a cell. A pixel's value is the mean of the
    scores, weighed by how open the masks were there. One picture with several targets is sampled once for
    all of them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        samples: masks of each picture, M, at least 1; the noise falls with the root of it. The paper, which does not
            centre, takes 4000 to 8000.
        cells: of the grid along each side.
        keep: probability that a cell is open, p, between 0 and 1.
        centred: subtract the mean score first: sum((f - mean f) mask) / (M p), how much higher the score is where
            the pixel is seen. Otherwise the paper's sum(f mask) / (M p), which is high everywhere.
        baseline: what shows where a mask is shut: black, white, grey, mean, blur, noise, or a colour ("#rrggbb" or
            its name).
        score: probability of a class, as in the paper, or its logit; units and channels count with their value.
        seed: of the masks and the noise.
        precision: float32, or bfloat16, which is faster where the processor has it and keeps two or three digits.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W), in units of the score.

    Raises:
        AddressError: no such target.
        OptionError: fewer than 1 sample or cell, keep outside (0, 1), or no such baseline.
        NetworkError: the network gives a score that is not a finite number.

    Source: Petsiuk, Das and Saenko 2018, arXiv:1806.07421, equation 6 and section 3.2.
    """
    for name, value in (("samples", samples), ("cells", cells)):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, got {value}.")
    if not 0 < keep < 1:
        raise OptionError(f"keep must lie between 0 and 1, got {keep}.")
    batch, targets, _ = spread(network, network.batch(images), target)
    hidden = fill(network, batch, baseline, seed)
    masks = smooth_masks(samples, (batch.shape[2], batch.shape[3]), cells=cells, keep=keep, seed=seed)
    scores = torch.empty((len(batch), *batch.shape[2:]))
    clean, mean = torch.empty(len(batch)), torch.empty(len(batch))
    for first, rows in grouped(batch, hidden if isinstance(baseline, Tensor) else None):
        found = mask_scores(
            network,
            batch[first : first + 1],
            masks.on(batch.device),
            samples,
            hidden[first],
            targets.pick(rows),
            score=score,
            chunk=chunk,
            precision=precision,
            task="rise",
        )
        values = found.values.double()
        middle = values.mean(0)
        scores[rows] = (masks.weighed(values - middle if centred else values) / (samples * keep)).float()
        clean[rows], mean[rows] = found.clean, middle.float()
    what = score if targets.place is None else "value"
    return heatmap(
        network,
        batch,
        scores,
        targets,
        clean,
        signed=centred or bool((scores < 0).any()),
        meaning=f"How much higher the {what} is where the pixel is seen"
        if centred
        else f"Mean {what} where it is seen",
        details={
            "samples": samples,
            "normalisation": "sum((f - mean f) mask) / (M p)" if centred else "sum(f mask) / (M p)",
            "mean_masked_score": mean.tolist(),
            "baseline": baseline if isinstance(baseline, str) else "given",
            "score": what,
            "precision": precision,
        },
    )
