"""`striate lens`: one lens, with the options that its signature has. Knows no lens by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate import registry
from striate.address import GRAMMAR
from striate.cli.context import atlas_parameters
from striate.cli.source import SOURCES, Source, source_options
from striate.cli.words import check_layers, sort_words
from striate.errors import OptionError
from striate.registry import LensInfo, Option

if TYPE_CHECKING:
    from striate.results import Result

__all__ = ["command_of", "lens"]

_METAVARS = {"int": "N", "float": "NUMBER", "bool": "yes|no", "str": "TEXT"}


class _Lenses(click.Group):
    """A sub-command for each lens, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return registry.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of(cmd_name)


@click.group(
    "lens",
    cls=_Lenses,
    subcommand_metavar="NAME SOURCE [PICTURE]... [OPTIONS]",
    epilog="What a lens takes: striate lens NAME --help",
)
def lens() -> None:
    """Look at pictures through one lens."""


def command_of(name: str) -> click.Command:
    """Make the command of a lens from its signature.

    Raises:
        OptionError: no lens has this name.
    """
    return _make_command(registry.describe(name))


def _reader(option: Option) -> Callable[[str], object]:
    """Read a value of an option as the annotation in the signature says."""

    def read(text: str) -> object:
        try:
            return option.parse(text)
        except OptionError as error:
            raise click.BadParameter(str(error)) from None

    return read


def _make_command(info: LensInfo) -> click.Command:
    @source_options
    def run(source: Source, **values: Any) -> None:
        _look_through(info, source, **values)

    text = f"{info.summary}\n\n{info.doc}" if info.doc else info.summary
    epilog = (
        f"{SOURCES}\n\nADDRESS is {GRAMMAR}; it may stand among the words after SOURCE."
        if info.target is not None
        else SOURCES
    )
    made = click.command(info.name, help=text.replace("``", "`"), short_help=info.summary, epilog=epilog)(run)
    own: list[click.Parameter] = []
    if metavar := _words_after_source(info):
        required = "images" in info.required
        own.append(click.Argument(["words"], nargs=-1, required=required, metavar=metavar))
    if info.target is not None:
        option = replace(info.target, required=False)  # it may stand among the words as well
        if "images" in info.required:
            more = "Once for all pictures, or once for each."
        elif "images" in info.needs:
            more = "Several times for several; pictures are one for all of them, or one for each."
        else:
            more = "Several times for several."
        own.append(_make_option(option, metavar="ADDRESS", more=more))
    if "atlas" in info.needs:
        what = "The atlas of this network to look in; striate atlas build makes one."
        own += atlas_parameters(what, required="atlas" in info.required)
    own += [_make_option(option, more="Several times for several values.") for option in info.options]
    own.append(
        click.Option(
            ["--out"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            default=f"{info.name}.png",
            show_default=True,
            help="Where the result goes: .png for the picture, .json for the numbers, .npz for the arrays.",
        )
    )
    made.params[1:1] = own  # after SOURCE, before the options that say more of it
    return made


def _make_option(option: Option, *, metavar: str | None = None, more: str = "") -> click.Option:
    flag = f"--{option.name.replace('_', '-')}"
    # a sentence, as the other options have it; but a word to be typed keeps its form
    begins_with_choice = (option.help.split() or [""])[0].strip(",:;") in (option.choices or ())
    words = [option.help if begins_with_choice else option.help[:1].upper() + option.help[1:]]
    if option.many and more:
        words.append(more)
    if not option.required and option.default is not None:
        shown = {True: "yes", False: "no"}[option.default] if isinstance(option.default, bool) else option.default
        shown = ", ".join(map(str, shown)) if isinstance(shown, tuple | list) else shown
        words.append(f" [default: {shown}]")
    help_text = " ".join(words).strip()
    if option.kinds == ("bool",):
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, required=option.required, help=help_text)
    if metavar is None:
        metavar = f"[{'|'.join(option.choices or ())}]" if option.type == "choice" else _METAVARS[option.type]
    return click.Option(
        [flag],
        type=_reader(option),
        metavar=metavar,
        multiple=option.many,
        required=option.required,
        help=help_text,
    )


def _words_after_source(info: LensInfo) -> str:
    """Say what may stand after the network: pictures, addresses, both, or nothing."""
    words = []
    if "images" in info.needs:
        words.append("PICTURE..." if "images" in info.required else "[PICTURE]...")
    if info.target is not None:
        several = "..." if info.target.many else ""
        words.append(f"ADDRESS{several}" if info.target.required else f"[ADDRESS]{several}")
    return " ".join(words)


def _look_through(
    info: LensInfo,
    source: Source,
    *,
    out: Path,
    words: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """Load, look, save, and say what is to be seen and where it is."""
    from striate.files import shown
    from striate.images import find_images
    from striate.results.base import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:  # said before the work is done, not after
        raise OptionError(f"--out {out}: the name must end in one of {', '.join(SUFFIXES)}.")
    given = sort_words(info, words)
    if info.target is not None:
        named = options["target"] or ()
        options["target"] = (*((named,) if isinstance(named, str | int) else named), *given.addresses)
        if info.target.required and not options["target"]:
            raise click.UsageError(
                f"{info.name} needs an ADDRESS, such as class:0 or LAYER:CHANNEL (striate layers lists the layers).",
                click.get_current_context(silent=True),
            )
        if len(options["target"]) > 1 and not info.target.many:
            several = ", ".join(map(str, options["target"]))
            raise OptionError(f"{info.name} takes one address, got {len(options['target'])}: {several}.")
    # only what was typed is passed on: the defaults stand in the signature of the lens alone
    chosen = {name: value for name, value in options.items() if value is not None and value != ()}
    for name, value in chosen.items():
        if isinstance(value, tuple):
            chosen[name] = value[0] if len(value) == 1 else list(value)
    paths = find_images(given.pictures) if given.pictures else []
    network = source.load()
    check_layers(network, given.layers)
    if paths:
        from striate.reading import read

        reading = read(network, paths)
        paths, chosen["images"] = list(reading.paths), reading.images
        if reading.broken:
            click.echo(reading.sentence(), err=True)
    result = registry.function(info.name)(network, **chosen)
    for line in _sentences(result, [shown(path.name) for path in paths]):
        click.echo(line)
    for note in result.recipe.notes:  # what the lens noticed, approximated or put right
        click.echo(note)
    click.echo(str(result.save(out)))


def _sentences(result: Result, names: Sequence[str]) -> list[str]:
    """Say what the result shows, then what is to be said of each picture (or of each drawing)."""
    drawings = result.drawings()
    each = len(drawings) // max(len(names), 1)
    groups = [drawings[start : start + each] for start in range(0, len(drawings), each)] if each else []
    shared = not result.by_picture or len(groups) != len(names)
    if shared or any(drawing.title != group[0].title for group in groups for drawing in group):
        # not some drawings of each picture, one after the other, but something else
        return [result.caption(), *(f"{drawing.title}  {drawing.caption}" for drawing in drawings)]
    lines = [f"{name}  {group[0].title}  {group[0].caption}" for name, group in zip(names, groups, strict=True)]
    return [result.caption(), *lines]
