"""The lens `score_cam`: a layer's maps weighed by the scores of the picture seen through each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.lenses._lens import heatmap, lens
from striate.lenses._maps import Placement, chosen_map, laid, placement_notes
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.masks import mask_scores
from striate.perturbation.precision import Precision
from striate.perturbation.readout import grouped, spread_and_tap
from striate.results import Heatmap
from striate.targets import Target

__all__ = ["score_cam"]


@lens
def score_cam(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    layer: str | None = None,
    baseline: Baseline = "mean",
    relu: bool = True,
    placement: Placement = "centres",
    precision: Precision = "float32",
    seed: int = 0,
    chunk: int | None = None,
) -> Heatmap:
    """Show a layer's maps, each weighed by how well the target does in the picture seen through it.

    Each map is enlarged, brought to the range 0 to 1, and laid over the picture as a mask. The weights are
    the softmax, over the channels, of the target's score (the logit of a class) under their masks; the
    score of the blank picture, which the paper takes off, cancels there. A channel that is constant over
    the map says nothing about places: it is left out. No gradient is taken. It costs a forward pass for
    each channel.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        layer: whose maps are weighed; the last one before the classifier unless given.
        baseline: what shows where a mask is 0; mean (the training set's mean colour, the zero of the network's
            input) is the paper's, others as in occlusion.
        relu: cut off what is below zero.
        placement: centres of the receptive fields, or stretch; of the masks and of the map.
        precision: of the arithmetic; bfloat16 is an approximation.
        seed: of the baseline noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W) on the picture; `native` is the map of the layer, (N, h, w).

    Raises:
        AddressError: no such target or layer.
        NetworkError: the layer has no map, or a score is not a finite number.
        OptionError: no such baseline.

    Source: Wang et al. 2020 (Score-CAM), arXiv:1910.01279, section 3 and algorithm 1.
    """
    batch = network.batch(images)
    chosen = chosen_map(network, batch, layer, "Score-CAM")
    covers = fill(network, batch, baseline, seed)
    batch, targets, scores, maps_of = spread_and_tap(network, batch, target, chosen.address)
    native = batch.new_zeros((len(batch), *(chosen.map_size or ())), dtype=torch.float32)
    weighed = 0
    for first, rows in grouped(batch, covers if isinstance(baseline, Tensor) else None):
        image, asked = batch[first : first + 1], targets.pick(rows)
        maps = maps_of[first].float()  # (C, h, w)
        maps = maps[maps.amax((1, 2)) > maps.amin((1, 2))]
        weighed += len(maps)

        def masks(start: int, stop: int, maps: Tensor = maps) -> Tensor:
            return _unit_range(laid(maps[start:stop], chosen, placement))

        scored = mask_scores(
            network,
            image,
            masks,
            len(maps),
            covers[first],
            asked,
            chunk=chunk,
            precision=precision,
            task="score-cam",
        )
        weights = scored.values.double().softmax(0)  # (C, T)
        native[rows] = torch.einsum("ct,chw->thw", weights.to(maps), maps)
    native = native.clamp(min=0) if relu else native
    channels = chosen.channels * len(grouped(batch))
    notes = placement_notes(chosen, placement)
    if weighed < channels:
        notes += (f"{channels - weighed} of {channels} channels are constant on these pictures and were left out.",)
    if precision != "float32":
        notes += (f"Approximate: worked out in {precision}.",)
    return heatmap(
        network,
        batch,
        laid(native, chosen, placement),
        targets,
        scores,
        native=native,
        signed=not relu,
        meaning=f"Maps of {chosen.address}, weighed by the target's score in the picture seen through them",
        details={
            "layer": chosen.address,
            "placement": placement,
            "baseline": baseline if isinstance(baseline, str) else "given",
            "channels": channels,
            "channels_weighed": weighed,
        },
        notes=notes,
    )


def _unit_range(maps: Tensor) -> Tensor:
    """Bring each map (m, H, W) to the range 0 to 1; one that the enlarging made constant hides nothing."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    flat = high <= low
    return (maps - low).div_((high - low).where(~flat, torch.ones_like(high))).masked_fill_(flat, 1.0)
