"""What is drawn by lot for each picture, and the map of its pixels that follows. Touches no pixels.

Every option has its numbers from a generator of its own: an option switched on leaves what is drawn for the others as
it was, and a picture is drawn the same alone and among others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import OptionError
from striate.learn.seeds import generator

if TYPE_CHECKING:
    from striate.learn.pictures.augment import Augment

__all__ = ["Draws", "Frame", "Moves", "draw"]

_WIDEST = 4 / 3  # how much wider or higher than the input a crop may be
_QUANTILES = 2**14  # of the beta distribution: equally likely values that stand for it


@dataclass(frozen=True)
class Frame:
    """How large pictures are kept, and how the network's input lies in them.

    Attributes:
        height: of the pictures that are kept, in pixels.
        width: likewise.
        size: height and width of the network's input.
        density: pixels kept for one pixel of the input. Not augmented, the input is the middle of what is kept.
    """

    height: int
    width: int
    size: tuple[int, int]
    density: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether what is kept is the network's input, pixel for pixel."""
        return (self.height, self.width) == self.size and self.density == 1


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn for n pictures, in the units of a person; None is what is switched off.

    Attributes:
        frame: what they were drawn for.
        window: top, left, height and width of the part that is seen, in pixels of what is kept, (n, 4), float64.
        angle: degrees, anticlockwise, (n,), float64.
        zoom: factors by which the picture grows.
        lean: degrees by which columns lean: what is below goes to the right.
        shift: pixels of the input down and across, (n, 2).
        across: left and right are exchanged, (n,), bool.
        down: top and bottom are exchanged.
        brightness: factors, (n,), float32.
        cut: top and left of the square that is covered, (n, 2), int64; it may reach beyond the picture.
        side: pixels of that square.
        weight: share of the picture itself where another is mixed in, at least a half, (n,), float32.
        whole: windows lie on whole pixels, are as large as the input, and nothing else moves.
        boxed: windows lie on whole pixels, and are only brought to size and mirrored.
    """

    frame: Frame
    window: Tensor
    angle: Tensor | None = None
    zoom: Tensor | None = None
    lean: Tensor | None = None
    shift: Tensor | None = None
    across: Tensor | None = None
    down: Tensor | None = None
    brightness: Tensor | None = None
    cut: Tensor | None = None
    side: int = 0
    weight: Tensor | None = None
    whole: bool = False
    boxed: bool = False

    @cached_property
    def theta(self) -> Tensor:
        """The map of each picture, (n, 2, 3), float32.

        It leads from places in the input to places in what is kept, both from -1 to 1 between the outer edges of the
        first and the last pixel, across before down, as `torch.nn.functional.grid_sample` takes them.
        """
        frame = self.frame
        high, wide = frame.size
        count = len(self.window)
        top, left, height, width = self.window.unbind(1)
        nothing = torch.zeros(count, dtype=torch.float64)
        turn = nothing if self.angle is None else torch.deg2rad(self.angle)
        lean = nothing if self.lean is None else torch.tan(torch.deg2rad(self.lean))
        shrink = nothing + 1 if self.zoom is None else self.zoom.reciprocal()
        sine, cosine = turn.sin() * shrink, turn.cos() * shrink
        # back from the input to the part that is seen, in pixels from the middle of both, (across, down): turned and
        # zoomed back, sheared back, mirrored back
        to_across = torch.stack([cosine - lean * sine, -sine - lean * cosine], 1) * _sign(self.across, count)
        to_down = torch.stack([sine, cosine], 1) * _sign(self.down, count)
        matrix = torch.stack([to_across, to_down], 1)  # (n, 2, 2)
        # the part is brought to the input's size
        matrix = matrix * torch.stack([width / wide, height / high], 1).unsqueeze(2)
        place = torch.stack([left + width / 2 - frame.width / 2, top + height / 2 - frame.height / 2], 1).unsqueeze(2)
        if self.shift is not None:
            place = place - matrix @ self.shift.flip(1).unsqueeze(2)
        outer = torch.tensor([2 / frame.width, 2 / frame.height], dtype=torch.float64).view(2, 1)
        inner = torch.tensor([wide / 2, high / 2], dtype=torch.float64)
        return torch.cat([matrix * outer * inner, place * outer], 2).float()

    @cached_property
    def moves(self) -> Moves:
        """What is done to the pixels."""
        return Moves(
            None if self.whole else self.theta,
            self.window[:, :2].long() if self.whole else None,
            self.window.long() if self.boxed else None,
            self.across if self.whole or self.boxed else None,
            self.down if self.whole or self.boxed else None,
            self.brightness,
            self.cut,
            self.weight,
            self.side,
        )


@dataclass(frozen=True, eq=False)
class Moves:
    """What is done to the pixels of n pictures; None is what is not done.

    Attributes:
        theta: the map of each picture, where they are sampled; see `Draws.theta`.
        corner: top and left of the part that is copied, where they are not, (n, 2), int64.
        box: top, left, height and width of a part that may be brought to size and mirrored instead of being sampled by
            `theta`, (n, 4), int64.
        across: left and right are exchanged as it is copied or brought to size.
        down: top and bottom are exchanged.
        brightness: see `Draws`; so are the others.
    """

    theta: Tensor | None
    corner: Tensor | None
    box: Tensor | None
    across: Tensor | None
    down: Tensor | None
    brightness: Tensor | None
    cut: Tensor | None
    weight: Tensor | None
    side: int

    def rows(self, which: Tensor | slice) -> Moves:
        """Return those of some pictures."""
        return self._each(lambda values: values[which])

    def to(self, device: torch.device) -> Moves:
        """Return them on a device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Any) -> Moves:
        values = (getattr(self, field.name) for field in fields(self))
        return Moves(*(change(value) if isinstance(value, Tensor) else value for value in values))


