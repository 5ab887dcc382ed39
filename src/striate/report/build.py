"""Make the report: visit the pictures, let each section say its part, write page and numbers. Computes nothing.

A section is two files in `sections/`: NAME.py with PLACE, TITLE and build(visit), and NAME.html.j2, which gets
what build returned. A new one needs no edit here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from striate import __version__
from striate.atlas import Atlas
from striate.atlas import open as open_atlas
from striate.drawing import ACCENT, INK, NIGHT_INK, NIGHT_PAPER, PAPER, PARTNER
from striate.files import write_text
from striate.network import Network
from striate.progress import Event, report
from striate.report import sections
from striate.report.numbers import numbers
from striate.report.pictures import gradient, photo_uri
from striate.report.visit import TASK, Visit, arrive
from striate.results import encode_json
from striate.results.words import count, number, probability, seconds, shape, span
from striate.targets import resolve

__all__ = ["look"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A part of the report, found in `sections/`."""

    name: str
    place: int
    title: str
    build: Callable[[Visit], Mapping[str, Any] | None]


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
    pieces = [
        {"name": section.name, "title": section.title, "html": html}
        for section in _sections()
        if (html := _render(section, visit)) is not None
    ]
    report(Event(TASK, len(visit.runs), len(visit.runs)))
    page = (
        _environment()
        .get_template("template.html.j2")
        .render(
            visit=visit,
            network=network,
            sections=pieces,
            photos=[photo_uri(pixels) for pixels in network.spec.pixels(visit.images)],
            style=_style(),
            script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
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


def _sections() -> list[Section]:
    """Find the sections, in a person's order."""
    found = []
    for module in pkgutil.iter_modules(sections.__path__):
        if not module.name.startswith("_"):
            part = importlib.import_module(f"{sections.__name__}.{module.name}")
            found.append(Section(module.name, part.PLACE, part.TITLE, part.build))
    return sorted(found, key=lambda section: section.place)


def _render(section: Section, visit: Visit) -> Markup | None:
    """Let a section say its part; None when it has nothing to say."""
    values = section.build(visit)
    if values is None:
        return None
    template = _environment().get_template(f"sections/{section.name}.html.j2")
    return Markup(template.render(visit=visit, network=visit.network, **values))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, probability=probability, seconds=seconds, shape=shape, sentence=_sentence)
    environment.globals.update(span=span, count=count, gradient=gradient)
    return environment


def _sentence(text: str) -> str:
    """Begin an error's text, which is written to follow "error:", like a sentence of its own."""
    return text[:1].upper() + text[1:]


def _style() -> Markup:
    """Return the style sheet, with the one set of colours that all faces use."""
    colours = {
        "paper": PAPER,
        "ink": INK,
        "night-paper": NIGHT_PAPER,
        "night-ink": NIGHT_INK,
        "accent": ACCENT,
        "partner": PARTNER,
        "magma": gradient(False),
        "diverging": gradient(True),
    }
    root = "".join(f"--{name}:{value};" for name, value in colours.items())
    return Markup(f":root{{{root}}}\n" + (HERE / "style.css").read_text(encoding="utf-8"))
