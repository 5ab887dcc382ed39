"""The lens `feature_ablation`: how far the score drops when one superpixel at a time is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import NetworkError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.patches import Patches, patch_scores
from striate.perturbation.precision import Precision
from striate.perturbation.readout import grouped, spread
from striate.perturbation.superpixels import Method, given, segment
from striate.results import Segments
from striate.targets import Target

__all__ = ["feature_ablation"]


@lens
def feature_ablation(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    superpixels: Method = "slic",
    segments: int = 50,
    baseline: Baseline = "grey",
    incremental: bool = True,
    precision: Precision = "float32",
    seed: int = 0,
    chunk: int | None = None,
    labels: Tensor | None = None,
) -> Segments:
    """Show how far the score drops when each superpixel alone is hidden.

    Exact and soon done: one pass for each superpixel, of which only what it changes is worked out. What
    several superpixels do together is not seen; `lime` and `kernel_shap` are for that. One picture with
    several targets is worked through once for all of them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        superpixels: slic (of about equal size, along edges), quickshift (of one colour, large and small), or grid.
        segments: about how many superpixels; quickshift finds its own number.
        baseline: what hides a superpixel: black, white, grey, mean, blur, noise, average (its own mean colour), or
            a colour ("#rrggbb" or its name).
        incremental: work out only what a superpixel changes; the same numbers, sooner.
        precision: of the arithmetic; bfloat16 is an approximation.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.
        labels: superpixels of one's own, whole numbers, (H, W) or (N, H, W).

    Returns:
        Scores (N, H, W), signed: at each pixel the drop of the score when its superpixel is hidden.

    Raises:
        AddressError: no such target.
        OptionError: no such baseline, or 1 superpixel only.
        NetworkError: a score is not a finite number.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2, with superpixels in the place of squares.
    """
    batch, targets, scores = spread(network, network.batch(images), target)
    own = None if labels is None else given(labels, batch)
    own_covers = fill(network, batch, baseline) if isinstance(baseline, Tensor) else None
    cut = torch.empty((len(batch), *batch.shape[2:]), dtype=torch.int64)
    weights: list[Tensor] = [torch.empty(0)] * len(batch)
    how: dict[str, object] = {}
    for first, rows in grouped(batch, own, own_covers):
        image = batch[first : first + 1]
        parts = segment(network.spec.pixels(image)[0], superpixels, segments) if own is None else own[first]
        cover = fill(network, image, baseline, seed, labels=parts[None])[0] if own_covers is None else own_covers[first]
        boxes, masks = _boxes(parts)
        asked = targets.pick(rows)
        scored = patch_scores(
            network,
            image,
            Patches(boxes, cover, masks),
            asked,
            incremental=incremental,
            precision=precision,
            chunk=chunk,
            task="ablation",
        )
        if not scored.values.isfinite().all():
            index, which = (~scored.values.isfinite()).nonzero()[0].tolist()
            raise NetworkError(
                f"the score of {asked.labels[which]} is {scored.values[index, which].item()} when superpixel {index} "
                "is hidden. Try another baseline; if that does not help, check the weights of the network."
            )
        drops = (scored.clean.double() - scored.values.double()).float()
        how = dict(scored.details)
        for column, row in enumerate(rows):
            cut[row], weights[row] = parts, drops[:, column]
    shown = heatmap(
        network,
        batch,
        torch.stack([one[own] for one, own in zip(weights, cut, strict=True)]),
        targets,
        scores,
        signed=True,
        meaning="Drop of the score when each superpixel is hidden",
        details={
            "superpixels": [len(one) for one in weights],
            "baseline": baseline if isinstance(baseline, str) else "given",
            **how,
        },
        notes=(f"Approximate: worked out in {precision}.",) * (precision != "float32"),
    )
    return Segments.over(shown, labels=cut, weights=tuple(weights))


def _boxes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the box around each superpixel (S, 4), and which of its pixels belong to it (S, h, w)."""
    count = int(labels.max()) + 1
    own = labels[None] == torch.arange(count)[:, None, None]  # (S, H, W)
    rows, columns = own.any(2), own.any(1)
    top, left = rows.int().argmax(1), columns.int().argmax(1)
    bottom = rows.shape[1] - rows.flip(1).int().argmax(1)
    right = columns.shape[1] - columns.flip(1).int().argmax(1)
    boxes = torch.stack([top, left, bottom, right], dim=1)
    masks = torch.zeros(count, int((bottom - top).max()), int((right - left).max()), dtype=torch.bool)
    for mask, one, (y, x, end, side) in zip(masks, own, boxes.tolist(), strict=True):
        mask[: end - y, : side - x] = one[y:end, x:side]
    return boxes, masks