def draw(augment: Augment, count: int, seed: int, *, frame: Frame, epoch: int = 1) -> Draws:
    """Draw for each of `count` pictures what is done to it.

    Args:
        augment: what may be done.
        count: pictures, n; the numbers of a picture depend on its place among them only.
        seed: of the run.
        frame: how the pictures are kept.
        epoch: other numbers in every epoch, from 1.

    Raises:
        OptionError: a patch is larger than what is kept.
    """
    high, wide = frame.size

    def lot(name: str, *, each_epoch: bool = True) -> Tensor:
        """Numbers from 0 to below 1, (n,), float64."""
        words = ("augment", name, epoch) if each_epoch else ("augment", name)
        return torch.rand(count, generator=generator(seed, *words)).double()

    def within(name: str, most: float) -> Tensor | None:
        return (2 * lot(name) - 1) * most if most else None

    turned = augment.rotation or augment.shear or any(augment.shift) or augment.zoom != (1.0, 1.0) or augment.pad
    boxed = not turned and (augment.crop is not None or augment.patch is not None)
    window = _window(augment, frame, count, lot, whole=boxed)
    shift = None
    if any(augment.shift):
        moved = [(2 * lot(f"shift {name}") - 1) for name in ("down", "across")]
        shift = torch.stack([moved[0] * augment.shift[0] * high, moved[1] * augment.shift[1] * wide], 1)
    zoom = None
    if augment.zoom != (1.0, 1.0):
        low, top = augment.zoom
        zoom = low * (top / low) ** lot("zoom")
    across = down = None
    if augment.flip == "alternating":
        turn = 0.0 if epoch % 2 else 0.5
        across = (lot("flip across", each_epoch=False) + turn) % 1 < 0.5
    elif augment.flip in ("horizontal", "both"):
        across = lot("flip across") < 0.5
    if augment.flip in ("vertical", "both"):
        down = lot("flip down") < 0.5
    brightness = within("brightness", augment.brightness)
    side = min(round(augment.cutout * min(high, wide)), min(high, wide))
    cut = None
    if side:
        middle = [(lot("cutout down") * high).floor(), (lot("cutout across") * wide).floor()]
        cut = (torch.stack(middle, 1) - side // 2).long()
    weight = None
    if augment.mixup:
        weight = torch.from_numpy(_beta(augment.mixup))[(lot("mixup") * _QUANTILES).long()]
    copied = not augment.samples and frame.density == 1 and bool((window[:1, 2:] == torch.tensor([high, wide])).all())
    whole = copied and bool((window == window.floor()).all())
    return Draws(
        frame,
        window,
        angle=within("rotation", augment.rotation),
        zoom=zoom,
        lean=within("shear", augment.shear),
        shift=shift,
        across=across,
        down=down,
        brightness=None if brightness is None else (1 + brightness).float(),
        cut=cut,
        side=side,
        weight=weight,
        whole=whole,
        boxed=boxed and not whole,
    )


def _window(augment: Augment, frame: Frame, count: int, lot: Any, *, whole: bool) -> Tensor:
    """Return the part of what is kept that is seen: top, left, height, width, (n, 4); of whole pixels if asked."""
    if augment.crop is not None:
        return _crop(augment.crop, frame, lot, whole=whole)
    height, width = float(frame.height), float(frame.width)
    if augment.patch is None:
        tall, broad = (side * frame.density for side in frame.size)
        middle = (height - tall) / 2, (width - broad) / 2
        places = [torch.full((count,), side, dtype=torch.float64) for side in middle]
    else:
        tall, broad = (float(round(side * frame.density)) for side in augment.patch)
        room = height - tall, width - broad
        if min(room) < 0:
            raise OptionError(
                f"patch={augment.patch[0]}x{augment.patch[1]} is larger than the pictures, which the network sees at "
                f"{height / frame.density:.0f} x {width / frame.density:.0f} pixels before a part is cut out. "
                "Choose a smaller one, or read them larger."
            )
        places = [
            (lot(f"patch {name}") * (space + 1)).floor() for name, space in zip(("top", "left"), room, strict=True)
        ]
    if augment.pad:
        for place, name in zip(places, ("down", "across"), strict=True):
            place += ((lot(f"pad {name}") * (2 * augment.pad + 1)).floor() - augment.pad) * frame.density
    sides = [torch.full((count,), side, dtype=torch.float64) for side in (tall, broad)]
    return torch.stack([*places, *sides], 1)


def _crop(area: tuple[float, float], frame: Frame, lot: Any, *, whole: bool) -> Tensor:
    """Return random parts, inside what is kept, whose area is what was drawn."""
    height, width = float(frame.height), float(frame.width)
    low, high = area
    share = low + (high - low) * lot("crop area")
    shape = frame.size[1] / frame.size[0]
    # wider than this it would be wider than the picture, less wide it would be higher; in between every logarithm of
    # width / height is as likely, so that the area is always what was drawn
    least, most = share * width / height, width / (share * height)
    first = torch.clamp(torch.full_like(share, shape / _WIDEST), least, most).log()
    last = torch.clamp(torch.full_like(share, shape * _WIDEST), least, most).log()
    ratio = (first + (last - first) * lot("crop shape")).exp()
    pixels = share * height * width
    tall, broad = (pixels / ratio).sqrt().clamp(max=height), (pixels * ratio).sqrt().clamp(max=width)
    down, across = lot("crop top"), lot("crop left")
    if not whole:
        return torch.stack([down * (height - tall), across * (width - broad), tall, broad], 1)
    tall, broad = tall.round().clamp(min=1), broad.round().clamp(min=1)
    return torch.stack([(down * (height - tall + 1)).floor(), (across * (width - broad + 1)).floor(), tall, broad], 1)


def _sign(mirrored: Tensor | None, count: int) -> Tensor:
    """Return -1 where mirrored, else 1: (n, 1), float64."""
    if mirrored is None:
        return torch.ones(count, 1, dtype=torch.float64)
    return torch.where(mirrored, -1.0, 1.0).double().unsqueeze(1)


@lru_cache(maxsize=4)
def _beta(alpha: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return equally likely values that stand for the larger of two shares.

    They follow the beta distribution of twice the same parameter, and as pictures are paired by lot, it is as likely
    that the first of two has the larger share as that the second has it: so each has it in its own place.
    """
    from scipy.special import betaincinv

    places = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    shares = betaincinv(alpha, alpha, places)
    return np.asarray(np.maximum(shares, 1 - shares), dtype=np.float32)
