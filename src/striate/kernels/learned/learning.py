"""Learn the kernels of a first layer without labels, and hand them over as a layer, a convolution or a picture.

Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature learning", section 3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import dataset
from striate.errors import DataError, OptionError
from striate.kernels.learned.clustering import Engine, k_means, spherical
from striate.kernels.learned.patches import draw_patches
from striate.kernels.learned.whitening import normalise, whiten
from striate.nets.layers import TriangleConv2d
from striate.nets.layers._settings import Pair, pair
from striate.nets.layers._settings import count as whole
from striate.results import FilterBank
from striate.results.base import Recipe
from striate.spec import InputSpec

__all__ = ["Engine", "LearnedKernels", "Method", "learn_kernels"]

Method = Literal["k-means", "spherical"]
_PATCHES = (50_000, 250, 400_000)
"""Patches that are drawn unless told otherwise: at least, for each kernel, and at most (what the paper had)."""


@dataclass(frozen=True, eq=False)
class LearnedKernels:
    """K centroids of whitened patches, and what patches went through before.

    With p a patch of 0 to 255, m its mean and s its standard deviation (`contrast` added to the variance), the
    normalised patch is n = (p - m) / s and the whitened one P (n - M).

    Attributes:
        centroids: shape (K, C, h, w), float32, in whitened space.
        mean: M, shape (C, h, w), float32.
        whitening: P, symmetric, shape (D, D) with D = C h w, float32.
        contrast: what is added to the variance of a patch, in squared units of 0 to 255.
        spread: the root mean square of s over the patches, in units of 0 to 255.
        counts: patches nearest to each centroid, shape (K,), int64.
        notes: sentences on what was left out.
        recipe: how they were learned.
    """

    centroids: NDArray[np.float32]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    contrast: float
    spread: float
    counts: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)

    def __len__(self) -> int:
        return len(self.centroids)

    def __repr__(self) -> str:
        count, channels, height, width = self.centroids.shape
        return f"LearnedKernels({count} of {channels} x {height} x {width})"

    @property
    def filters(self) -> NDArray[np.float32]:
        """The centroids with whitening and the loss of brightness folded in: (K, C, h, w), each sums to zero."""
        return self._free(self._folded()).astype(np.float32).reshape(self.centroids.shape)

    def layer(self, spec: InputSpec | None = None, *, stride: Pair = 1) -> TriangleConv2d:
        """Return the exact layer: normalisation, whitening, distances, triangle code.

        Args:
            spec: of the network that it goes into, whose mean and std are undone first; pictures in [0, 1] unless
                given.
            stride: between windows.

        Raises:
            OptionError: the network takes other channels, or normalises each pixel by itself.
        """
        scale, shift = self._units(spec)
        count, channels, *size = self.centroids.shape
        made = TriangleConv2d(channels, count, (size[0], size[1]), stride, contrast=self.contrast)
        folded, flat = self._folded(), self.centroids.reshape(count, -1).astype(np.float64)
        matrix, mean = self.whitening.astype(np.float64), self.mean.reshape(-1).astype(np.float64)
        state = {
            "weight": self.filters,
            "bias": -folded @ mean - (flat**2).sum(axis=1) / 2,
            "whitening": self._free(matrix).reshape(-1, *self.mean.shape),
            "middle": matrix @ mean,
            "scale": scale,
            "shift": shift - 127.5,  # the same for all channels, so it changes nothing but the rounding
        }
        made.load_state_dict({name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in state.items()})
        return made

    def convolution(self, spec: InputSpec | None = None) -> tuple[Tensor, Tensor]:
        """Return weight (K, C, h, w) and bias (K,) of a plain convolution that does the linear part.

        It answers with (P c_k) . (n - M), the likeness of a window to centroid k, where what a window is divided by is
        the usual `spread`, since a convolution cannot divide by the contrast of each.

        Args:
            spec: of the network that it goes into, whose mean and std are undone; pictures in [0, 1] unless given.

        Raises:
            OptionError: the network takes other channels, or normalises each pixel by itself.
        """
        scale, shift = self._units(spec)
        filters = self._free(self._folded()).reshape(self.centroids.shape) / self.spread
        bias = (filters * shift).sum(axis=(1, 2, 3)) - self._folded() @ self.mean.reshape(-1).astype(np.float64)
        weight = (filters * scale).astype(np.float32)
        return torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32))

    def bank(self, kind: Literal["centroids", "filters"] = "centroids") -> FilterBank:
        """Return the kernels as a picture, each on a scale of its own; of many the first 256 are drawn.

        Args:
            kind: "centroids" as k-means found them, which are easier to read; or "filters", what is laid on a picture:
                the whitening is folded in.

        Raises:
            OptionError: another kind.
        """
        if kind not in ("centroids", "filters"):
            raise OptionError(f"kind is 'centroids' or 'filters', got {kind!r}.")
        shown = self.centroids if kind == "centroids" else self.filters
        ends = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
        weights = torch.from_numpy(shown / np.where(ends > 0, ends, 1))
        return FilterBank(weights=weights, layer=kind, colour=shown.shape[1] == 3, alike=True, recipe=self.recipe)

    def _folded(self) -> NDArray[np.float64]:
        """Return P c_k, (K, D)."""
        flat: NDArray[np.float64] = self.centroids.reshape(len(self), -1).astype(np.float64)
        folded: NDArray[np.float64] = flat @ self.whitening.astype(np.float64)
        return folded

    @staticmethod
    def _free(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Make the numbers of each row (n, D) sum to zero: the row's product with p - m is that with p."""
        free: NDArray[np.float64] = rows - rows.mean(axis=1, keepdims=True)
        return free

    def _units(self, spec: InputSpec | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what brings a network's pictures to [0, 255]: scale and shift (C, 1, 1)."""
        channels = self.centroids.shape[1]
        if spec is None:
            return np.full((channels, 1, 1), 255.0), np.zeros((channels, 1, 1))
        if spec.channels != channels:
            raise OptionError(
                f"the kernels were learned on {channels} channels, and the network takes {spec.channels}."
            )
        if spec.pixelwise is not None:
            raise OptionError(
                "the network normalises each pixel by itself, which no kernel that slides over pictures can undo. "
                "Standardise by channel."
            )
        std, mean = (255 * np.asarray(one, dtype=np.float64).reshape(-1, 1, 1) for one in (spec.std, spec.mean))
        return std, mean


def learn_kernels(
    pictures: Any,
    *,
    count: int = 400,
    size: Pair = 6,
    patches: int | None = None,
    spec: InputSpec | None = None,
    indices: NDArray[np.int64] | None = None,
    contrast: float = 10.0,
    whitening: float = 0.1,
    method: Method = "k-means",
    rounds: int = 10,
    engine: Engine = "scikit-learn",
    seed: int = 0,
) -> LearnedKernels:
    """Learn K kernels from patches of pictures, without labels.

    Args:
        pictures: whatever `striate.dataset.open` opens: a `PictureSet`, a folder, an archive, an array.
        count: K, how many kernels.
        size: height and width of a patch, pixels.
        patches: how many patches are drawn; 250 for each kernel, at least 50,000 and at most 400,000, unless given.
        spec: brings pictures to the size and channels of a network first; they are taken as they are kept unless given.
        indices: of the pictures that patches come from; all unless given.
        contrast: added to the variance of a patch of 0 to 255, above 0.
        whitening: added to the variance along each principal direction, above 0; 0 leaves patches unwhitened.
        method: "k-means", or "spherical": centroids of length 1, patches by the largest product.
        rounds: over all patches.
        engine: of k-means: "scikit-learn" (MiniBatchKMeans), or "faiss" (the extra `index`).
        seed: of the patches and of the centroids.

    Raises:
        DataError: there are fewer distinct patches than kernels, or pictures are smaller than a patch.
        MissingExtraError: faiss is asked for, and not installed.
        OptionError: an option makes no sense.
        Stopped: the user asked to stop.
    """
    start = time.perf_counter()
    count, rounds = whole("count", count), whole("rounds", rounds)
    height, width = pair("size", size)
    if method not in get_args(Method):
        raise OptionError(f"no method {method!r}; there are {', '.join(get_args(Method))}.")
    if engine not in get_args(Engine):
        raise OptionError(f"no engine {engine!r}; there are {', '.join(get_args(Engine))}.")
    if engine == "faiss" and method != "k-means":
        raise OptionError(f"faiss is for k-means, and the method is {method}. Leave the engine out.")
    if not contrast > 0 or not whitening >= 0:
        raise OptionError(f"contrast must be above 0 and whitening at least 0, got {contrast} and {whitening}.")
    least, each, most = _PATCHES
    many = min(max(least, each * count), max(most, count)) if patches is None else whole("patches", patches)
    opened = dataset.open(pictures)
    drawn, notes = draw_patches(opened, (height, width), many, spec=spec, indices=indices, seed=seed)
    channels = drawn.shape[1]
    if drawn[0].size < 2:
        raise OptionError("a patch of a single number has no contrast. Take larger patches.")
    flat, spread = normalise(drawn.reshape(len(drawn), -1), contrast)
    del drawn
    found = whiten(flat, whitening)
    white = found(flat)
    del flat
    _check_distinct(white, count, opened.description)
    if method == "k-means":
        centroids, counts = k_means(white, count, rounds=rounds, seed=seed, engine=engine)
    else:
        centroids, counts = spherical(white, count, rounds=rounds, seed=seed)
    options = {
        "pictures": opened.description, "count": count, "size": [height, width], "patches": many, "contrast": contrast,
        "whitening": whitening, "method": method, "rounds": rounds, "engine": engine, "seed": seed,
    }  # fmt: skip
    recipe = Recipe(
        lens="kernels.learn_kernels",
        options=options,
        version=striate.__version__,
        seconds=time.perf_counter() - start,
        device="cpu",
        dtype="float32",
        torch=torch.__version__,
        notes=notes,
    )
    shape = (channels, height, width)
    return LearnedKernels(
        centroids=centroids.reshape(count, *shape),
        mean=found.mean.astype(np.float32).reshape(shape),
        whitening=found.matrix.astype(np.float32),
        contrast=float(contrast),
        spread=spread,
        counts=counts,
        notes=notes,
        recipe=recipe,
    )


def _check_distinct(patches: NDArray[np.float32], count: int, description: str) -> None:
    """Refuse fewer distinct patches than kernels; looks at no more of them than it needs to."""
    some = patches[: 4 * count]
    distinct = len(np.unique(some, axis=0))
    if distinct < count and len(some) < len(patches):
        distinct = len(np.unique(patches, axis=0))
    if distinct < count:
        raise DataError(
            f"{len(patches):,} patches of {description} are only {distinct:,} distinct ones, too few for {count:,} "
            "kernels. Ask for fewer kernels, or give more and richer pictures."
        )
