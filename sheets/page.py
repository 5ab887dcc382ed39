"""Writes docs/synthesis.md and its sheets from what was measured. Runs no network but for one example of fooling."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

import striate
from sheets.parts import Arrays, Settings
from sheets.subjects import SUBJECTS, Subject
from striate import drawing
from striate.files import write_bytes, write_text
from striate.results import Fooling
from striate.results.drawn import Pixels

__all__ = ["lines_of", "write_page"]

SIDE = 88  # pixels of a small picture
COLUMNS = 8
WANTED = 0.95


def write_page(docs: Path, found: Mapping[str, Mapping[str, Arrays]], settings: Settings) -> Path:
    """Write the page and its pictures, and return the page's path."""
    images = docs / "images" / "synthesis"
    subjects = [subject for subject in SUBJECTS if subject.name in found]
    text = [
        "# Pictures made from the network",
        "",
        "What the lenses `synthesize`, `class_picture` and `fooling` reach on trained networks. Written by "
        "`make synthesis-report` (`python -m sheets`), which keeps what it has measured in `build/synthesis`.",
        "",
        f"{datetime.date.today():%Y-%m-%d}, torch {version('torch')}, on the processor, seed {settings.seed}.",
        "",
        *_channel_table(subjects, found, settings),
        *_class_table(subjects, found, settings),
        *_fooling_table(subjects, found),
    ]
    for subject in subjects:
        text += [f"## {subject.title}", ""]
        for name, cells, words, about in _sheets(subject, found[subject.name]):
            path = images / f"{subject.name}-{name}.png"
            write_bytes(path, _png(_sheet(cells, words)))
            text += [f"![{about}]({path.relative_to(docs)})", "", about, ""]
    text += _example(docs, images)
    return write_text(docs / "synthesis.md", "\n".join(text))


def lines_of(subject: Subject, found: Mapping[str, Arrays]) -> list[str]:
    """Say the figures of one network in plain lines."""
    lines = []
    for layer in subject.layers:
        if f"channels-{layer}" in found and "real" in found:
            mean, peak, factor, count = _compared(layer, found)
            lines.append(
                f"  {layer}: {mean:.1%} of {count} channels exceed the best real mean, {peak:.1%} the best real unit; "
                f"median {factor:.2g} times"
            )
    if "classes" in found:
        part = found["classes"]
        first = part["probabilities"] >= part["best"]
        sure = first & (part["probabilities"] > 0.9)
        lines.append(f"  class pictures: {first.mean():.1%} said first, {sure.mean():.1%} above 0.9")
    for name in ("fooling-noise", "fooling-real"):
        if name in found:
            part = found[name]
            lines.append(
                f"  {name}: {part['succeeded'].mean():.1%} above 0.99, median {np.median(part['largest']):.0f} levels, "
                f"L2 {np.median(part['length']):.2g}"
            )
    return lines


def _compared(layer: str, found: Mapping[str, Arrays]) -> tuple[float, float, float, int]:
    """Return the shares of channels whose mean, and whose strongest unit, exceed those of every real picture."""
    made, real = found[f"channels-{layer}"], found["real"]
    chosen = made["channels"]
    means, peaks = real[f"{layer}-means"][chosen], real[f"{layer}-peaks"][chosen]
    positive = means > 0
    factor = float(np.median(made["means"][positive] / means[positive])) if positive.any() else float("nan")
    return float((made["means"] > means).mean()), float((made["peaks"] > peaks).mean()), factor, len(chosen)


def _channel_table(
    subjects: Sequence[Subject], found: Mapping[str, Mapping[str, Arrays]], settings: Settings
) -> list[str]:
    lines = [
        "## Channels",
        "",
        f"Pictures for the channels of a shallow, a middle and a deep layer (recipe `lucid`, {settings.steps} steps; "
        f"of layers with more than {settings.channels} channels so many, drawn by the seed). Of each the mean "
        "over the channel's map is compared with the largest mean that any real picture reaches, and the value of its "
        f"strongest unit with that of the strongest unit in any real picture. Wanted: {WANTED:.0%}.",
        "",
        "| network | layer | pictures | mean exceeds the best real | times as much (median) | strongest unit exceeds |",
        "|---|---|---|---|---|---|",
    ]
    for subject in subjects:
        for layer in subject.layers:
            mean, peak, factor, count = _compared(layer, found[subject.name])
            total = int(found[subject.name][f"channels-{layer}"]["of"])
            lines.append(
                f"| {subject.title} | `{layer}` | {count} of {total} channels | {mean:.1%} | {factor:.2g} | "
                f"{peak:.1%} |"
            )
    compared = "; ".join(
        f"{subject.title}: {int(found[subject.name]['real']['count']):,} {subject.pictures}" for subject in subjects
    )
    return [*lines, "", f"Real pictures, {compared}.", ""]


