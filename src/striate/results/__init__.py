"""What lenses give back: numbers that know their recipe and how to draw themselves. Runs no network."""

from __future__ import annotations

from striate.results.activations import Activations
from striate.results.base import Recipe, Result, decode_array, encode_array, encode_json
from striate.results.drawn import Drawing
from striate.results.fields import ReceptiveFields
from striate.results.filters import FilterBank
from striate.results.heatmap import Heatmap
from striate.results.placement import place, stretch
from striate.results.predictions import Predictions

__all__ = [
    "Activations",
    "Drawing",
    "FilterBank",
    "Heatmap",
    "Predictions",
    "ReceptiveFields",
    "Recipe",
    "Result",
    "decode_array",
    "encode_array",
    "encode_json",
    "place",
    "stretch",
]
