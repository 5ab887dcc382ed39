"""Convolution by hand: kernels that people wrote, convolving pictures, and the matrix behind it. Trains nothing.

`convolve(picture, sobel("right"), mode="correlation", padding="same")` gives numbers, `compare("cat.jpg")` the
lecture's sheet, `convolution_matrix([1, 2, 3], size=9).pattern()` the matrix drawn.
"""

from __future__ import annotations

from striate.kernels.answers import Gradient, found, gradient
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
from striate.kernels.matrix import ConvolutionMatrix, convolution_matrix
from striate.kernels.sheets import compare, look, slopes
from striate.kernels.surfaces import surface

__all__ = [
    "DIRECTIONS",
    "ConvolutionMatrix",
    "Gradient",
    "Kernel",
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
    "look",
    "named",
    "names",
    "prewitt",
    "rotated",
    "sharpen",
    "slopes",
    "sobel",
    "surface",
]
