"""Cut a picture into superpixels: parts that a person would switch on and off as one. Runs no network."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Method", "given", "segment"]

Method = Literal["slic", "quickshift", "grid"]


def segment(picture: NDArray[np.uint8], method: Method = "slic", count: int = 50) -> Tensor:
    """Cut a picture into superpixels.

    Args:
        picture: uint8, shape (H, W, 3), as `InputSpec.pixels` gives it.
        method: slic (of about equal size, along edges), quickshift (of one colour, large and small), or grid
            (rectangles).
        count: about how many; quickshift finds its own number.

    Returns:
        Labels 0 to S - 1, each of them somewhere, shape (H, W), int64.

    Raises:
        OptionError: no such method, or the whole picture is one superpixel.

    Source: Achanta et al. 2012 (SLIC), doi:10.1109/TPAMI.2012.120; Vedaldi and Soatto 2008 (quickshift).
    """
    if count < 2:
        raise OptionError(f"at least 2 superpixels are needed, of which one can be hidden, got {count}.")
    if method == "grid":
        found = _grid(picture.shape[0], picture.shape[1], count)
    elif method == "slic":
        from skimage.segmentation import slic

        found = slic(picture, n_segments=count, compactness=20, sigma=1, start_label=0)
    elif method == "quickshift":
        from skimage.segmentation import quickshift

        cut: Any = quickshift  # has no types
        # the settings that LIME for pictures is known with
        found = cut(picture, kernel_size=4, max_dist=200, ratio=0.2, rng=42)
    else:
        raise OptionError(f"no superpixels {method!r}; there are slic, quickshift, grid.")
    return _numbered(torch.from_numpy(np.asarray(found, dtype=np.int64)), str(method))


def given(labels: Tensor, images: Tensor) -> Tensor:
    """Check superpixels that the user brings.

    Args:
        labels: whole numbers, (H, W) for all pictures or (N, H, W).
        images: (N, C, H, W), that they are for.

    Returns:
        Shape (N, H, W), int64; each picture's labels are 0 to S - 1.

    Raises:
        OptionError: another shape, no whole numbers, or one superpixel only.
    """
    count, _, height, width = images.shape
    if labels.is_floating_point() or labels.is_complex():
        raise OptionError(f"superpixels are numbered by whole numbers, got a tensor of {labels.dtype}.")
    if labels.shape not in ((height, width), (1, height, width), (count, height, width)):
        found = " x ".join(map(str, labels.shape))
        raise OptionError(f"superpixels of {found} for pictures of {height} x {width}: there must be one for a pixel.")
    each = [_numbered(one, "given") for one in labels.cpu().long().reshape(-1, height, width)]
    return torch.stack(each).expand(count, -1, -1)


def _numbered(labels: Tensor, method: str) -> Tensor:
    """Number the superpixels from 0 without gaps."""
    names, numbered = np.unique(labels.numpy(), return_inverse=True)
    if len(names) < 2:
        raise OptionError(
            f"1 superpixel ({method}): the picture is all one part, so nothing can be compared. "
            "Ask for more superpixels, or cut it up as a grid."
        )
    return torch.from_numpy(numbered.reshape(labels.shape))


def _grid(height: int, width: int, count: int) -> NDArray[Any]:
    """Number the cells of a grid whose cells are as square as the picture allows."""
    rows = min(max(round(math.sqrt(count * height / width)), 1), height)
    columns = min(max(round(count / rows), 1), width)
    down = np.arange(height) * rows // height
    across = np.arange(width) * columns // width
    return np.asarray(down[:, None] * columns + across)
