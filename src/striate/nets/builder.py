"""A network from a line of text: depths are deduced, and what does not fit is named.

    sequential("conv 32 3x3 relu, pool 2, conv 64 3x3 relu, pool 2, flatten, dense 64 relu, dense 10", (1, 28, 28))

Reads the words and follows the shapes; the layers themselves are PyTorch's and those of `layers`.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import nn

from striate.errors import NetworkError, OptionError
from striate.nets.blank import undrawn
from striate.nets.initial import Initial, initialise
from striate.nets.layers import (
    DistanceWeightedPool2d,
    L2Pool2d,
    LocallyConnected2d,
    LocalResponseNorm,
    QuadrantSum2d,
    SameConv2d,
    ScaledTanh,
    TriangleConv2d,
)
from striate.nets.layers.quadrants import part_size
from striate.nets.stack import Stack
from striate.sizes import output_size

__all__ = ["sequential"]

_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "tanh": nn.Tanh,
    "scaledtanh": ScaledTanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky": lambda: nn.LeakyReLU(0.01),
    "softmax": lambda: nn.Softmax(1),
    "lrn": LocalResponseNorm,
}
_POOLS: dict[str, Callable[..., nn.Module]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
    "l2": L2Pool2d,
    "distance": DistanceWeightedPool2d,
}
_STARTS = ("conv", "local", "triangle", "pool", "global", "quadrants", "flatten", "dense", "bn", "dropout", *_PLAIN)
# after these words of a layer stands a number
_NUMBERED = {
    "conv": ("stride", "pad", "dilation", "groups"),
    "local": ("stride", "pad"),
    "triangle": ("stride",),
    "pool": ("stride", "pad"),
}
# how errors call a layer whose word says little
_CALLED = {"local": "a locally connected layer", "triangle": "a triangle layer", "dense": "a dense layer"}
_Shape = tuple[int, ...]


def sequential(
    text: str,
    input: tuple[int, int, int],
    *,
    initial: Initial = "glorot-uniform",
    generator: torch.Generator | None = None,
) -> Stack:
    """Build a network whose layers stand one after the other.

    Layers are separated by commas or lines. What follows a layer's own words are layers of their own: "conv 32 3x3
    bn relu" are three.

    - ``conv 32 3x3``: 32 filters of 3 x 3 (which need not be said), and ``stride 2`` or ``/2``, ``pad 1`` or
      ``same``, ``dilation 2``, ``groups 2``, ``nobias``; ``local`` likewise, with weights of its own at each place
    - ``pool 2`` (or ``3x2``), and ``stride 2`` or ``/2``, ``pad 1``; ``max`` (which need not be said),
      ``average``, ``l2``, ``distance``; ``global average``, ``global max``
    - ``triangle 400 6x6`` and ``stride 2``: how near a window is to each of 400 patterns (see `TriangleConv2d`);
      ``quadrants`` (or ``quadrants 3x2``): the sum of each part of the map
    - ``flatten``; ``dense 10``, ``nobias``; ``dropout 0.5``; ``bn``; ``lrn``
    - ``relu``, ``relu6``, ``leaky``, ``elu``, ``gelu``, ``silu``, ``sigmoid``, ``tanh``, ``scaledtanh``, ``softmax``

    Layers are called by their kind and number: ``conv1``, ``bn1``, ``relu1``, ``pool1``, ``conv2``, ...

    Args:
        text: the layers.
        input: (C, H, W) of the pictures.
        initial: how the first weights are drawn.
        generator: what draws them; PyTorch's own unless given.

    Returns:
        The network; `print` shows its table.

    Raises:
        OptionError: a word that is not understood; the text says in which layer.
        NetworkError: a layer does not fit what comes before it; likewise.
    """
    if len(input) != 3 or min(input) < 1:
        raise OptionError(f"input is channels, height and width of a picture, each at least 1; got {input}.")
    pieces = [" ".join(piece.split()) for piece in re.split(r"[,;\n]", text)]
    pieces = [piece for piece in pieces if piece]
    if not pieces:
        raise OptionError(
            'there are no layers in the text. Write such as "conv 32 3x3 relu, pool 2, flatten, dense 10".'
        )
    made_as = f"striate:sequential,{'x'.join(map(str, input))},{','.join(pieces)}"
    builder = _Builder(input)
    with undrawn():
        for number, piece in enumerate(pieces, start=1):
            try:
                builder.add(piece)
            except (NetworkError, OptionError) as error:
                raise type(error)(f"layer {number}: {piece!r}: {error}") from None
            builder.before = f"layer {number} ({piece})"
    stack = Stack(builder.layers, (input[0], input[1], input[2]), made_as)
    initialise(stack, initial, generator)
    return stack


class _Builder:
    """Layers so far, and the shape that the last one gives."""

    def __init__(self, input: tuple[int, int, int]) -> None:
        self.shape: _Shape = tuple(input)
        self.layers: OrderedDict[str, nn.Module] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.before = "the picture"

    def add(self, piece: str) -> None:
        """Add the layers that one piece of the text stands for."""
        words = piece.lower().split()
        while words:
            word = words.pop(0)
            if word in ("conv", "local"):
                self._window(word, words)
            elif word == "triangle":
                self._triangle(words)
            elif word == "pool":
                self._pool(words)
            elif word == "quadrants":
                self._quadrants(words)
            elif word == "global":
                self._global(words)
            elif word == "flatten":
                self._put(word, nn.Flatten(), (_product(self.shape),))
            elif word == "dense":
                self._dense(words)
            elif word == "bn":
                kind = nn.BatchNorm2d if len(self.shape) == 3 else nn.BatchNorm1d
                self._put(word, kind(self.shape[0]), self.shape)
            elif word == "dropout":
                self._dropout(words)
            elif word in _PLAIN:
                if word == "lrn":
                    self._map(word)
                self._put(word, _PLAIN[word](), self.shape)
            else:
                close = get_close_matches(word, _STARTS, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise OptionError(f"{word!r} is not understood.{hint} A layer is one of {', '.join(_STARTS)}.")

    def _put(self, kind: str, layer: nn.Module, shape: _Shape) -> None:
        self.counts[kind] += 1
        self.layers[f"{kind}{self.counts[kind]}"] = layer
        self.shape = shape

    def _map(self, what: str) -> tuple[int, int, int]:
        """Return the map that a layer works on."""
        if len(self.shape) != 3:
            raise NetworkError(
                f"{_CALLED.get(what, what)} works on a map, and {self.before} gives {self.shape[0]} numbers in a row. "
                "Put it before 'flatten'."
            )
        return self.shape[0], self.shape[1], self.shape[2]

    def _window(self, kind: str, words: list[str]) -> None:
        channels, height, width = self._map(kind)
        called = _CALLED.get(kind, kind).removeprefix("a ")
        filters = _number(words, f"how many filters the {called} has, as in '{kind} 32 3x3'")
        size = _pair(words) or (3, 3)
        given = _settings(kind, words, flags=("same", "nobias"))
        stride, pad = given.get("stride", (1, 1)), given.get("pad", (0, 0))
        bias = "nobias" not in given
        if kind == "local":
            if "same" in given:
                zeros = "x".join(str(length // 2) for length in dict.fromkeys(size))
                raise OptionError(
                    f"{_CALLED[kind]} takes no 'same': say how many zeros stand around the map, as in 'pad {zeros}'."
                )
            shape = self._fit(size, stride, pad, (1, 1))
            local = LocallyConnected2d(channels, filters, (height, width), size, stride, pad, bias=bias)
            return self._put(kind, local, (filters, *shape))
        dilation, (groups, other) = given.get("dilation", (1, 1)), given.get("groups", (1, 1))
        if groups != other:
            raise OptionError(f"groups is one number, got {groups}x{other}.")
        if channels % groups or filters % groups:
            raise NetworkError(f"{groups} groups divide {channels} maps into {filters} filters unevenly.")
        if "same" not in given:
            shape = self._fit(size, stride, pad, dilation)
            layer: nn.Module = nn.Conv2d(channels, filters, size, stride, pad, dilation, groups, bias)
        elif "pad" in given:
            raise OptionError("'same' finds the padding by itself: leave 'pad' out.")
        else:
            shape = (-(-height // stride[0]), -(-width // stride[1]))
            if stride == (1, 1) and all(length % 2 for length in size):  # PyTorch's own does it
                around = (dilation[0] * (size[0] // 2), dilation[1] * (size[1] // 2))
                layer = nn.Conv2d(channels, filters, size, 1, around, dilation, groups, bias)
            else:
                layer = SameConv2d(channels, filters, size, stride, dilation, groups, bias=bias)
        return self._put(kind, layer, (filters, *shape))

    def _triangle(self, words: list[str]) -> None:
        channels, _, _ = self._map("triangle")
        filters = _number(words, "how many patterns there are, as in 'triangle 400 6x6'")
        size = _pair(words) or (6, 6)
        stride = _settings("triangle", words, flags=()).get("stride", (1, 1))
        shape = self._fit(size, stride, (0, 0), (1, 1))
        self._put("triangle", TriangleConv2d(channels, filters, size, stride), (filters, *shape))

    def _fit(
        self, size: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], dilation: tuple[int, int]
    ) -> tuple[int, int]:
        """Return how many places a window has on the map."""
        axes = zip(self.shape[1:], size, stride, pad, dilation, strict=True)
        places = [output_size(*axis) for axis in axes]
        if not all(places):
            reach = [step * (length - 1) + 1 for length, step in zip(size, dilation, strict=True)]
            padded = f", padded by {pad[0]} x {pad[1]}" if any(pad) else ""
            most = [length + 2 * around for length, around in zip(self.shape[1:], pad, strict=True)]
            raise NetworkError(
                f"a window of {reach[0]} x {reach[1]} does not fit the map of {self.shape[1]} x {self.shape[2]} that "
                f"{self.before} gives{padded}. Take one of at most {most[0]} x {most[1]}, or {'more ' * any(pad)}'pad'"
                f"{', or pool less before' if self.layers else ''}."
            )
        return places[0], places[1]

    def _pool(self, words: list[str]) -> None:
        channels, _, _ = self._map("pool")
        size = _pair(words) or (2, 2)
        given = _settings("pool", words, flags=tuple(_POOLS))
        kinds = [kind for kind in _POOLS if kind in given] or ["max"]
        if len(kinds) > 1:
            raise OptionError(f"a pool is {' or '.join(kinds)}, not all of them.")
        stride, pad = given.get("stride", size), given.get("pad", (0, 0))
        if any(2 * around > length for around, length in zip(pad, size, strict=True)):
            raise OptionError(f"padding of {pad[0]} x {pad[1]} is more than half the window of {size[0]} x {size[1]}.")
        shape = self._fit(size, stride, pad, (1, 1))
        self._put("pool", _POOLS[kinds[0]](size, stride, pad), (channels, *shape))

    def _global(self, words: list[str]) -> None:
        channels, _, _ = self._map("global pooling")
        kind = words.pop(0) if words else ""
        kinds: dict[str, Callable[[int], nn.Module]] = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
        if kind not in kinds:
            raise OptionError("say which: 'global average' or 'global max'.")
        self._put("pool", kinds[kind](1), (channels, 1, 1))

    def _quadrants(self, words: list[str]) -> None:
        channels, height, width = self._map("quadrants")
        parts = _pair(words) or (2, 2)
        part_size((height, width), parts)  # raises where it cannot be cut so
        self._put("quadrants", QuadrantSum2d(parts), (channels, *parts))

    def _dense(self, words: list[str]) -> None:
        units = _number(words, "how many units the dense layer has, as in 'dense 10'")
        bias = "nobias" not in _settings("dense", words, flags=("nobias",))
        if len(self.shape) != 1:
            shape = " x ".join(map(str, self.shape))
            raise NetworkError(
                f"a dense layer takes numbers in a row, and {self.before} gives maps of {shape}. "
                "Put 'flatten' before it (or 'global average, flatten')."
            )
        self._put("dense", nn.Linear(self.shape[0], units, bias), (units,))

    def _dropout(self, words: list[str]) -> None:
        try:
            rate = float(words.pop(0)) if words else 0.5
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1:
            raise OptionError("dropout takes the share that is dropped, from 0 up to but not 1, as in 'dropout 0.3'.")
        self._put("dropout", nn.Dropout(rate), self.shape)


def _product(shape: _Shape) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _number(words: list[str], what: str) -> int:
    """Take a whole number of at least 1 off the words."""
    if not words or not words[0].isdecimal() or int(words[0]) < 1:
        found = f", not {words[0]!r}" if words else ""
        if words and re.fullmatch(r"\d+x\d+", words[0]):
            found += " (that is a size, and stands behind it)"
        raise OptionError(f"say {what}: a whole number of at least 1{found}.")
    return int(words.pop(0))


def _pair(words: list[str], *, least: int = 1) -> tuple[int, int] | None:
    """Take "3" or "3x5" off the words."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", words[0]) if words else None
    if found is None:
        return None
    sizes = int(found[1]), int(found[2] or found[1])
    if min(sizes) < least:
        raise OptionError(f"sizes are at least {least}, got {words[0]!r}. Write such as '3', or '3x5' for two sides.")
    words.pop(0)
    return sizes


