"""The lens `predictions`: what the network says."""

from __future__ import annotations

from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import Predictions

__all__ = ["predictions"]


@lens
def predictions(network: Network, images: Images) -> Predictions:
    """Say what the network takes each picture for, and how sure it is.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.

    Returns:
        Logits (N, K), and their softmax.
    """
    batch = network.batch(images)
    logits = network(batch).float().cpu()
    return Predictions(
        logits=logits,
        probabilities=logits.double().softmax(1).float(),
        class_names=tuple(network.class_name(index) for index in range(logits.shape[1])) if network.class_names else (),
        pictures=network.spec.pixels(batch),
    )
