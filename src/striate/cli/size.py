"""`striate size`: how large the output of a window is, by every rule. Parses and shows; `sizes` does the arithmetic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from striate.cli.tables import print_table

if TYPE_CHECKING:
    from striate.sizes import Fit

__all__ = ["size"]


def _length(text: str) -> int:
    """Read the length of one axis."""
    try:
        return int(text)
    except ValueError:
        hint = " Take one axis at a time." if re.fullmatch(r"\d+[xX×,]\d+", text) else ""
        raise click.BadParameter(f"{text!r} is no whole number.{hint}") from None


@click.command("size", short_help="How large the output of a kernel is; does it fit?")
@click.argument("length", type=_length)
@click.option("--kernel", type=int, required=True, metavar="N", help="Taps of the kernel.")
@click.option("--stride", type=int, default=1, show_default=True, metavar="N", help="Elements between two windows.")
@click.option("--padding", type=int, default=0, show_default=True, metavar="N", help="Elements on each side.")
@click.option("--dilation", type=int, default=1, show_default=True, metavar="N", help="Elements between two taps.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for other tools.")
def size(length: int, kernel: int, stride: int, padding: int, dilation: int, as_json: bool) -> None:
    """Say how many windows of a kernel fit along an input of LENGTH elements, by every rule in use.

    Valid takes no padding and drops what does not fit. Same pads as much as makes the output LENGTH / STRIDE long,
    rounded up, the odd element at the end (TensorFlow). With --padding, floor drops what does not fit and ceil lets
    the last window hang over the end (PyTorch).
    """
    from striate.errors import OptionError
    from striate.sizes import Padding, fit

    asked = fit(length, kernel, stride, padding=padding, dilation=dilation)
    found: dict[str, Fit | None] = {}
    rules: list[tuple[str, Padding, bool]] = [("valid", "valid", False), ("same", "same", False)]
    rules += [(f"padding {padding}, floor", padding, False), (f"padding {padding}, ceil", padding, True)]
    for name, pads, ceil in rules:
        try:
            found[name] = fit(length, kernel, stride, padding=pads, dilation=dilation, ceil=ceil)
        except OptionError:  # what was asked for fits; without its padding it may not
            found[name] = None
    if as_json:
        from striate.results import encode_json

        click.echo(encode_json({name: None if one is None else _numbers(one) for name, one in found.items()}))
        return
    sentence = asked.sentence()
    click.echo(f"{sentence[:1].upper()}{sentence[1:]}.")
    print_table(
        ("rule", "outputs", "padded before", "after", "used", "dropped", "hangs over"),
        [(name, *_cells(one)) for name, one in found.items()],
    )


def _cells(found: Fit | None) -> tuple[str, ...]:
    if found is None:
        return ("0", "0", "0", "", "", "")
    numbers = (found.outputs, found.before, found.after, found.used, found.dropped, found.overhang)
    return tuple(f"{number:,}" for number in numbers)


def _numbers(found: Fit) -> dict[str, int | float | bool]:
    return {
        "outputs": found.outputs,
        "positions": float(found.positions),
        "exact": found.exact,
        "before": found.before,
        "after": found.after,
        "used": found.used,
        "dropped": found.dropped,
        "overhang": found.overhang,
    }
