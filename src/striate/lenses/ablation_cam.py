"""The lens `ablation_cam`: a layer's maps weighed by how far the score drops when each is set to zero."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import NetworkError
from striate.graph import Layer
from striate.lenses._lens import heatmap, lens
from striate.lenses._maps import Placement, chosen_map, laid, placement_notes
from striate.network import Images, Network
from striate.perturbation.readout import grouped, spread_and_tap
from striate.perturbation.suffix import suffix_scores
from striate.results import Heatmap
from striate.targets import Target, Targets

__all__ = ["ablation_cam"]

_LEAST = 0.01  # a score is counted as at least this share of the largest drop, so that no weight exceeds 100


@lens
def ablation_cam(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    layer: str | None = None,
    relu: bool = True,
    placement: Placement = "centres",
    chunk: int | None = None,
) -> Heatmap:
    """Show a layer's maps, each weighed by the share of the score that is lost without it.

    Channel k is set to zero in the output of the layer, and the rest of the network is run again: its
    weight is (f - f_k) / |f|. No gradient is taken, and what comes before the layer is run once. A score f
    near zero would blow all weights up; it is counted as at least 0.01 of the largest drop, which changes
    the scale of the map and not its pattern. Its size is taken (the paper's f is above zero), so that what
    speaks for the target stays above zero when the score itself is below.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        layer: whose maps are weighed; the last one before the classifier unless given.
        relu: cut off evidence against the target.
        placement: centres of the receptive fields, or stretch.
        chunk: channels in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W) on the picture; `native` is the map of the layer, (N, h, w). Channels that are zero
        everywhere weigh nothing, and are not run.

    Raises:
        AddressError: no such target or layer.
        NetworkError: the layer has no map, the target lies before it, or a score is not a finite number.

    Source: Desai and Ramaswamy 2020 (Ablation-CAM), doi:10.1109/WACV45572.2020.9093360, section 3.
    """
    batch = network.batch(images)
    chosen = chosen_map(network, batch, layer, "Ablation-CAM")
    batch, targets, scores, maps_of = spread_and_tap(network, batch, target, chosen.address)
    _check_order(network, batch, chosen, targets)
    native = batch.new_zeros((len(batch), *(chosen.map_size or ())), dtype=torch.float32)
    largest = torch.zeros(len(batch), dtype=torch.float64)
    run = 0
    how: dict[str, object] = {}
    for first, rows in grouped(batch):
        image, asked = batch[first : first + 1], targets.pick(rows)
        maps = maps_of[first]  # (C, h, w)
        living = maps.flatten(1).any(1).nonzero().flatten()
        if not len(living):
            continue  # no maps, no weights
        run += len(living)

        def without(start: int, stop: int, maps: Tensor = maps, living: Tensor = living) -> Tensor:
            changed = maps.expand(stop - start, -1, -1, -1).clone()
            changed[torch.arange(stop - start, device=maps.device), living[start:stop]] = 0
            return changed

        scored = suffix_scores(
            network, image, chosen.address, without, len(living), asked, chunk=chunk, task="ablation-cam"
        )
        _check_finite(scored.values, living, chosen, asked)
        how = dict(scored.details)
        drops = scored.clean.double() - scored.values.double()  # (C, T)
        largest[rows] = drops.abs().amax(0)
        divisor = torch.maximum(scored.clean.double().abs(), _LEAST * largest[rows])
        weights = drops / divisor.where(divisor > 0, torch.ones_like(divisor))
        native[rows] = torch.einsum("ct,chw->thw", weights.float().to(maps.device), maps[living].float())
    native = native.clamp(min=0) if relu else native
    notes = placement_notes(chosen, placement)
    if idle := [label for label, size in zip(targets.labels, largest.tolist(), strict=True) if size == 0]:
        notes += (f"{idle[0]} does not change when any one channel of {chosen.address} is set to zero.",)
    return heatmap(
        network,
        batch,
        laid(native, chosen, placement),
        targets,
        scores,
        native=native,
        signed=not relu,
        meaning=f"Maps of {chosen.address}, weighed by the share of the score that is lost without each",
        details={
            "layer": chosen.address,
            "placement": placement,
            "channels": chosen.channels * len(grouped(batch)),
            "channels_run": run,
            "largest_drop": largest.tolist(),
            **how,
        },
        notes=notes,
    )


def _check_order(network: Network, images: Tensor, layer: Layer, targets: Targets) -> None:
    """Refuse a target that is there before the layer is."""
    if targets.place is None:
        return
    graph = network.graph(*images.shape[2:])
    asked = graph.layer(targets.place)
    if graph.layers.index(asked) < graph.layers.index(layer):
        raise NetworkError(
            f"{targets.labels[0]} does not depend on {layer.address}: the layer comes after it. "
            f"Choose a layer up to {asked.address}."
        )


def _check_finite(values: Tensor, channels: Tensor, layer: Layer, targets: Targets) -> None:
    """Refuse scores (M, T) that are not finite."""
    if values.isfinite().all():
        return
    index, which = (~values.isfinite()).nonzero()[0].tolist()
    raise NetworkError(
        f"the score of {targets.labels[which]} is {values[index, which].item()} when channel {int(channels[index])} of "
        f"{layer.address} is set to zero, so it has no weight. Check the weights of the network, or choose "
        "another layer."
    )
