"""Does a map depend on what the network has learned? Its layers forget, from the top down, and it is redrawn."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch

from striate.errors import OptionError
from striate.network import Images, Network
from striate.progress import track
from striate.results import Heatmap, Randomisation
from striate.targets import Target, resolve
from striate.trust._recipe import recipe
from striate.trust.curves import together
from striate.trust.explainers import Lenses, explain, explainers
from striate.trust.similarity import Measure, measure
from striate.trust.weights import forgetful, layers_below

__all__ = ["randomisation", "stage_counts"]

KEPT = 4  # pictures whose maps are kept at every stage


def randomisation(
    network: Network,
    images: Images,
    lenses: Lenses,
    target: Target = None,
    *,
    stages: int = 8,
    share: float = 1.0,
    similarity: Measure = "rank",
    seed: int = 0,
    most: int | None = None,
    heatmaps: Mapping[str, Heatmap] | None = None,
) -> Randomisation:
    """Let the layers of a copy of the network forget what they have learned, and compare the maps.

    From the top (the classifier, or the layer of the target) down, cumulatively: at each stage all layers above a
    certain one have random weights. A map that stays as it was does not show why the network decides as it does.
    The network itself is never changed.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        lenses: one or several to be judged, by name ("grad_cam", "saliency:rule=guided") or as functions.
        target: class, channel or unit; the top class of each picture unless given. The same in every stage.
        stages: how many times the map is redrawn, evenly spread over the layers, the first with the topmost alone.
        share: of the layers, from the top, that have forgotten in the last stage, in (0, 1].
        similarity: "rank" (Spearman, of absolute values) or "ssim" (of structure).
        seed: of the weights drawn.
        most: pictures to judge by, the first ones; all unless given.
        heatmaps: maps of all pictures with the trained network by the names of the lenses, where they were made before.

    Returns:
        For each lens, stage and picture the similarity to the map of the trained network.

    Raises:
        OptionError: a lens that gives no heatmap, `stages` below 1, `share` outside (0, 1].
        NetworkError: the network cannot be copied, or has no weights.

    Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.1 (cascading randomisation).
    """
    started = time.perf_counter()
    if stages < 1 or not 0 < share <= 1 or (most is not None and most < 1):
        raise OptionError(
            f"stages must be at least 1, share in (0, 1] and most at least 1, got {stages}, {share} and {most}."
        )
    compare = measure(similarity)
    judged = explainers(lenses)
    batch = network.batch(images)
    made = heatmaps or {}
    before = {one.name: made[one.name] if one.name in made else explain(one, network, batch, target) for one in judged}
    rows, labels = together(before, batch)
    if most is not None and most < len(rows):
        before = {name: _first(heatmap, most) for name, heatmap in before.items()}
        batch, rows, labels = batch[:most], rows[:most], labels[:most]
    layers = layers_below(network, batch, resolve(network, list(labels), rows).place)
    counts = stage_counts(len(layers), stages, share)
    found = torch.ones(len(judged), 1 + len(counts), len(rows), dtype=torch.float64)
    kept = [[heatmap.scores[:KEPT]] for heatmap in before.values()]
    vanished = 0
    twins = forgetful(network, batch, layers, counts, seed)
    for stage, twin in enumerate(track(twins, "randomisation", len(counts)), start=1):
        for index, one in enumerate(judged):
            after = explain(one, twin, batch, list(labels))
            alike = compare(before[one.name].scores, after.scores)
            vanished += int(alike.isnan().sum())
            found[index, stage] = alike.nan_to_num(nan=0.0)
            kept[index].append(after.scores[:KEPT])
    notes = ["Each layer that forgets is drawn anew and scaled to the spread its output had on these pictures."]
    if vanished:
        notes.append(
            f"{vanished} of {found[:, 1:].numel()} maps came out flat or not finite after that, or were so before: "
            "they count as having nothing in common."
        )
    options = {"stages": stages, "share": share, "similarity": similarity, "seed": seed, "most": most}
    return Randomisation(
        names=tuple(before),
        stages=tuple(layers[len(layers) - count][0] for count in counts),
        counts=tuple(counts),
        layers=len(layers),
        similarity=found,
        measure=similarity,
        maps=tuple(torch.stack(maps) for maps in kept),
        signed=tuple(heatmap.signed for heatmap in before.values()),
        target=labels,
        pictures=network.spec.pixels(rows[:KEPT]),
        recipe=recipe("randomisation", network, labels, options, started, notes),
    )


def _first(heatmap: Heatmap, count: int) -> Heatmap:
    """Return a heatmap of the first pictures alone."""
    return Heatmap(
        scores=heatmap.scores[:count],
        native=heatmap.native[:count],
        target=heatmap.target[:count],
        score_values=heatmap.score_values[:count],
        signed=heatmap.signed,
        pictures=heatmap.pictures[:count],
        recipe=heatmap.recipe,
    )


def stage_counts(layers: int, stages: int, share: float) -> list[int]:
    """Return how many layers have forgotten at each stage, growing; fewer stages where there are not enough layers.

    Args:
        layers: in all, at least 1.
        stages: at least 1.
        share: of the layers in the last stage, in (0, 1]; at least one of them forgets.
    """
    most = max(1, math.ceil(layers * share))
    if stages == 1:
        return [most]
    return sorted({1 + round(index * (most - 1) / (stages - 1)) for index in range(stages)})
