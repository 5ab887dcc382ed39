"""How large training pictures are kept, so that what is cut out of them or turned stays sharp. Keeps none itself.

Not augmented, a picture is kept as the network sees it, pixel for pixel. Where it is sampled anyway, more is kept: what
the resize rule leaves around the middle (there is a real picture beyond the edge then), and more pixels for each pixel
of the input, as far as the pictures have them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.dataset import PictureSet
from striate.errors import ImageError, OptionError
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.draws import Frame
from striate.spec import InputSpec

__all__ = ["Canvas", "canvas"]

_TURNED = 1.25  # pixels kept for one that is sampled: bilinear sampling blurs at 1, and leaves out pixels above 2
_MOST = 1.5
_LOOKED_AT = 8  # pictures whose own size is looked at


@dataclass(frozen=True)
class Canvas:
    """How pictures are kept.

    Attributes:
        spec: the rule by which they are read (`PictureSet.fitted`); without mean and std.
        frame: how the network's input lies in what is kept.
    """

    spec: InputSpec
    frame: Frame


def canvas(pictures: PictureSet, indices: NDArray[np.int64], spec: InputSpec, augment: Augment | None = None) -> Canvas:
    """Choose how pictures are kept.

    Args:
        pictures: the set.
        indices: which of them are used; the own size of a few is looked at.
        spec: what the network expects.
        augment: what is done to them; None and whatever copies whole pixels keeps them as the network sees them.

    Raises:
        OptionError: a patch is cut out of pictures that are prepared or fill the input already.
    """
    plain = _like(spec, spec.size, spec.resize)
    asked = augment is not None and (augment.samples or augment.patch is not None)
    if not asked or augment is None or pictures.prepared or pictures.at_once(spec):
        return Canvas(plain, Frame(*spec.size, spec.size))
    own = _own_scale(pictures, indices, spec)
    density = max(1.0, min(_wanted(augment, spec), own, _MOST))
    base = spec.size
    if isinstance(spec.resize, tuple):
        base = spec.resize if spec.crop == "center" else spec.size
    elif spec.resize is not None:
        base = max(spec.height, spec.resize), max(spec.width, spec.resize)
    if base[0] < spec.height or base[1] < spec.width:  # the input is filled up with black: that is part of it
        base = spec.size
        if isinstance(spec.resize, tuple):
            return Canvas(plain, Frame(*spec.size, spec.size))
    resize = spec.resize
    if isinstance(resize, int):
        resize, density = _side(resize, density), _side(resize, density) / resize
    elif isinstance(resize, tuple):
        resize = (_side(resize[0], density), _side(resize[1], density))
    size = _side(base[0], density), _side(base[1], density)
    return Canvas(_like(spec, size, resize), Frame(*size, spec.size, density))


def _wanted(augment: Augment, spec: InputSpec) -> float:
    """Return how many pixels should be kept for one of the input."""
    if augment.crop is not None:
        # one for one at the mean area of a crop, where the whole is what the resize rule leaves
        side = spec.resize if isinstance(spec.resize, int) else min(spec.size)
        return min(spec.size) / (side * math.sqrt(sum(augment.crop) / 2))
    if augment.patch is not None:
        shrink = max(whole / part for whole, part in zip(spec.size, augment.patch, strict=True))
        if shrink == 1 and not augment.samples:
            return 1.0  # copied, pixel for pixel
        return shrink
    return max(_TURNED, augment.zoom[1])


def _own_scale(pictures: PictureSet, indices: NDArray[np.int64], spec: InputSpec) -> float:
    """Return how many pixels the smaller pictures have for one of the resize rule: more would be made up."""
    if not len(indices):
        return 1.0
    found = []
    for place in np.unique(np.linspace(0, len(indices) - 1, _LOOKED_AT).round().astype(int)):
        try:
            height, width = pictures.pixels(int(indices[place])).shape[:2]
        except ImageError:
            continue  # what is wrong with it is said when it is kept
        if isinstance(spec.resize, int):
            found.append(min(height, width) / spec.resize)
        elif isinstance(spec.resize, tuple):
            found.append(min(height / spec.resize[0], width / spec.resize[1]))
        else:
            found.append(min(height / spec.height, width / spec.width))
    return sorted(found)[len(found) // 4] if found else 1.0


def _side(length: int, density: float) -> int:
    return round(length * density)


def _like(spec: InputSpec, size: tuple[int, int], resize: int | tuple[int, int] | None) -> InputSpec:
    """Return a rule for reading alone; mean and std, which may be of each pixel, have another place."""
    try:
        return InputSpec(spec.channels, *size, resize=resize, interpolation=spec.interpolation, crop=spec.crop)
    except OptionError as error:
        raise OptionError(f"pictures of {size[0]} x {size[1]} pixels cannot be kept: {error}") from error