def _class_table(
    subjects: Sequence[Subject], found: Mapping[str, Mapping[str, Arrays]], settings: Settings
) -> list[str]:
    lines = [
        "## Class pictures",
        "",
        f"{settings.classes} classes drawn by the seed (of ten classes all, several times), recipe `lucid`, "
        f"{settings.class_steps} steps, at the network's own input size. What is made large is the score before "
        "softmax; what counts is what the network says of the picture of 8 bits.",
        "",
        "| network | pictures | class said first | with a probability above 0.9 | least probability |",
        "|---|---|---|---|---|",
    ]
    for subject in subjects:
        part = found[subject.name]["classes"]
        first = part["probabilities"] >= part["best"]
        sure = first & (part["probabilities"] > 0.9)
        lines.append(
            f"| {subject.title} | {len(first)} | {first.sum()} | {sure.sum()} | {part['probabilities'].min():.3f} |"
        )
    return [*lines, ""]


def _fooling_table(subjects: Sequence[Subject], found: Mapping[str, Mapping[str, Arrays]]) -> list[str]:
    lines = [
        "## Fooling",
        "",
        "The same classes, each from noise of its own (every number any of 256 levels), and each from another real "
        "picture. A picture counts when the network gives the class more than 0.99 after rounding to 8 bits. Changes "
        "are medians: the largest of any number in levels of 255 (L-infinity), and the length (L2) where values go "
        "from 0 to 1. Correlation: of neighbouring pixels, the largest of all; 0 in noise, near 1 in photographs.",
        "",
        "| network | from | pictures | above 0.99 | largest change | L2 | correlation |",
        "|---|---|---|---|---|---|---|",
    ]
    for subject in subjects:
        for name, start in (("fooling-noise", "noise"), ("fooling-real", "real pictures")):
            part = found[subject.name][name]
            alike = f"{np.abs(part['neighbours']).max():.3f}" if name == "fooling-noise" else ""
            lines.append(
                f"| {subject.title} | {start} | {len(part['succeeded'])} | {int(part['succeeded'].sum())} | "
                f"{np.median(part['largest']):.0f} (at most {part['largest'].max()}) | "
                f"{np.median(part['length']):.2f} | {alike} |"
            )
    return [*lines, ""]


def _sheets(subject: Subject, found: Mapping[str, Arrays]) -> list[tuple[str, list[Pixels], list[str], str]]:
    """Return name, pictures, words below each, and what they show."""
    sheets = []
    for layer in subject.layers:
        part, rows = found[f"channels-{layer}"], 2
        shown = _spread(len(part["channels"]), rows * COLUMNS)
        cells = [_small(part["pictures"][index]) for index in shown]
        words = [f":{part['channels'][index]}" for index in shown]
        sheets.append((f"{layer}", cells, words, f"`{layer}`, {len(shown)} channels"))
    part = found["classes"]
    shown = range(min(len(part["target"]), 3 * COLUMNS if subject.name.startswith("eff") else COLUMNS))
    cells = [_small(part["pictures"][index]) for index in shown]
    words = [str(part["target"][index]).removeprefix("class:") for index in shown]
    sheets.append(("classes", cells, words, f"Class pictures: the first {len(cells)} that were drawn"))
    return sheets


def _example(docs: Path, images: Path) -> list[str]:
    """Fool the network with a photograph that comes with scikit-image."""
    network = striate.load("efficientnet_lite0")
    photographs = (skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.coffee())
    batch = torch.stack([network.spec.preprocess(Image.fromarray(one)) for one in photographs])
    made = striate.lenses.fooling(network, ["class:toaster", "class:tabby", "class:volcano"], batch)
    assert isinstance(made, Fooling)
    cells, words = [], []
    for index in range(len(made)):
        change, times = made.change(index)
        before = np.moveaxis(made.starts[index], 0, -1)
        cells += [_resized(one, 2 * SIDE) for one in (before, made.shown(index), change)]
        said = [
            f"{made.named_before[index]} ({made.best_before[index]:.2f})",
            f"{made.named_after[index]} ({made.after[index]:.3f})",
            f"times {times}",
        ]
        words += said
    path = images / "fooling.png"
    write_bytes(path, _png(_sheet(cells, words, columns=3)))
    about = "Photographs before and after, and the change, made stronger: " + " ".join(
        f"{made.sentence(index)}.".replace("..", ".") for index in range(len(made))
    )
    return ["## A photograph that fools", "", f"![Before, after, the change]({path.relative_to(docs)})", "", about, ""]


def _spread(count: int, wanted: int) -> list[int]:
    """Choose places evenly from first to last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, wanted))})


def _small(values: np.ndarray) -> Pixels:
    """Turn (C, H, W) into a small picture to show; small networks' pixels stay hard."""
    shown = np.moveaxis(values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0), 0, -1)
    return _resized(np.ascontiguousarray(shown), SIDE)


def _resized(pixels: Pixels, side: int) -> Pixels:
    filter_ = Image.Resampling.NEAREST if pixels.shape[0] < side // 2 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize((side, side), filter_))


def _sheet(cells: Sequence[Pixels], words: Sequence[str], columns: int = COLUMNS) -> Pixels:
    labelled = [drawing.label(cell, text, size=11) for cell, text in zip(cells, words, strict=True)]
    return drawing.sheet(labelled, columns=columns, gap=4)


def _png(pixels: Pixels) -> bytes:
    """Encode with 256 colours: a third of the room, and nobody sees it at this size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(256, Image.Quantize.MEDIANCUT).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
