"""The lens `integrated_gradients`: gradients summed along the way from a blank picture."""

from __future__ import annotations

import numpy as np
import torch

from striate.errors import OptionError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.results import Heatmap
from striate.streaming import in_chunks
from striate.tap import gradient, respond, settle
from striate.targets import Target

__all__ = ["integrated_gradients"]

_MUCH = 0.1  # a completeness error of this share of the score's change is pointed out


@lens
def integrated_gradients(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    baseline: str = "black",
    steps: int = 50,
    chunk: int | None = None,
) -> Heatmap:
    """Show what each pixel adds to the score on the way from a blank picture to this one.

    The map sums to score minus score of the blank picture; how far it misses is reported as the
    completeness error, and more steps make it smaller. The steps stream through in chunks, so memory
    does not grow with them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given.
        baseline: where the way begins: black, white, grey, or mean (the training set's mean colour).
        steps: points of the Gauss-Legendre quadrature, at least 1.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W), signed, summed over colour channels, in units of the score; the details hold
        baseline scores and completeness errors.

    Raises:
        AddressError: no such target.
        OptionError: no such baseline, or fewer than 1 step.

    Source: Sundararajan, Taly and Yan 2017, arXiv:1703.01365, equations 1 and 3.
    """
    if steps < 1:
        raise OptionError(f"steps must be at least 1, got {steps}.")
    batch = network.batch(images)
    blank = network.spec.baseline(baseline, batch)
    targets, scores = settle(network, batch, target)
    count = len(batch)
    answer = respond(network, blank, targets.place)  # one picture, asked for the targets of all
    blank_scores = targets.scores(answer.expand(count, *answer.shape[1:]))

    nodes, weights = np.polynomial.legendre.leggauss(steps)
    places, shares = (nodes + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
    total = torch.zeros_like(batch, dtype=torch.float32)

    def run(start: int, stop: int) -> None:
        pairs = range(start, stop)  # picture within step
        rows = [pair % count for pair in pairs]
        way = batch.new_tensor([places[pair // count] for pair in pairs]).view(-1, 1, 1, 1)
        share = total.new_tensor([shares[pair // count] for pair in pairs]).view(-1, 1, 1, 1)
        ends = batch[rows]
        between = torch.lerp(blank.expand_as(ends), ends, way)
        found = gradient(network, between, targets.pick(rows), chunk=len(rows))
        total.index_add_(0, torch.tensor(rows, device=total.device), found.values.float() * share)

    in_chunks(count * steps, run, size=network.piece(chunk), task="integrated gradients")
    parts = total * (batch - blank)
    change = (scores - blank_scores).double()
    missed = parts.double().sum((1, 2, 3)) - change
    worst = float((missed / change).abs().nan_to_num(0).max())
    notes: tuple[str, ...] = ()
    if worst > _MUCH:
        notes = (f"The map's sum misses the change of the score by up to {worst:.0%}. More steps come nearer.",)
    return heatmap(
        network,
        batch,
        parts.sum(1),
        targets,
        scores,
        signed=True,
        meaning=f"What each pixel adds to the score on the way from {baseline}",
        details={
            "baseline": baseline,
            "baseline_scores": blank_scores.tolist(),
            "completeness_error": missed.tolist(),
        },
        notes=notes,
    )
