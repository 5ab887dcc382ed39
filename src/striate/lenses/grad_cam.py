"""The lens `grad_cam`: a layer's maps weighed by the gradient, and its relatives."""

from __future__ import annotations

from striate.lenses._lens import heatmap, lens
from striate.lenses._maps import Placement, Variant, chosen_map, laid, placement_notes, weighed
from striate.lenses._notes import rule_notes
from striate.network import Images, Network
from striate.results import Heatmap
from striate.tap import gradient
from striate.targets import Target

__all__ = ["grad_cam"]


@lens
def grad_cam(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    layer: str | None = None,
    variant: Variant = "grad-cam",
    relu: bool = True,
    guided: bool = False,
    placement: Placement = "centres",
) -> Heatmap:
    """Show where in the picture the evidence of a layer's maps lies.

    The part before the layer runs without a graph, the part after it is small: the whole costs one
    forward pass. The map is laid on the picture where the layer's units look, not stretched from
    corner to corner.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given.
        layer: whose maps are weighed; the last one before the classifier unless given.
        variant: grad-cam (a channel weighs the mean of its gradient), grad-cam++ (positive gradients, weighed
            by higher derivatives), layer-cam (each unit weighs its positive gradient), or hires-cam (each unit
            its gradient).
        relu: cut off evidence against the target.
        guided: multiply with guided backprop, for fine detail (one more forward and backward pass).
        placement: centres of the receptive fields, or stretch.

    Returns:
        Scores (N, H, W) on the picture; `native` is the map of the layer, (N, h, w).

    Raises:
        AddressError: no such target or layer.
        NetworkError: the layer has no map, or the target does not depend on it.
        RuleError: guided in a network without rectifiers.

    Source: Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2; Chattopadhay et al. 2017,
        arXiv:1710.11063, equation 19; Jiang et al. 2021 (LayerCAM), doi:10.1109/TIP.2021.3089943, equation 4;
        Draelos and Carin 2020 (HiResCAM), arXiv:2011.08891.
    """
    batch = network.batch(images)
    chosen = chosen_map(network, batch, layer, "Grad-CAM")
    found = gradient(network, batch, target, at=chosen.address)
    native = weighed(found.activation, found.values, variant)
    native = native.clamp(min=0) if relu else native
    scores = laid(native, chosen, placement)
    details: dict[str, str | int] = {"layer": chosen.address, "variant": variant, "placement": placement}
    notes = placement_notes(chosen, placement)
    if guided:
        fine = gradient(network, batch, found.targets, rule="guided")
        product = fine.values * scores[:, None]
        scores = product.abs().amax(1)
        details |= {"rectifiers": fine.rectifiers}
        notes += rule_notes(fine)
    return heatmap(
        network,
        batch,
        scores,
        found.targets,
        found.scores,
        native=native,
        signed=not relu and not guided,
        meaning=f"Evidence for the target in {chosen.address}" + (", times guided backprop" if guided else ""),
        details=details,
        notes=notes,
    )
