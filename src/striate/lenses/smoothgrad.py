"""The lens `smoothgrad`: the gradient over noisy copies of the picture: its mean, square or variance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.lenses._lens import heatmap, lens
from striate.lenses._notes import rule_notes
from striate.network import Images, Network
from striate.results import Heatmap
from striate.streaming import in_chunks
from striate.tap import Gradient, Rule, gradient, settle
from striate.targets import Target

__all__ = ["smoothgrad"]


@lens
def smoothgrad(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    variant: Literal["mean", "square", "variance"] = "mean",
    rule: Rule = "gradient",
    seed: int = 0,
    chunk: int | None = None,
) -> Heatmap:
    """Show the gradient averaged over noisy copies of each picture.

    Every picture gets the same draws of noise, scaled to its own range, so a picture's map does not
    depend on what else is in the batch.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given.
        samples: noisy copies of each picture, at least 1 (2 for the variance).
        noise: standard deviation of the noise as a share of the picture's range (highest minus lowest value).
        variant: mean of the gradients (SmoothGrad), mean of their squares (SmoothGrad-squared), or their
            variance (VarGrad).
        rule: gradient, guided or deconvnet, as in saliency.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W), the largest over colour channels of |mean|, mean square, or variance.

    Raises:
        AddressError: no such target.
        OptionError: too few samples, or negative noise.

    Source: Smilkov et al. 2017, arXiv:1706.03825, section 3; Hooker et al. 2018, arXiv:1806.10758 (squared);
        Adebayo et al. 2018, arXiv:1810.03307 (VarGrad); Welford 1962 for the running variance.
    """
    least = 2 if variant == "variance" else 1
    if samples < least:
        raise OptionError(f"samples must be at least {least} for the {variant}, got {samples}.")
    if noise < 0:
        raise OptionError(f"noise must be 0 or more, got {noise}.")
    batch = network.batch(images)
    targets, scores = settle(network, batch, target)
    count = len(batch)
    spread = (noise * (batch.amax((1, 2, 3)) - batch.amin((1, 2, 3))).float()).tolist()
    mean = torch.zeros_like(batch, dtype=torch.float32)
    second = torch.zeros_like(mean)  # sum of squares, or of squared deviations from the running mean
    last: list[Gradient] = []

    def run(start: int, stop: int) -> None:
        pairs = range(start, stop)  # picture within sample
        rows = [pair % count for pair in pairs]
        draws = {sample: _draw(batch, seed, sample) for sample in range(start // count, (stop - 1) // count + 1)}
        noisy = batch[rows]  # a copy
        for picture, row, pair in zip(noisy, rows, pairs, strict=True):
            picture.add_(draws[pair // count], alpha=spread[row])
        found = gradient(network, noisy, targets.pick(rows), rule=rule, chunk=len(rows))
        # nothing counts until all of the piece is done
        new = {row: (mean[row].clone(), second[row].clone() if variant != "mean" else None) for row in set(rows)}
        for row, pair, value in zip(rows, pairs, found.values.float(), strict=True):
            new_mean, new_second = new[row]
            if variant == "square":
                assert new_second is not None
                new_second += value * value
                continue
            step = value - new_mean
            new_mean += step / (pair // count + 1)
            if new_second is not None:
                new_second += step * (value - new_mean)
        for row, (new_mean, new_second) in new.items():
            mean[row] = new_mean
            if new_second is not None:
                second[row] = new_second
        last[:] = [found]

    in_chunks(count * samples, run, size=network.piece(chunk), task="smoothgrad")
    values = {
        "mean": lambda: mean.abs(),
        "square": lambda: second / samples,
        "variance": lambda: second / (samples - 1),
    }
    return heatmap(
        network,
        batch,
        values[variant]().amax(1),
        targets,
        scores,
        signed=False,
        meaning={
            "mean": "Change of the score with each pixel, averaged over noise",
            "square": "Squared change of the score with each pixel, averaged over noise",
            "variance": "Variance of the gradient at each pixel under noise",
        }[variant],
        details={"rule": rule, "rectifiers": last[0].rectifiers},
        notes=rule_notes(last[0]),
    )


def _draw(batch: Tensor, seed: int, sample: int) -> Tensor:
    """Return the noise of one sample, (C, H, W), the same on every device and in every chunk."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + sample) % 2**63)
    return torch.randn(batch.shape[1:], generator=generator, device="cpu").to(batch)
