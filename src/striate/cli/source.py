"""The network that a command looks at: its argument and options, and its loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.errors import NetworkError

if TYPE_CHECKING:
    from striate.network import Network

__all__ = ["SOURCES", "Source", "source_options"]

SOURCES = (
    "SOURCE is efficientnet_lite0, torchvision:NAME, timm:NAME, striate:NAME (untrained), a file written by "
    "Network.save, a .pt2 program, or a state dict (.pt, .pth, .safetensors) with --factory."
)


@dataclass(frozen=True)
class Source:
    """A network as it is named on the command line; attributes as the options of `source_options`."""

    source: str
    factory: str | None = None
    device: str | None = None
    untrained: bool = False
    class_names: Path | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def load(self) -> Network:
        """Load the network; this is where torch is imported.

        Raises:
            StriateError: it cannot be loaded, or the options do not say enough.
        """
        from striate.sources import load

        return load(
            self.source,
            factory=self.factory,
            device=self.device,
            pretrained=not self.untrained,
            spec=self._changes() or None,
            class_names=None if self.class_names is None else _read_names(self.class_names),
        )

    def _changes(self) -> dict[str, Any]:
        """Return what --channels to --std say of the input; the rest stays as the source says."""
        given: dict[str, Any] = {"channels": self.channels, "mean": self.mean, "std": self.std}
        given["height"] = self.width if self.height is None else self.height
        given["width"] = self.height if self.width is None else self.width
        changes = {name: value for name, value in given.items() if value is not None}
        if "height" in changes:
            changes["resize"] = None  # the source's own resizing leads to the source's own size
        return changes


def _numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 0.485,0.456,0.406.") from None


def source_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument SOURCE and the options that go with it, as one `Source`."""
    options: list[Callable[[Any], Any]] = [
        click.argument("source"),
        click.option(
            "--factory",
            metavar="MODULE:FUNCTION",
            help="What builds the network for a state dict: striate:NAME, package.module:function or file.py:function.",
        ),
        click.option("--device", metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps."),
        click.option("--untrained", is_flag=True, help="Random weights instead of the trained ones."),
        click.option(
            "--class-names",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Names of the classes, one a line.",
        ),
        click.option("--channels", type=int, metavar="N", help="Channels of the input, where the file does not say."),
        click.option("--height", type=int, metavar="N", help="Height of the input in pixels; the width when left out."),
        click.option("--width", type=int, metavar="N", help="Width of the input in pixels; the height when left out."),
        click.option(
            "--mean",
            type=_numbers,
            metavar="M,M,M",
            help="Mean of each channel (or one for all), of values in [0, 1].",
        ),
        click.option(
            "--std", type=_numbers, metavar="S,S,S", help="Standard deviation of each channel (or one for all)."
        ),
    ]

    @wraps(function)
    def with_source(*, source: str, **values: Any) -> None:
        own = {name: values.pop(name) for name in list(values) if name in Source.__dataclass_fields__}
        function(source=Source(source, **own), **values)

    decorated: Callable[..., None] = with_source
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _read_names(path: Path) -> list[str]:
    try:
        names = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path}: cannot be read as class names ({error}). Write one a line, in UTF-8.") from error
    while names and not names[-1].strip():
        names.pop()
    return [name.strip() for name in names]
