"""Make the report: visit the pictures, let each section say its part, write page and numbers. Computes nothing.

A section is two files in `sections/` (see `page`). A new one needs no edit here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from striate import __version__
from striate.atlas import Atlas
from striate.atlas import open as open_atlas
from striate.files import write_text
from striate.network import Network
from striate.progress import Event, report
from striate.report import sections
from striate.report.numbers import numbers
from striate.report.page import environment, pieces, script, style
from striate.report.pictures import photo_uri
from striate.report.visit import TASK, Visit, arrive
from striate.results import encode_json
from striate.targets import resolve

__all__ = ["look"]


def look(
    network: Network,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    target: str | None = None,
    trust: bool = True,
    atlas: Atlas | str | Path | None = None,
    on_broken: Callable[[Sequence[str]], None] | None = None,
) -> Path:
    """Look at pictures through all lenses, and write `report.html` and `results.json`.

    Pictures that cannot be read are listed in both, and do not stop the rest; so is a lens that refuses this
    network.

    Args:
        network: that is looked at.
        paths: pictures, and folders of pictures.
        out: folder to write to; made when it is not there.
        target: address of what is explained; the top class of each picture unless given.
        trust: also say how far to believe each explanation (`striate.trust`); takes about as long again.
        atlas: what this network saw in a data set, or its folder; puts the pictures in that context.
        on_broken: called with what is wrong with each picture that cannot be read, when there is one.

    Returns:
        The path of the report: one HTML file with everything in it.

    Raises:
        ImageError: not one picture can be read.
        AddressError: no such target.
        AtlasError: no atlas, or one of another network.
        OptionError: more pictures than a report holds.
        OutputError: the files cannot be written.
        Stopped: someone asked to stop; nothing is written.
    """
    held = _opened(network, atlas)
    visit = arrive(network, paths, target, trust=trust, atlas=held)
    if visit.broken and on_broken is not None:
        on_broken([broken.text for broken in visit.broken])
    if target is not None:  # a misspelt target is an error of the whole report, not a refusal of each lens
        _check(visit)
    parts = pieces(sections, visit, network=network)
    report(Event(TASK, len(visit.runs), len(visit.runs)))
    page = (
        environment()
        .get_template("template.html.j2")
        .render(
            visit=visit,
            network=network,
            sections=parts,
            photos=[photo_uri(pixels) for pixels in network.spec.pixels(visit.images)],
            style=style(),
            script=script(),
            version=__version__,
        )
    )
    folder = Path(out)
    write_text(folder / "results.json", encode_json(numbers(visit)))
    return write_text(folder / "report.html", page)


def _opened(network: Network, atlas: Atlas | str | Path | None) -> Atlas | None:
    """Open an atlas; a wrong one is an error of the whole report, not a refusal of each lens."""
    if atlas is None:
        return None
    held = atlas if isinstance(atlas, Atlas) else open_atlas(atlas)
    held.check(network)
    return held


def _check(visit: Visit) -> None:
    """Raise what is wrong with the target."""
    resolve(visit.network, visit.target, visit.images)
