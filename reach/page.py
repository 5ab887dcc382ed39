"""Writes docs/reach.md from what was found. Runs no network."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reach.networks import TIMM_LEFT_OUT, TORCHVISION_LEFT_OUT

__all__ = ["write_page"]

COLUMNS = (
    "layers", "filters", "activations", "field", "gradient", "guided", "deconvnet", "input x gradient", "integrated",
    "smoothgrad", "grad-cam", "channel", "occlusion", "unchanged",
)  # fmt: skip


def write_page(path: Path, results: Sequence[dict[str, Any]]) -> int:
    """Write the page and return the number of networks with failures."""
    rows: list[str] = []
    notes: dict[str, int] = {}
    counts = {"ok": 0, "refused": 0, "failed": 0}
    for result in results:
        row, state = _row(result, notes)
        counts[state] += 1
        rows.append(row)
    text = [
        "# Reach",
        "",
        "Every classification convnet of torchvision, and the smallest network of every convnet family of timm, with "
        "random weights, twice: with 3 channels in a square picture, and with 1 channel in a picture that is not "
        "square. Checked are shapes, finite values, and that the network is bit-identical afterwards. Written by "
        "`make reach`.",
        "",
        f"{datetime.date.today():%Y-%m-%d}, torch {version('torch')}, torchvision {version('torchvision')}, "
        f"timm {version('timm')}: {len(results)} networks; {counts['ok']} pass everything, {counts['refused']} "
        f"pass with a clear refusal, {counts['failed']} fail.",
        "",
        *_square(results),
        "✓ passed; – refused with a reason, or beyond the network itself, the number says which; ✗ failed. Two signs: "
        "with 3 channels, and with 1 channel not square; one sign where both are alike. `field` is the receptive field "
        "of the last map's strongest unit, `channel` the gradient of a channel of the last map, `occlusion` that the "
        "scores worked out from what a patch changes are those of whole pictures, within 1e-4. Rows of the graph "
        "whose receptive field is unknown are counted after the slash.",
        "",
        "| network | rows | rectifiers | " + " | ".join(COLUMNS) + " | pictures |",
        "|" + " --- |" * (len(COLUMNS) + 4),
        *rows,
        "",
        "## Refusals and failures",
        "",
        *(f"{number}. {reason}" for reason, number in notes.items()),
        "",
        "## Left out",
        "",
        *(f"- {', '.join(names)}: {reason}." for reason, names in _left_out().items()),
        "",
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(text), encoding="utf-8")
    return counts["failed"]


def _square(results: Sequence[dict[str, Any]]) -> list[str]:
    """Name the networks that took no picture but a square one."""
    names = []
    for result in results:
        sizes = [variant["size"] for variant in list(result.get("variants", {}).values())[1:] if "size" in variant]
        if any(height == width for height, width in sizes):
            names.append(f"`{result['source']}`")
    return [f"Only square pictures are taken by {', '.join(names)} themselves.", ""] if names else []


def _left_out() -> dict[str, list[str]]:
    """Return what is left out, by reason."""
    names: dict[str, list[str]] = {}
    for prefix, reason in TORCHVISION_LEFT_OUT.items():
        names.setdefault(reason, []).append(f"torchvision `{prefix}*`")
    for module, reason in sorted(TIMM_LEFT_OUT.items()):
        names.setdefault(reason, []).append(f"timm `{module}`")
    return names


def _row(result: dict[str, Any], notes: dict[str, int]) -> tuple[str, str]:
    """Return the row of a network, and ok, refused or failed; new reasons get the next number in `notes`."""
    name = f"`{result['source']}`"
    if "broken" in result:
        sign = _sign(f"FAILED: {result['source']}: {result['broken']}", notes)
        return f"| {name} |  |  | " + " | ".join([sign] * len(COLUMNS)) + " |  |", "failed"
    variants = list(result["variants"].values())
    cells = []
    for look in COLUMNS:
        said = [
            variant.get("failed")
            or (
                "refused: " + variant["unable"]
                if "unable" in variant
                else variant["looks"].get(look, "FAILED: not run")
            )
            for variant in variants
        ]
        cells.append(" ".join(dict.fromkeys(_sign(one, notes) for one in said)))
    state = (
        "failed" if any("✗" in cell for cell in cells) else "refused" if any("–" in cell for cell in cells) else "ok"
    )
    first = variants[0]
    unknown = f"/{first['unknown']}" if first.get("unknown") else ""
    sizes = ", ".join("x".join(map(str, variant["size"])) for variant in variants if "size" in variant)
    lead = f"| {name} | {first.get('layers', '')}{unknown} | {first.get('rectifiers', '')} | "
    return lead + " | ".join(cells) + f" | {sizes} |", state


def _sign(said: str, notes: dict[str, int]) -> str:
    """Return the sign of one look, with the number of its reason."""
    if said == "ok":
        return "✓"
    reason = re.sub(r"\d+ (?=[A-Z])", "", said.removeprefix("refused: "))  # how many activations matters little
    number = notes.setdefault(reason, len(notes) + 1)
    return f"– {number}" if said.startswith("refused") else f"✗ {number}"
