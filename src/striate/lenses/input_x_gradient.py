"""The lens `input_x_gradient`: each pixel's value times its gradient."""

from __future__ import annotations

from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.results import Heatmap
from striate.tap import gradient
from striate.targets import Target

__all__ = ["input_x_gradient"]


@lens
def input_x_gradient(network: Network, images: Images, target: Target = None) -> Heatmap:
    """Show what each pixel adds to the score, to first order.

    Where the network is linear without biases the map sums to the score. The input is the normalised
    one, so a pixel of the training set's mean colour counts for nothing.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given.

    Returns:
        Scores (N, H, W), signed, summed over colour channels, in units of the score.

    Raises:
        AddressError: no such target.

    Source: Shrikumar et al. 2016, arXiv:1605.01713, section 2.
    """
    batch = network.batch(images)
    found = gradient(network, batch, target)
    return heatmap(
        network,
        batch,
        (batch * found.values).sum(1),
        found.targets,
        found.scores,
        signed=True,
        meaning="What each pixel adds to the score, to first order",
    )
