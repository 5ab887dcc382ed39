"""The lectures' networks, the layers that PyTorch lacks, and a builder that deduces depths.

    module = striate.nets.create("vgg-c", classes=10, size=64)
    print(striate.nets.sequential("conv 32 3x3 relu, pool 2, flatten, dense 10", (1, 28, 28)))

`striate.load("striate:vgg-c,classes=10,size=64")` gives the same as a `Network`. Needs torch only.
"""

from striate.nets import layers
from striate.nets.builder import sequential
from striate.nets.catalogue import create, design, names
from striate.nets.design import Design
from striate.nets.initial import initialise
from striate.nets.layers import (
    DistanceWeightedPool2d,
    L2Pool2d,
    LocallyConnected1d,
    LocallyConnected2d,
    LocalResponseNorm,
    QuadrantSum2d,
    SameConv2d,
    TriangleConv2d,
    WhiteningConv2d,
)
from striate.nets.stack import Stack, summary

__all__ = [
    "Design",
    "DistanceWeightedPool2d",
    "L2Pool2d",
    "LocalResponseNorm",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "QuadrantSum2d",
    "SameConv2d",
    "Stack",
    "TriangleConv2d",
    "WhiteningConv2d",
    "create",
    "design",
    "initialise",
    "layers",
    "names",
    "sequential",
    "summary",
]
