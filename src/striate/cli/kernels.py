"""`striate kernels`: kernels by hand on a picture of one's own, and convolution as a matrix. Needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from striate.errors import OptionError

if TYPE_CHECKING:
    from striate.kernels import Kernel
    from striate.results import Result

__all__ = ["kernels"]

SHOWS = ("gradient", "surface", "matrix", "connections")
OWN = {  # which options go with what is shown; the kernel's own parameters go with --kernel
    "sheet": ("direction", "side"),
    "kernel": ("threshold", "side"),
    "rotations": ("side",),
    "gradient": ("side",),
    "surface": ("side", "smooth", "azimuth", "elevation", "by_height"),
    "matrix": ("stride", "padding", "dilation", "letters"),
    "connections": ("stride", "padding", "dilation", "layers"),
}
PARAMETERS = ("size", "sigma", "direction", "amount", "neighbours", "centred")


def _lengths(text: str) -> int | tuple[int, int]:
    """Read "9" or "6x8"."""
    if found := re.fullmatch(r"\s*(\d+)\s*(?:[xX×,]\s*(\d+))?\s*", text):
        return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))
    raise click.BadParameter(f"{text!r} is no size: write it as 9 or as 6x8 (rows x columns).")


def _padding(text: str) -> int | str | tuple[int, ...]:
    """Read a word, "1", "1x2" or "0,1,0,1"."""
    if re.fullmatch(r"[a-z]+", text):
        return text  # the library knows the words
    try:
        sides = tuple(int(part) for part in re.split(r"[xX×,]", text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no padding: valid, same, full, 1, 1x2 or 0,1,0,1.") from None
    return sides[0] if len(sides) == 1 else sides


@click.command("kernels", short_help="Lay kernels by hand on a picture: edges, blur, ...")
@click.argument("picture", required=False, type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="The kernels there are, with what they can be given.")
@click.option("--kernel", metavar="NAME", help="One kernel instead of the comparison.")
@click.option("--size", type=_lengths, metavar="N|HxW", help="Of blur, gaussian, sobel: pixels along each side.")
@click.option("--sigma", type=float, metavar="NUMBER", help="Of gaussian: its width in pixels.")
@click.option(
    "--direction",
    metavar="WORD",
    help="Where the bright side of an edge is: up, up-left, left, down-left, down, down-right, right, up-right; "
    "or all, with --kernel: the eight side by side.",
)
@click.option("--amount", type=float, metavar="NUMBER", help="Of sharpen: how much.")
@click.option("--neighbours", type=int, metavar="4|8", help="Of laplacian: how many it counts.")
@click.option("--centred", is_flag=True, default=None, help="Of difference: [-1, 0, 1] instead of [-1, 1].")
@click.option("--threshold", type=float, metavar="SHARE", help="Of the strongest answer: from here on it is found.")
@click.option("--gradient", is_flag=True, help="How steep and which way, by --kernel sobel, prewitt, edge, difference.")
@click.option("--surface", is_flag=True, help="The picture as an array and as a surface.")
@click.option("--smooth", type=float, metavar="SIGMA", help="Of the surface: blur it first, in pixels.")
@click.option("--azimuth", type=float, metavar="DEGREES", help="Of the surface: by how much it is turned.")
@click.option("--elevation", type=float, metavar="DEGREES", help="Of the surface: from how high it is seen.")
@click.option("--by-height", is_flag=True, default=None, help="Of the surface: coloured by its height.")
@click.option("--matrix", type=_lengths, metavar="N|HxW", help="The matrix of --kernel for an input of this size.")
@click.option("--letters", is_flag=True, default=None, help="Of the matrix: letters instead of numbers.")
@click.option("--connections", type=_lengths, metavar="N|HxW", help="Who sees whom, for an input of this size.")
@click.option("--layers", type=int, metavar="N", help="Of the connections: through so many layers.")
@click.option("--stride", type=_lengths, metavar="N|NxM", help="Of matrix and connections.")
@click.option(
    "--padding", type=_padding, metavar="WORD|N", help="Of matrix and connections: valid, same, full, 1, 1x2."
)
@click.option("--dilation", type=_lengths, metavar="N|NxM", help="Of matrix and connections.")
@click.option("--side", type=int, metavar="N", help="Make the picture smaller: pixels of its longer side.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default="kernels.png",
    show_default=True,
    help="Where the result goes: .png for the sheet, .json for the numbers, .npz for the arrays.",
)
def kernels(picture: Path | None, listed: bool, kernel: str | None, out: Path, **options: Any) -> None:
    """Lay kernels that people have written by hand on a picture.

    Without options: the comparison of simple edge, Sobel, Prewitt and Kirsch, of blur 3 and 9, of sharpening by 2
    and 8, with the gradient of the picture and where an edge is found. Each map stands beside its kernel's numbers.

    \b
    striate kernels cat.jpg --out sheet.png
    striate kernels cat.jpg --kernel kirsch --direction up-left
    striate kernels cat.jpg --kernel kirsch --direction all
    striate kernels cat.jpg --kernel blur --size 15
    striate kernels cat.jpg --gradient
    striate kernels cat.jpg --surface --by-height
    striate kernels --kernel laplacian --matrix 6x6
    striate kernels --kernel blur --connections 9 --layers 3 --padding same
    """  # noqa: D301 (click wants the character, not its name)
    from striate.results.base import SUFFIXES

    if listed:
        _list()
        return
    if out.suffix.lower() not in SUFFIXES:  # said before the work is done, not after
        raise OptionError(f"--out {out}: the name must end in one of {', '.join(SUFFIXES)}.")
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    shows = [name for name in SHOWS if name in given]
    if len(shows) > 1:
        raise OptionError(f"one thing at a time: --{shows[0]} and --{shows[1]} cannot be shown together.")
    show = shows[0] if shows else "sheet" if kernel is None else "kernel"
    asked = given.pop(show, None)
    if str(given.get("direction", "")).strip().lower() == "all":
        del given["direction"]
        show = _turned(show)
    made = _kernel(show, kernel, given)
    if strangers := [name for name in given if name not in OWN[show]]:
        raise OptionError(_stray(strangers[0], show))
    if show in ("matrix", "connections"):
        if picture is not None:
            raise OptionError(f"--{show} is of a kernel and a size, and takes no picture: leave {picture} out.")
        result = _laid(show, made, asked, given)
    elif picture is None:
        raise OptionError("name a picture: striate kernels PICTURE. (The kernels there are: striate kernels --list.)")
    else:
        result = _on_picture(show, made, kernel, picture, given)
    click.echo(result.caption())
    for drawing in result.drawings() if show in ("kernel", "sheet", "rotations") else []:
        click.echo(f"{drawing.title}  {drawing.caption}")
    click.echo(str(result.save(out)))


def _turned(show: str) -> str:
    """Check that all directions can be shown."""
    if show == "kernel":
        return "rotations"
    if show == "sheet":
        raise OptionError("--direction all is of one kernel: say which, as in --kernel kirsch --direction all.")
    raise OptionError(f"--direction all is a sheet of its own: leave --{show} out, or name one direction.")


def _kernel(show: str, name: str | None, given: dict[str, Any]) -> Kernel | None:
    """Make the kernel, and take its parameters out of what was given."""
    from striate.kernels import named

    own = [key for key in PARAMETERS if key in given]
    if show == "rotations":
        if own:
            raise OptionError(f"the eight directions are of kernels of 3 x 3 as they come: leave --{own[0]} out.")
        return None  # all eight are made
    if show == "gradient":
        if own:
            raise OptionError(f"the gradient takes the kernel to the right and downwards: leave --{own[0]} out.")
        return None  # it is made for both directions
    if name is None:
        if show in ("matrix", "connections"):
            raise OptionError(f"say of which kernel: --kernel NAME --{show} ... (striate kernels --list).")
        return None
    return named(name, **{key: given.pop(key) for key in own})


def _on_picture(show: str, made: Kernel | None, name: str | None, picture: Path, given: dict[str, Any]) -> Result:
    from striate.kernels import compare, look, rotations, slopes, surface

    if show == "surface":
        if made is not None:
            raise OptionError("--surface shows the picture itself: leave --kernel out. (--smooth blurs it.)")
        return surface(picture, **given)
    if show == "gradient":
        kind = cast(Literal["sobel", "prewitt", "edge", "difference"], (name or "sobel").strip().lower())
        return slopes(picture, kind, **given)
    if show == "rotations":
        return rotations(picture, cast(Literal["kirsch", "sobel", "prewitt", "edge"], name), **given)
    return compare(picture, **given) if made is None else look(picture, made, **given)


def _laid(show: str, made: Kernel | None, size: int | tuple[int, int], given: dict[str, Any]) -> Result:
    """Show a kernel as a matrix, or its connections; along one axis where the size is one number."""
    from striate.kernels import connections, convolution_matrix

    assert made is not None  # _kernel asked for it
    letters, layers = given.pop("letters", False), given.pop("layers", 1)
    if layers < 1:
        raise OptionError(f"--layers is a whole number from 1, got {layers}.")
    values: Any = made
    if isinstance(size, int):
        values = made.values[made.size[0] // 2]
        if made.size[0] > 1:
            click.echo(f"Along one axis: the middle row of {made.title}.", err=True)
    stack = []
    lengths: Any = size
    for _ in range(layers):
        stack.append(convolution_matrix(values, lengths, mode="correlation", **given))
        lengths = stack[-1].output_shape[1:]
    return stack[0].pattern(letters=letters) if show == "matrix" else connections(*stack)


def _list() -> None:
    from striate.kernels import by_hand

    rows = []
    for name in by_hand.names():
        words = []
        for key, default in by_hand.parameters(name).items():
            if isinstance(default, bool):
                words.append(f"--{key}")  # a switch
            else:
                words.append(f"--{key} {'N' if default is None else default}")
        rows.append((name, "  ".join(words), by_hand.summary(name)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, options, summary in rows:
        click.echo(f"{name:<{widths[0]}}  {options:<{widths[1]}}  {summary}")


def _stray(name: str, show: str) -> str:
    """Say where an option belongs that does not go with what is shown."""
    flag = f"--{name.replace('_', '-')}"
    if name in PARAMETERS and show == "sheet":
        return f"{flag} is of a kernel: say which, with --kernel NAME. (striate kernels --list says what each takes.)"
    homes = ["kernel"] * (name in PARAMETERS) or [home for home, own in OWN.items() if name in own]
    if show == "rotations":
        return f"--direction all shows the answers alone: leave {flag} out."
    where = {"sheet": "the comparison", "kernel": "--kernel", "rotations": "--direction all"}
    return f"{flag} goes with {' and '.join(where.get(home, f'--{home}') for home in homes)}."
