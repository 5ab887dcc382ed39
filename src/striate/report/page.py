"""What every report is put together with: sections found in a folder, templates, one style. Computes nothing.

A section is two files in a package of sections: NAME.py with PLACE, TITLE and build(visit), and NAME.html.j2, which
gets what build returned. A new one needs no edit elsewhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
from markupsafe import Markup

from striate.drawing import ACCENT, INK, NIGHT_INK, NIGHT_PAPER, PAPER, PARTNER
from striate.report.pictures import gradient
from striate.results.words import count, number, probability, seconds, shape, span

__all__ = ["Section", "environment", "pieces", "render", "script", "sections_in", "style"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    name: str
    place: int
    title: str
    template: str
    build: Callable[[Any], Mapping[str, Any] | None]


def pieces(package: ModuleType, visit: Any, **values: Any) -> list[Mapping[str, Any]]:
    """Let the sections of a package say their part, in a person's order; those that have nothing to say are left out.

    Args:
        package: that they lie in.
        visit: what the report is about.
        values: that every template gets.
    """
    return [
        {"name": section.name, "title": section.title, "html": html}
        for section in sections_in(package)
        if (html := render(section, visit, **values)) is not None
    ]


def render(section: Section, visit: Any, **values: Any) -> Markup | None:
    """Let a section say its part; None when it has nothing to say."""
    built = section.build(visit)
    if built is None:
        return None
    return Markup(environment().get_template(section.template).render(visit=visit, **{**values, **built}))


def environment() -> jinja2.Environment:
    """Return what reads the templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, probability=probability, seconds=seconds, shape=shape, sentence=_sentence)
    made.globals.update(span=span, count=count, gradient=gradient)
    return made


def style() -> Markup:
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


def script() -> Markup:
    """Return the page's script."""
    return Markup((HERE / "page.js").read_text(encoding="utf-8"))


def sections_in(package: ModuleType) -> Sequence[Section]:
    """Find the sections, in a person's order."""
    found = []
    folder = package.__name__.rpartition(".")[2]
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            part = importlib.import_module(f"{package.__name__}.{module.name}")
            template = f"{folder}/{module.name}.html.j2"
            found.append(Section(module.name, part.PLACE, part.TITLE, template, part.build))
    return sorted(found, key=lambda section: section.place)


def _sentence(text: str) -> str:
    """Begin an error's text, which is written to follow "error:", like a sentence of its own."""
    return text[:1].upper() + text[1:]
