"""Kernels without training: by hand, random, learned without labels; convolving pictures, and the matrix behind it.

`convolve(picture, sobel("right"), mode="correlation", padding="same")` gives numbers, `compare("cat.jpg")` the
lecture's sheet, `convolution_matrix([1, 2, 3], size=9).pattern()` the matrix drawn, and
`learn_kernels("flowers", count=64).bank()` what k-means finds in patches of pictures.
"""

from __future__ import annotations

from striate.kernels.answers import Gradient, found, gradient
from striate.kernels.bank import bank
from striate.kernels.by_hand import (
    DIRECTIONS,
    Kernel,
    blur,
    difference,
    edge,
    gaussian,
    identity,
    kirsch,
    laplacian,
    named,
    names,
    prewitt,
    rotated,
    sharpen,
    sobel,
)
from striate.kernels.connecting import connections
from striate.kernels.convolving import convolve
from striate.kernels.learned import learn_kernels, single_layer
from striate.kernels.matrix import ConvolutionMatrix, convolution_matrix
from striate.kernels.random import random_filters
from striate.kernels.sheets import compare, look, rotations, slopes
from striate.kernels.surfaces import surface

__all__ = [
    "DIRECTIONS",
    "ConvolutionMatrix",
    "Gradient",
    "Kernel",
    "bank",
    "blur",
    "compare",
    "connections",
    "convolution_matrix",
    "convolve",
    "difference",
    "edge",
    "found",
    "gaussian",
    "gradient",
    "identity",
    "kirsch",
    "laplacian",
    "learn_kernels",
    "look",
    "named",
    "names",
    "prewitt",
    "random_filters",
    "rotated",
    "rotations",
    "sharpen",
    "single_layer",
    "slopes",
    "sobel",
    "surface",
]
