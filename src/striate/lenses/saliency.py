"""The lens `saliency`: the gradient of a score at the picture, by any of three backward rules."""

from __future__ import annotations

from striate.lenses._lens import heatmap, lens
from striate.lenses._notes import rule_notes
from striate.network import Images, Network
from striate.results import Heatmap
from striate.tap import Rule, gradient
from striate.targets import Target

__all__ = ["saliency"]


@lens
def saliency(
    network: Network, images: Images, target: Target = None, *, rule: Rule = "gradient", signed: bool = False
) -> Heatmap:
    """Show how strongly each pixel would change the score.

    One forward and one backward pass for the whole batch.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given.
        rule: gradient, guided (backprop) or deconvnet: what passes a rectifier on the way back.
        signed: the sum over colour channels instead of the largest absolute value.

    Returns:
        Scores (N, H, W), in units of the score for one standard deviation of the input.

    Raises:
        AddressError: no such target.
        RuleError: a rule for rectifiers in a network that has none.

    Source: Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, section 3.1 (largest over channels);
        Springenberg et al. 2014, arXiv:1412.6806 (guided); Zeiler and Fergus 2013, arXiv:1311.2901 (deconvnet).
    """
    batch = network.batch(images)
    found = gradient(network, batch, target, rule=rule)
    return heatmap(
        network,
        batch,
        found.values.sum(1) if signed else found.values.abs().amax(1),
        found.targets,
        found.scores,
        signed=signed,
        meaning="Change of the score with each pixel"
        if rule == "gradient"
        else f"Signal of the {rule} rule at each pixel",
        details={"rule": rule, "rectifiers": found.rectifiers, "passed": found.passed},
        notes=rule_notes(found),
    )
