"""What is known of a network before it is built: its name, its size, and how. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from striate.nets.initial import Initial

__all__ = ["IMAGENET", "Design", "unchanged"]

Colours = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel, of [0, 1]
IMAGENET: Colours = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def unchanged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict as it is: the other library calls everything as we do."""
    return dict(state)


@dataclass(frozen=True)
class Design:
    """One network that can be built by name.

    A family of networks is a file in `families` with a tuple `DESIGNS` of these; nothing else names them.

    Attributes:
        name: in lower case, words joined by "-".
        summary: what it is, in a sentence.
        build: makes it from classes, channels and (height, width); its weights are drawn afterwards.
        classes: unless told otherwise.
        channels: of the pictures, likewise.
        size: height and width of the pictures, likewise.
        smallest: side of the smallest picture that it can be built for.
        initial: how its first weights are drawn.
        colours: mean and standard deviation of the pictures that it is usually trained on.
        also: what others call it; proposed where somebody asks for that.
        renamed: turns the state dict of another library's same network into ours.
    """

    name: str
    summary: str
    build: Callable[[int, int, tuple[int, int]], nn.Module]
    classes: int = 1000
    channels: int = 3
    size: tuple[int, int] = (224, 224)
    smallest: int = 1
    initial: Initial = "he-normal"
    colours: Colours = IMAGENET
    also: tuple[str, ...] = ()
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = unchanged
