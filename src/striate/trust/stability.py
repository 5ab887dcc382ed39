"""Does a map survive a little noise in the picture?"""

from __future__ import annotations

import time

import torch

from striate.errors import OptionError
from striate.network import Images, Network
from striate.progress import track
from striate.results import Stability
from striate.targets import Target
from striate.trust._recipe import recipe
from striate.trust.curves import together
from striate.trust.explainers import Lenses, explain, explainers
from striate.trust.similarity import Measure, measure

__all__ = ["stability"]


def stability(
    network: Network,
    images: Images,
    lenses: Lenses,
    target: Target = None,
    *,
    noise: float = 0.02,
    samples: int = 4,
    similarity: Measure = "rank",
    seed: int = 0,
) -> Stability:
    """Redraw the maps of slightly noisy pictures, and compare them with those of the clean ones.

    The target stays that of the clean picture. A map that noise nobody sees rearranges says little about what a
    person sees in the picture.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        lenses: one or several to be judged, by name or as functions.
        target: class, channel or unit; the top class of each picture unless given.
        noise: standard deviation of the Gaussian noise, where black is 0 and white is 1; 0.02 is 5 of 255 levels.
        samples: noisy copies of each picture, at least 1; every picture gets the same draws.
        similarity: "rank" (Spearman, of absolute values) or "ssim" (of structure).
        seed: of the noise.

    Returns:
        For each lens, picture and copy the similarity to the map of the clean picture.

    Raises:
        OptionError: a lens that gives no heatmap, `noise` not above 0, `samples` below 1.

    Source: the average sensitivity of Yeh et al. 2019, arXiv:1901.09392, with the similarity in place of a distance.
    """
    started = time.perf_counter()
    if not noise > 0 or samples < 1:
        raise OptionError(f"noise must be above 0 and samples at least 1, got {noise} and {samples}.")
    compare = measure(similarity)
    judged = explainers(lenses)
    batch = network.batch(images)
    before = {one.name: explain(one, network, batch, target) for one in judged}
    rows, labels = together(before, batch)
    generator = torch.Generator().manual_seed(seed)
    found = torch.empty(len(judged), len(rows), samples, dtype=torch.float64)
    pixels = network.spec.denormalise(batch)
    for sample in track(range(samples), "stability"):
        draw = torch.randn(batch.shape[1:], generator=generator, device="cpu").to(batch)
        noisy = network.spec.normalise(pixels + noise * draw)
        for index, one in enumerate(judged):
            after = explain(one, network, noisy, list(labels))
            found[index, :, sample] = compare(before[one.name].scores, after.scores).nan_to_num(nan=0.0)
    options = {"noise": noise, "samples": samples, "similarity": similarity, "seed": seed}
    return Stability(
        names=tuple(before),
        similarity=found,
        noise=noise,
        measure=similarity,
        target=labels,
        pictures=network.spec.pixels(rows),
        recipe=recipe("stability", network, labels, options, started),
    )