def _settings(kind: str, words: list[str], *, flags: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Take a layer's settings off the words, up to the first that is none of them."""
    given: dict[str, tuple[int, int]] = {}
    while words:
        if words[0].startswith("/"):
            words[:1] = ["stride", words[0][1:]]
        word = words[0]
        if word in flags:
            given[word] = (1, 1)
            words.pop(0)
        elif word in _NUMBERED.get(kind, ()):
            words.pop(0)
            value = _pair(words, least=0 if word == "pad" else 1)
            if value is None:
                found = f", not {words[0]!r}" if words and words[0] else ""
                raise OptionError(f"say how much {word!r}, as in '{word} 2' or '{word} 2x1'{found}.")
            given[word] = value
        elif word in _STARTS:
            break
        else:
            raise OptionError(_stranger(kind, word, flags))
    return given


def _stranger(kind: str, word: str, flags: tuple[str, ...]) -> str:
    """Say what to write instead of a word that does not belong to a layer."""
    called, numbered = _CALLED.get(kind, kind), _NUMBERED.get(kind, ())
    flags = tuple(flag for flag in flags if (kind, flag) != ("local", "same"))  # it is known, and refused
    own = [f"'{name} {1 if name == 'pad' else 2}'" for name in numbered] + [f"'{flag}'" for flag in flags]
    takes = f"It takes {', '.join(own)}." if own else "It takes nothing more."
    if word in {name for names in _NUMBERED.values() for name in names} | {"same", "nobias", *_POOLS}:
        return f"{called} takes no {word!r}. {takes}"
    if word.isdecimal():
        meant = (
            f", as in '{numbered[0]} {word}', or write a size of two sides as '3x5'"
            if numbered
            else ": one number is all it has"
        )
        return f"the number {word!r} stands alone: say what it is for{meant}. {takes}"
    if re.fullmatch(r"[-+\dx×*.]+|by", word):
        return f"{word!r} is no size: write whole numbers without spaces, '3x5', or '3' for both. {takes}"
    close = get_close_matches(word, [*numbered, *flags, *_STARTS], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{word!r} is not understood after {called}.{hint} {takes} Then comes the next layer."
