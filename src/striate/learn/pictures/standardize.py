"""What the training pictures are on average, so that a network takes them standardised. Reads every picture once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from striate import progress
from striate.dataset import PictureSet, stream
from striate.errors import DataError, OptionError
from striate.pixelwise import PixelStatistics
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["KINDS", "Statistics", "measure", "standardized"]

KINDS = ("pixel", "channel", "none", "model")
"""How pictures may be standardised: at each pixel, each channel, not at all, or as the network says already."""

TASK = "measuring the training pictures"
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation of pictures at every pixel, on the scale [0, 1].

    Attributes:
        count: pictures that were measured.
        mean: shape (C, H, W), float64.
        std: shape (C, H, W), float64, of these very pictures (divided by n, not by n - 1).
        broken: reasons of those that cannot be read, by index.
    """

    count: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    broken: dict[int, str] = field(default_factory=dict)

    @property
    def channel_mean(self) -> NDArray[np.float64]:
        """Mean of each channel over pictures and pixels, shape (C,)."""
        return np.asarray(self.mean.mean((1, 2)))

    @property
    def channel_std(self) -> NDArray[np.float64]:
        """Standard deviation of each channel over pictures and pixels, shape (C,).

        The variance over everything is the mean of the pixels' variances and the variance of their means.
        """
        return np.asarray(np.sqrt((self.std**2).mean((1, 2)) + self.mean.var((1, 2))))

    @property
    def notes(self) -> tuple[str, ...]:
        """What should be known before dividing by these deviations."""
        still = int((self.std == 0).sum())
        if not still or self.count < 2:
            return ()
        return (
            f"At {still:,} of {self.std.size:,} places all {self.count:,} training pictures are alike: a picture that "
            "differs there becomes very large when it is standardised per pixel.",
        )


class _Sums:
    """Count, mean and sum of squared deviations at every place, joined batch by batch (Chan, Golub, LeVeque 1979)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        self.mean = np.zeros(shape)
        self.squares = np.zeros(shape)  # of deviations from the mean

    def add(self, values: NDArray[np.float64]) -> None:
        """Add a batch, shape (n, *shape); it is overwritten."""
        if not len(values):
            return
        mean = values.mean(0)
        values -= mean
        np.square(values, out=values)
        squares = values.sum(0)
        apart = mean - self.mean
        total = self.count + len(values)
        self.squares += squares + apart**2 * (self.count * len(values) / total)
        self.mean += apart * (len(values) / total)
        self.count = total


def measure(
    spec: InputSpec,
    pictures: PictureSet,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    workers: int | None = None,
) -> Statistics:
    """Measure pictures at the size of a specification, resized and cropped as it says, in one pass.

    The sums are in double precision and do not depend on how many threads decode. A picture that cannot be read is
    left out, and named.

    Args:
        spec: size, channels and resize rule; how it normalises does not matter.
        pictures: the set.
        indices: which of them; all when None.
        workers: decoding threads, as for `striate.dataset.stream`.

    Raises:
        DataError: none can be read, or the set gives pictures that are normalised already.
        Stopped: the user asked to stop.
    """
    if pictures.prepared:
        raise DataError(
            f"{pictures.description} gives pictures that are normalised already (prepared=True): there is nothing to "
            "measure. Standardise by 'model', or open the set without prepared."
        )
    plain = InputSpec(
        spec.channels, spec.height, spec.width, resize=spec.resize, interpolation=spec.interpolation, crop=spec.crop
    )
    sums = _Sums((spec.height, spec.width, spec.channels))  # as they lie in memory
    broken: dict[int, str] = {}
    total = len(pictures) if indices is None else len(indices)
    # a batch in double precision, its squares on top: of large pictures fewer are held at a time
    batch = int(np.clip(2**23 // (spec.channels * spec.height * spec.width), 1, _BATCH * 16))
    progress.report(progress.Event(TASK, 0, total))
    done = 0
    with contextlib.closing(stream(pictures, plain, indices, batch=min(batch, max(total, 1)), workers=workers)) as all_:
        for one in all_:
            sums.add(one.images.permute(0, 2, 3, 1).numpy().astype(np.float64))
            broken.update(one.broken)
            done += one.asked
            progress.report(progress.Event(TASK, done, total))
    if not sums.count:
        first = f" The first: {next(iter(broken.values()))}" if broken else ""
        raise DataError(f"none of the {count(total, 'training picture')} can be read.{first}")
    mean, std = (np.moveaxis(values, 2, 0).copy() for values in (sums.mean, np.sqrt(sums.squares / sums.count)))
    return Statistics(sums.count, mean, std, broken)


def standardized(
    spec: InputSpec,
    pictures: PictureSet,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    kind: str = "channel",
    *,
    epsilon: float = 1e-4,
    workers: int | None = None,
    statistics: Statistics | None = None,
) -> InputSpec:
    """Return a specification by which the training pictures come out standardised; validation gets the same numbers.

    Args:
        spec: size, channels and resize rule.
        pictures: the set.
        indices: the training pictures; all when None.
        kind: "pixel": (x - mean) / (std + epsilon) at each pixel; "channel": (x - mean) / std for each channel;
            "none": values from 0 to 1 as they are; "model": what `spec` says already.
        epsilon: added to the standard deviation of each pixel, on the scale [0, 1].
        workers: decoding threads.
        statistics: what `measure` found before; then nothing is read.

    Raises:
        DataError: there is nothing to measure, or every picture is of one and the same colour.
        OptionError: no such kind, or `epsilon` is not above 0.
        Stopped: the user asked to stop.
    """
    if kind not in KINDS:
        raise OptionError(f"no standardisation {kind!r}; there are {', '.join(KINDS)}.")
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise OptionError(f"epsilon must be above 0, got {epsilon}: pixels that are always alike are divided by it.")
    if kind == "model":
        return spec
    if kind == "none":
        return spec.changed(mean=0.0, std=1.0)
    found = measure(spec, pictures, indices, workers=workers) if statistics is None else statistics
    if found.mean.shape != (spec.channels, spec.height, spec.width):
        raise OptionError(
            f"the statistics are of {' x '.join(map(str, found.mean.shape))}, and the network takes {spec.channels} x "
            f"{spec.height} x {spec.width}. Measure the pictures at that size."
        )
    mean, std = found.channel_mean, found.channel_std
    if not std.max() > 1e-6:
        raise DataError(
            f"all {count(found.count, 'training picture')} are of one and the same colour: there is nothing to learn "
            "from. Look at a few of them."
        )
    std = np.where(std > 1e-6, std, 1.0)  # a channel that never changes is only shifted to 0
    overall = spec.changed(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    if kind == "channel":
        return overall
    return overall.changed(pixelwise=PixelStatistics(_single(found.mean), _single(found.std + epsilon)))


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
