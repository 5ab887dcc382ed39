"""The report of a check of pictures: one HTML file with everything in it. Computes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from striate import __version__
from striate.files import shown, write_text
from striate.report.page import environment, style
from striate.report.pictures import photo_uri
from striate.results.folder_check import FolderCheck, Group

__all__ = ["check"]

_DRAWN = 60  # groups of a kind
_NOTES = {
    "Under two classes": "One of the labels must be wrong.",
    "On both sides": "Training and validation share them: what was learnt by heart would count as understood.",
    "The same": "Copies teach nothing new, and give their picture a double weight.",
    "Nearly the same": "Saved with other quality or size, or taken in one go.",
}
_LISTED = 200  # names of pictures in a list; the rest is counted


def check(result: FolderCheck, out: str | os.PathLike[str]) -> Path:
    """Write what a check found as a page.

    Args:
        result: what `striate.learn.check` returned.
        out: the HTML file; replaced whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    counts = result.counts.tolist()
    page = (
        environment()
        .get_template("check.html.j2")
        .render(
            result=result,
            sentences=result.sentences(),
            most=max([*counts, 1]),
            classes=sorted(
                zip(map(shown, result.class_names), counts, result.side_counts().T.tolist(), strict=True),
                key=lambda row: -row[1],
            ),
            groups=[
                {
                    "title": title,
                    "note": _NOTES[title],
                    "count": len(found),
                    "pairs": [_pair(result, one) for one in found[:_DRAWN]],
                }
                for title, found in result.kinds().items()
                if found
            ],
            broken=[_broken(shown(result.names[index]), shown(reason)) for index, reason in result.broken[:_LISTED]],
            style=style(),
            version=__version__,
        )
    )
    return write_text(out, page)


def _broken(name: str, reason: str) -> str:
    return reason if name in reason else f"{name}: {reason}"


def _pair(result: FolderCheck, group: Group) -> dict[str, Any]:
    first = group.members[:2]
    held = [result.examples[one] for one in first if one in result.examples]
    return {
        "photos": [photo_uri(pixels) for pixels in held] if len(held) == len(first) else [],
        "sentence": result.sentence(group),
    }
