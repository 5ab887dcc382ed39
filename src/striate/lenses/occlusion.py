"""The lens `occlusion`: how far the score drops as a patch slides over the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from striate.errors import NetworkError
from striate.lenses._lens import heatmap, lens
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.patches import Patches, patch_scores
from striate.perturbation.precision import Precision
from striate.perturbation.readout import Scored, grouped, spread
from striate.perturbation.windows import Windows, coarse_nodes, covered_mean, interpolated, slide
from striate.results import Heatmap
from striate.targets import Target, Targets

__all__ = ["occlusion"]

# A coarse window is refined where its drop is at least this share of the largest. Over eight photographs and
# EfficientNet-Lite0 (patch 16, stride 8) 47 % of the patches were run; the map's correlation with the full one was
# 0.98 (0.96 at worst), its largest error 22 % of the largest value (29 % at worst).
_MATTERS = 0.35


@lens
def occlusion(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    patch: int | Sequence[int] = 16,
    stride: int | Sequence[int] = 8,
    baseline: Baseline = "black",
    adaptive: bool = False,
    incremental: bool = True,
    precision: Precision = "float32",
    seed: int = 0,
    chunk: int | None = None,
) -> Heatmap:
    """Show how far the score drops when a patch covers each part of the picture.

    Each pixel gets the mean drop of all patches that cover it, so maps of different patches can be
    compared. Patches at the edge are cut off there; none is left out. One picture with several targets
    is covered once for all of them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: class, channel or unit; the top class of each picture unless given. One picture may have several.
        patch: side of the patch in pixels, or its height and width.
        stride: pixels from one patch to the next, at most the patch; or those down and across.
        baseline: what covers: black, white, grey, mean (the training set's mean colour), blur, noise, a colour
            (#rrggbb or a name), or a tensor of normalised values.
        adaptive: run a coarse grid first, and all patches only where its drops are large. Approximate: the other
            drops are interpolated.
        incremental: work out only what a patch changes; the same numbers, sooner.
        precision: of the arithmetic; bfloat16 is an approximation.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        Scores (N, H, W), signed, in units of the score: above zero the patch took away evidence for the target.
        `native` holds the drop of each patch by its place, (N, rows, columns).

    Raises:
        AddressError: no such target.
        OptionError: a patch larger than the picture, a patch or stride below 1, a stride beyond the patch, or
            no such baseline.
        NetworkError: a score is not a finite number.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2.
    """
    batch = network.batch(images)
    windows = slide((batch.shape[2], batch.shape[3]), patch, stride)
    covers = fill(network, batch, baseline, seed)
    batch, targets, scores = spread(network, batch, target)
    drops = torch.empty(len(batch), len(windows), dtype=torch.float64)
    runs: list[int] = []
    how: dict[str, object] = {}
    for first, rows in grouped(batch, covers if isinstance(baseline, Tensor) else None):
        image, cover, asked = batch[first : first + 1], covers[first], targets.pick(rows)

        def drops_of(
            chosen: Tensor, image: Tensor = image, cover: Tensor = cover, asked: Targets = asked
        ) -> tuple[Tensor, Scored]:
            """Cover the chosen windows one by one: (T, chosen)."""
            patches = Patches(windows.boxes[chosen], cover)
            scored = patch_scores(
                network, image, patches, asked, incremental=incremental, precision=precision, chunk=chunk
            )
            _check(scored.values, patches.boxes, asked)
            return (scored.clean.double() - scored.values.double()).T, scored

        if adaptive:
            drops[rows], ran, scored = _adaptively(windows, drops_of)
        else:
            drops[rows], scored = drops_of(torch.arange(len(windows)))
            ran = len(windows)
        runs.append(ran)
        how = dict(scored.details)
    notes = []
    if adaptive:
        share = sum(runs) / (len(windows) * len(runs))
        notes.append(
            f"Approximate: {sum(runs)} of {len(windows) * len(runs)} patches were run ({share:.0%}), those near large "
            "drops; the other drops are interpolated."
        )
    if precision != "float32":
        notes.append(f"Approximate: worked out in {precision}.")
    sides = f"{windows.patch[0]} x {windows.patch[1]}"
    colour = baseline if isinstance(baseline, str) else "given"
    strongest = drops.argmax(1)
    return heatmap(
        network,
        batch,
        covered_mean(windows.boxes, drops, windows.size),
        targets,
        scores,
        native=drops.view(-1, *windows.grid),
        signed=True,
        meaning=f"Drop of the score when {sides} pixels are covered ({colour})",
        details={
            "baseline": colour,
            "patch": list(windows.patch),
            "windows": len(windows),
            "windows_run": runs,
            "strongest_box": windows.boxes[strongest].tolist(),
            "strongest_drop": drops.gather(1, strongest[:, None]).flatten().tolist(),
            **how,
        },
        notes=tuple(notes),
    )


def _adaptively(windows: Windows, drops_of: Callable[[Tensor], tuple[Tensor, Scored]]) -> tuple[Tensor, int, Scored]:
    """Run a coarse grid of windows, then all windows near those whose drop is large for any target.

    Args:
        windows: all of them, M.
        drops_of: gives the drops (T, m) of chosen windows.

    Returns:
        Drops (T, M), how many windows were run, and what was said of the first run.
    """
    rows, columns = coarse_nodes(windows)
    coarse = (rows[:, None] * windows.grid[1] + columns).flatten()
    found, scored = drops_of(coarse)
    sizes = found.abs()
    hot = (sizes >= _MATTERS * sizes.amax(1, keepdim=True)).any(0).view(1, len(rows), len(columns))
    # a window has a share in a hot neighbour where the interpolated heat is above zero
    near = interpolated(hot.double(), rows, columns, windows.grid).flatten() > 0
    near[coarse] = False
    fine = near.nonzero().flatten()
    drops = interpolated(found.view(-1, len(rows), len(columns)), rows, columns, windows.grid).flatten(1)
    drops[:, coarse] = found
    if len(fine):
        drops[:, fine] = drops_of(fine)[0]
    return drops, len(coarse) + len(fine), scored


def _check(values: Tensor, boxes: Tensor, targets: Targets) -> None:
    """Refuse scores (M, T) that are not finite."""
    if values.isfinite().all():
        return
    index, which = (~values.isfinite()).nonzero()[0].tolist()
    top, left, bottom, right = boxes[index].tolist()
    raise NetworkError(
        f"the score of {targets.labels[which]} is {values[index, which].item()} when rows {top} to {bottom - 1} and "
        f"columns {left} to {right - 1} are covered, so there is no drop to show. Try another baseline; if that "
        "does not help, check the weights of the network."
    )
