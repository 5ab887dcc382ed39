"""What every result has: a recipe, drawings, and ways to be kept. Runs no network and knows no lens.

A result is numbers that know how to draw themselves. The recipe says how to make it again; it goes into every
file that is written (a PNG text chunk, a key of the JSON, an entry of the NPZ), so that a picture found in a
folder a year later still says where it came from.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.errors import OptionError
from striate.files import write_bytes, write_text
from striate.results._gallery import draw_gallery, figure_png
from striate.results.drawn import Drawing
from striate.results.words import seconds

__all__ = ["Json", "Recipe", "Result", "decode_array", "encode_array", "encode_json"]

Json = Any  # what json.dumps takes: None, bool, int, float, str, and lists and dicts of these

RECIPE_KEY = "striate"  # the name of the PNG text chunk
SUFFIXES = (".png", ".json", ".npz")


@dataclass(frozen=True)
class Recipe:
    """What is needed to make a result again, and what making it cost.

    Args:
        lens: name of the lens, such as "saliency".
        network: name of the network, such as "efficientnet_lite0".
        weights: hash of all its parameters and buffers.
        target: address explained in each picture; empty for a lens without a target.
        pictures: sixteen hexadecimal digits of each picture as the network was given it (two CRC-32).
        others: likewise of pictures that were given as options, by the name of the option.
        input: what the network expects of a picture (`InputSpec.to_dict`).
        options: all options of the lens as it ran, defaults included.
        version: version of Striate.
        seconds: wall-clock time, in seconds.
        device: such as "cpu" or "cuda:0".
        dtype: such as "float32".
        torch: version of PyTorch.
        notes: sentences on what the lens noticed or approximated.
    """

    lens: str = ""
    network: str = ""
    weights: str = ""
    target: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    input: Mapping[str, Json] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)
    version: str = ""
    seconds: float = 0.0
    device: str = ""
    dtype: str = ""
    torch: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Json]:
        """Return the recipe as plain dicts, lists, strings and numbers, ready for JSON."""
        plain = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Json]) -> Recipe:
        """Read what `to_dict` wrote."""
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        return cls(**known)

    def sentence(self) -> str:
        """Say in one line what was run: "saliency(rule='guided') of efficientnet_lite0, 41 ms on cpu"."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        place = f" on {self.device}" if self.device else ""
        network = f" of {self.network}" if self.network else ""
        return f"{self.lens or 'unnamed lens'}({options}){network}, {seconds(self.seconds)}{place}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Result(ABC):
    """Numbers of one lens over N pictures, with the recipe that made them."""

    recipe: Recipe = field(default_factory=Recipe)
    by_picture: ClassVar[bool] = True
    """Whether the drawings, where each picture has its share of them, are those of the pictures in their order."""

    @abstractmethod
    def caption(self) -> str:
        """Say in one or two sentences what this result shows, with its value range."""

    @abstractmethod
    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings as JSON; large arrays as `encode_array` writes them."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name, as they go into an NPZ file."""

    @abstractmethod
    def drawings(self) -> list[Drawing]:
        """Return the pictures to show, in order."""

    def figure(self) -> Figure:
        """Draw everything on one matplotlib Figure, without touching pyplot or its settings."""
        return draw_gallery(self.drawings(), heading=self.recipe.lens, caption=self.caption())

    def save(self, path: str | Path) -> Path:
        """Write the result; the suffix says how. What was there before stays whole if writing fails.

        Args:
            path: `.png` for the figure at twice the pixel density, `.json` for the numbers, `.npz` for the
                arrays. All three carry the recipe.

        Returns:
            The path written.

        Raises:
            OptionError: another suffix.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        recipe = json.dumps(self.recipe.to_dict())
        match path.suffix.lower():
            case ".png":
                write_bytes(path, figure_png(self.figure(), {RECIPE_KEY: recipe}))
            case ".json":
                write_text(path, encode_json({"recipe": self.recipe.to_dict(), **self.numbers()}))
            case ".npz":
                buffer = io.BytesIO()
                # the recipe is a text array, so that numpy.load needs no pickle
                np.savez_compressed(buffer, allow_pickle=False, recipe=np.array(recipe), **self.arrays())
                write_bytes(path, buffer.getvalue())
            case other:
                found = f"{other!r}" if other else "no suffix"
                raise OptionError(f"cannot save {path.name}: {found} is not one of {', '.join(SUFFIXES)}.")
        return path

    def _repr_html_(self) -> str:
        """Show the figure in a notebook, with caption, and the recipe folded away."""
        figure = self.figure()
        width = round(figure.get_figwidth() * 100)
        picture = base64.b64encode(figure_png(figure, {})).decode()
        recipe = html.escape(json.dumps(self.recipe.to_dict(), indent=2))
        caption = html.escape(self.caption(), quote=True)
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{picture}" alt="{caption}" '
            f'style="width:{width}px;max-width:100%">'
            f'<details style="font:12px monospace"><summary>{html.escape(self.recipe.sentence())}</summary>'
            f"<pre>{recipe}</pre></details></figure>"
        )


def encode_array(array: NDArray[Any]) -> dict[str, Json]:
    """Write a large array for JSON exactly and small: shape, dtype, and its bytes in base64 (C order).

    A map of 224 x 224 as digits would take four times the room and lose the last bits. `decode_array` reads it
    back; in a browser, `new Float32Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer)`.
    """
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "shape": list(array.shape),
        "dtype": little.dtype.str,
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def decode_array(encoded: Mapping[str, Json]) -> NDArray[Any]:
    """Read what `encode_array` wrote."""
    flat = np.frombuffer(base64.b64decode(encoded["base64"]), dtype=np.dtype(encoded["dtype"]))
    return flat.reshape(encoded["shape"]).copy()


def encode_json(value: Json) -> str:
    """Write JSON that every reader takes: not-a-number and infinite become null, tuples become lists."""
    text = json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)
    # a row of numbers reads better on one line; strings are safe, for they hold no raw line breaks
    return re.sub(r"\[\n[-+\d.eE,\snul]+\]", lambda match: re.sub(r"\s+", " ", match[0]), text)


def _finite(value: Json) -> Json:
    """Replace what strict JSON cannot hold, at any depth."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return value
