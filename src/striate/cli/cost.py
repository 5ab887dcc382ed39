"""`striate cost`: what a layer costs as a convolution, locally connected, or in full. Parses and shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from striate.cli.layers import short
from striate.cli.tables import print_table

if TYPE_CHECKING:
    from striate.costs import Cost

__all__ = ["cost"]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def _sides(text: str) -> tuple[int, ...]:
    """Read whole numbers with an x between them."""
    if not re.fullmatch(r"\d{1,9}(x\d{1,9})*", text):
        raise click.BadParameter(f"{text!r} is no size. Write whole numbers with an x between them.")
    return tuple(int(part) for part in text.split("x"))


def _shape(text: str) -> tuple[int, int, int]:
    sides = _sides(text)
    if len(sides) != 3:
        raise click.BadParameter(f"{text!r} is no shape. Write channels x height x width, such as 3x224x224.")
    return sides[0], sides[1], sides[2]


def _pair(text: str) -> tuple[int, int]:
    sides = _sides(text)
    if len(sides) > 2:
        raise click.BadParameter(f"{text!r} is no size of a kernel. Write one number, or height x width.")
    return sides[0], sides[-1]


def _padding(text: str) -> str | tuple[int, int]:
    return text if text in ("valid", "same") else _pair(text)


@click.command("cost", short_help="Convolution, locally connected, full: what each costs.")
@click.argument("shape", type=_shape, metavar="CxHxW")
@click.option("--filters", type=int, required=True, metavar="N", help="Channels of the output.")
@click.option("--kernel", type=_pair, required=True, metavar="N|HxW", help="Height and width of a filter.")
@click.option("--stride", type=_pair, default="1", show_default=True, metavar="N|HxW", help="Between two windows.")
@click.option(
    "--padding", type=_padding, default="0", show_default=True, metavar="N|HxW|valid|same", help="On each side."
)
@click.option("--dilation", type=_pair, default="1", show_default=True, metavar="N|HxW", help="Between two taps.")
@click.option("--groups", type=int, default=1, show_default=True, metavar="N", help="Of channels filtered apart.")
@click.option("--bias/--no-bias", default=True, show_default=True, help="Whether a number is added to each map.")
@click.option(
    "--bytes", "size", type=click.IntRange(1), default=4, show_default=True, metavar="N", help="Of one number."
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for other tools.")
def cost(
    shape: tuple[int, int, int],
    filters: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: str | tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: bool,
    size: int,
    as_json: bool,
) -> None:
    """Compare what the same map costs as a convolution, locally connected, and as a full connection.

    CxHxW is the input of the layer: channels, height and width, such as 3x224x224. A convolution learns one set of
    weights for all places; a locally connected layer one for each place; a full connection one for each pair of an
    input and an output.
    """
    from typing import Any

    from striate.costs import compare, strided_and_downsampled

    settings: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    found = compare(shape, filters, kernel, **settings)
    strided, dense = strided_and_downsampled(shape, filters, kernel, **settings)
    if as_json:
        from striate.results import encode_json

        kinds = [{**one.to_dict(), "weight_bytes": one.weight_bytes(size)} for one in found]
        for one, kind in zip(found, kinds, strict=True):
            kind["activation_bytes"] = one.activation_bytes(size)
        click.echo(encode_json({"layers": kinds, "multiply_adds_before_down_sampling": dense.multiply_adds}))
        return
    given, made = (" x ".join(map(str, sides)) for sides in (found[0].inputs, found[0].outputs))
    click.echo(f"From {given} to {made}; activations take {memory(found[0].activation_bytes(size))} a picture.")
    headings = ("layer", "weights", "biases", "memory", "mult-adds", "operations", "times", "zeros in its matrix")
    print_table(headings, [_cells(one, found[0], size) for one in found])
    if dense.multiply_adds > strided.multiply_adds:
        times = dense.multiply_adds / strided.multiply_adds
        click.echo(
            f"At stride 1, then down-sampled, the same numbers take {short(dense.multiply_adds)} mult-adds: "
            f"{times:.3g} times as many."
        )


def memory(count: int) -> str:
    """Write a number of bytes with three digits: 59.6 GiB."""
    value, place = float(count), 0
    while value >= 999.5 and place < len(_UNITS) - 1:
        value, place = value / 1024, place + 1
    return f"{count} bytes" if place == 0 else f"{value:.3g} {_UNITS[place]}"


def _cells(one: Cost, first: Cost, size: int) -> tuple[str, ...]:
    times = one.operations / first.operations
    return (
        one.kind,
        f"{one.weights:,}",
        f"{one.biases:,}",
        memory(one.weight_bytes(size)),
        _large(one.multiply_adds),
        _large(one.operations),
        f"{times:,.0f}" if times >= 99.5 else f"{times:.3g}",
        _percent(one.sparsity),
    )


def _large(number: int) -> str:
    return f"{number:,}" if number < 1_000_000_000 else short(number)


def _percent(share: float) -> str:
    """Write a share so that it never reads as all when it is not."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    digits = 1
    while digits < 9 and f"{100 * share:.{digits}f}".startswith("100"):
        digits += 1
    return f"{100 * share:.{digits}f} %"
