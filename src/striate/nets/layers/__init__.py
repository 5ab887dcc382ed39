"""Layers that PyTorch lacks, as the lectures have them. Each is an `nn.Module` like any other; knows no network."""

from striate.nets.layers.locally_connected import LocallyConnected1d, LocallyConnected2d
from striate.nets.layers.pooling import DistanceWeightedPool2d, L2Pool2d
from striate.nets.layers.quadrants import QuadrantSum2d
from striate.nets.layers.response_norm import LocalResponseNorm
from striate.nets.layers.same import SameConv2d
from striate.nets.layers.scaled import ScaledAveragePool2d, ScaledTanh
from striate.nets.layers.table import TableConv2d
from striate.nets.layers.triangle import TriangleConv2d
from striate.nets.layers.whitening import WhiteningConv2d

__all__ = [
    "DistanceWeightedPool2d",
    "L2Pool2d",
    "LocalResponseNorm",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "QuadrantSum2d",
    "SameConv2d",
    "ScaledAveragePool2d",
    "ScaledTanh",
    "TableConv2d",
    "TriangleConv2d",
    "WhiteningConv2d",
]
