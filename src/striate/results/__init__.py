"""What lenses give back: numbers that know their recipe and how to draw themselves. Runs no network."""

from __future__ import annotations

from striate.results.activations import Activations
from striate.results.agreement import Agreement
from striate.results.arithmetic import Arithmetic, Computed
from striate.results.base import Recipe, Result, decode_array, encode_array, encode_json
from striate.results.connections import Connections
from striate.results.cross_section import CrossSection, Level
from striate.results.deletion import DeletionCurves
from striate.results.drawn import Drawing
from striate.results.equivariance import Equivariance, Movement
from striate.results.fields import ReceptiveFields
from striate.results.filters import FilterBank
from striate.results.heatmap import Heatmap
from striate.results.kernel_sheet import KernelSheet
from striate.results.pattern import MatrixPattern
from striate.results.placement import place, stretch
from striate.results.pointing import Pointing
from striate.results.predictions import Predictions
from striate.results.randomisation import Randomisation
from striate.results.segments import Segments
from striate.results.stability import Stability
from striate.results.surface import Surface

__all__ = [
    "Activations",
    "Agreement",
    "Arithmetic",
    "Computed",
    "Connections",
    "CrossSection",
    "DeletionCurves",
    "Drawing",
    "Equivariance",
    "FilterBank",
    "Heatmap",
    "KernelSheet",
    "Level",
    "MatrixPattern",
    "Movement",
    "Pointing",
    "Predictions",
    "Randomisation",
    "ReceptiveFields",
    "Recipe",
    "Result",
    "Segments",
    "Stability",
    "Surface",
    "decode_array",
    "encode_array",
    "encode_json",
    "place",
    "stretch",
]
