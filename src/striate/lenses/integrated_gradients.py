"""The lens `integrated_gradients`: gradients summed along the way from a blank picture."""

from __future__ import annotations

import numpy as np
import torch

from striate.errors import OptionError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.results import Heatmap
from striate.streaming import in_chunks
from striate.tap import activations, gradient
from striate.targets import Target, resolve

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
    targets = resolve(network, target, batch)
    count, place = len(batch), targets.place
    ends = torch.cat([batch, blank])  # in one pass: one picture by itself takes nearly as long as two
    tapped = activations(network, ends, [] if place is None else [place], logits=place is None)
    answers = tapped.logits if place is None else tapped.outputs[place]
    assert answers is not None
    targets = targets.settle(answers[:count], network)
    scores = targets.scores(answers[:count])
    blank_scores = targets.scores(answers[count:].expand(count, *answers.shape[1:]))  # asked for the targets of all

    nodes, weights = np.polynomial.legendre.leggauss(steps)
    places, shares = (nodes + 1) / 2, (weights / 2).tolist()  # from [-1, 1] to [0, 1]
    total = torch.zeros_like(batch, dtype=torch.float32)

    def run(start: int, stop: int) -> None:
        pairs = range(start, stop)  # picture within step
        rows = [pair % count for pair in pairs]
        way = batch.new_tensor([places[pair // count] for pair in pairs]).view(-1, 1, 1, 1)
        shown = batch[rows]
        between = torch.lerp(blank.expand_as(shown), shown, way)
        found = gradient(network, between, targets.pick(rows), chunk=len(rows))
        for row, pair, value in zip(rows, pairs, found.values.float(), strict=True):
            total[row].add_(value, alpha=shares[pair // count])

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
