"""The lectures' small networks for digits: two in a few lines, and the pair that compares width with depth.

All give logits: the softmax that ends them in the lecture belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from striate.nets.builder import sequential
from striate.nets.design import Design

__all__ = ["DESIGNS"]


def _layers(text: str) -> Callable[[int, int, tuple[int, int]], nn.Module]:
    """Return what builds these layers and a dense one for the classes."""

    def build(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
        return sequential(f"{text}, dense {classes}", (channels, *size))

    return build


def _digits(name: str, summary: str, text: str, smallest: int) -> Design:
    return Design(
        name,
        summary,
        _layers(text),
        classes=10,
        channels=1,
        size=(28, 28),
        smallest=smallest,
        initial="glorot-uniform",
        colours=((0.1307,), (0.3081,)),  # of MNIST
    )


DESIGNS = (
    _digits(
        "small",
        "Three convolutions and two dense layers for digits: 93,322 weights.",
        "conv 32 3x3 relu, pool 2, conv 64 3x3 relu, pool 2, conv 64 3x3 relu, flatten, dense 64 relu",
        18,
    ),
    _digits(
        "tiny",
        "Two convolutions and two dense layers for digits: 42,050 weights.",
        "conv 6 3x3 relu, pool 2, conv 16 3x3 relu, pool 2, flatten, dense 100 relu",
        10,
    ),
    _digits(
        "cnn1",
        "One wide convolution and a dense layer: hardly better than a dense network alone.",
        "conv 32 3x3 same relu, flatten",
        1,
    ),
    _digits(
        "cnn2",
        "Four narrow convolutions with batch norm: better than cnn1 with a seventh of its weights.",
        "conv 8 3x3 same bn relu, conv 8 3x3 same bn relu, pool 2, conv 16 3x3 same bn relu, "
        "conv 16 3x3 same bn relu, pool 2, flatten, dense 40 bn dropout 0.3 relu",
        4,
    ),
)
