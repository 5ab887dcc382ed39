"""What may be done to training pictures by lot: turned, moved, zoomed, flipped, cut, mixed. Reads no files.

    augment = Augment.parse("digits")                            # or "rotation=10,shift=0.1,flip"
    varied = augment.apply(images, generator(seed, "sheet")).images  # (B, C, H, W), values from 0 to 1

What is drawn stands in `striate.learn.pictures.draws`, how pixels move in `striate.learn.pictures.warping`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, Literal, Self

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.learn.pictures.draws import Draws, Frame, draw
from striate.learn.pictures.warping import brighten, copied, cover, mixed, sampled

__all__ = ["PRESETS", "Augment", "Augmented"]

Flip = Literal["none", "horizontal", "vertical", "both", "alternating"]
Border = Literal["edge", "reflect"] | float

_FLIPS = ("none", "horizontal", "vertical", "both", "alternating")


@dataclass(frozen=True, eq=False)
class Augmented:
    """Pictures after `Augment.apply`.

    Attributes:
        images: shape (B, C, H, W).
        draws: what was drawn for each.
        partners: with mixup the picture of the batch that was mixed into each, (B,), int64; else None.
        weight: with mixup the share of the picture itself, (B,), float32; else None.
    """

    images: Tensor
    draws: Draws
    partners: Tensor | None = None
    weight: Tensor | None = None


@dataclass(frozen=True)
class Augment:
    """How training pictures are varied. Every picture is varied in its own way, and anew in every epoch.

    All that moves pixels (rotation, shift, zoom, shear, flips, crop, patch, pad) comes to one map for each picture,
    which is sampled once; where whole pixels move (pad, patch, flip) they are copied, nothing is sampled. In their
    order: a part is cut out and brought to size, mirrored, sheared, zoomed and turned about its middle, shifted,
    brightened, covered, mixed.

    Attributes:
        rotation: degrees by which it is turned at most, to either side, every angle as likely.
        shift: how far it moves at most, down and across, as shares of height and width; one number stands for both.
        zoom: factor by which it grows, from the first to the second, evenly as a factor: (0.9, 1.1).
        shear: degrees by which its columns lean at most, to either side.
        flip: "none"; "horizontal" (left and right change places in half of the pictures), "vertical", "both" (each of
            the two by its own lot), "alternating" (horizontal; drawn once, then every picture the other way round in
            every second epoch, so that two epochs show all pictures both ways).
        brightness: the picture is multiplied by a factor from 1 - brightness to 1 + brightness, and clipped.
        crop: a part is cut out at a random place and brought to the network's size: its share of the area, from the
            first to the second; its shape is that of the input, up to 4/3 wider or higher. A random resized crop.
        patch: height and width in pixels of a part that is cut out at a random place, at the scale that the network
            sees pictures at, and brought to the network's size where it is of another.
        pad: pixels by which it moves at most, in every direction, by whole ones: padding and random cropping.
        cutout: side of a square that is covered, as a share of the shorter side; its middle is anywhere.
        mixup: alpha of the beta distribution from which the shares of a picture and of a second one, mixed into it, are
            drawn; the picture itself gets the larger. 0 mixes none.
        border: what is seen outside the picture: "edge" (its last pixel, on and on), "reflect" (its mirror image), or a
            level from 0 to 1.

    Raises:
        OptionError: a value makes no sense; the text says which.

    Source: Simard et al. 2003 (shift, rotation, shear); Szegedy et al. 2015, section 6 (crop); He et al. 2015, section
        4.2 (pad and flip); DeVries and Taylor 2017, arXiv:1708.04552 (cutout); Zhang et al. 2018, arXiv:1710.09412
        (mixup); Jordan 2024, arXiv:2404.00498, section 3.6 (alternating flip).
    """

    rotation: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    flip: Flip = "none"
    brightness: float = 0.0
    crop: tuple[float, float] | None = None
    patch: tuple[int, int] | None = None
    pad: int = 0
    cutout: float = 0.0
    mixup: float = 0.0
    border: Border = "edge"

    def __post_init__(self) -> None:
        for name in ("shift", "zoom", "crop", "patch"):
            value = getattr(self, name)
            if value is None:
                continue
            whole = name == "patch"
            pair = value if isinstance(value, Sequence) else (value, value)
            if len(pair) != 2 or not all(_is_number(one) for one in pair):
                raise OptionError(f"{name} takes two numbers, got {value!r}.")
            object.__setattr__(self, name, tuple(int(one) if whole else float(one) for one in pair))
        for name in ("rotation", "shear", "brightness", "cutout", "mixup", "pad"):
            value = getattr(self, name)
            if not _is_number(value):
                raise OptionError(f"{name} is a number, got {value!r}.")
            object.__setattr__(self, name, int(value) if name == "pad" and value == int(value) else float(value))
        self._check()

    def _check(self) -> None:
        if not 0 <= self.rotation <= 180:
            raise OptionError(f"rotation is 0 to 180 degrees, got {self.rotation:g}.")
        if not 0 <= self.shear < 90:
            raise OptionError(f"shear is 0 or more degrees, below 90, got {self.shear:g}.")
        if not all(0 <= share <= 1 for share in self.shift):
            raise OptionError(f"shift is shares of height and width from 0 to 1, got {self.shift}.")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise OptionError(f"zoom is two factors above 0 that rise, such as (0.9, 1.1), got {self.zoom}.")
        if self.flip not in _FLIPS:
            raise OptionError(f"no flip {self.flip!r}; there are {', '.join(_FLIPS)}.")
        if not 0 <= self.brightness <= 1:
            raise OptionError(f"brightness is from 0 to 1, got {self.brightness:g}: the factor is 1 - it to 1 + it.")
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise OptionError(f"crop is two shares of the area above 0 that rise to 1 at most, got {self.crop}.")
        if self.patch is not None and min(self.patch) < 1:
            raise OptionError(f"patch is height and width of at least 1 pixel, got {self.patch}.")
        if not isinstance(self.pad, int) or self.pad < 0:
            raise OptionError(f"pad is whole pixels, 0 or more, got {self.pad}.")
        if not 0 <= self.cutout <= 1:
            raise OptionError(f"cutout is a share of the side from 0 to 1, got {self.cutout:g}.")
        if self.mixup < 0:
            raise OptionError(f"mixup is an alpha of 0 or more, got {self.mixup:g}.")
        if self.border not in ("edge", "reflect") and not (_is_number(self.border) and 0 <= float(self.border) <= 1):
            raise OptionError(f"no border {self.border!r}; there are edge, reflect and a level from 0 to 1.")
        if self.crop is not None and (self.patch is not None or self.pad):
            other = "patch" if self.patch is not None else "pad"
            raise OptionError(f"crop and {other} both choose the part that is seen. Leave one of them out.")

    @property
    def nothing(self) -> bool:
        """Whether every picture stays as it is."""
        return not self.moves and not (self.brightness or self.cutout or self.mixup)

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        return self.samples or self.flip != "none" or self.patch is not None or self.pad > 0

    @property
    def samples(self) -> bool:
        """Whether pictures have to be sampled between their pixels (a patch may have to be as well)."""
        turned = self.rotation or self.shear or any(self.shift)
        return bool(turned) or self.zoom != (1.0, 1.0) or self.crop is not None

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the options that do something, in the order in which they are done."""
        order = "crop patch flip shear zoom rotation pad shift brightness cutout mixup".split()
        plain = Augment()
        return tuple(name for name in order if getattr(self, name) != getattr(plain, name))

    def only(self, *names: str) -> Augment:
        """Return it with the options of these names alone (and its border)."""
        return Augment(border=self.border, **{name: getattr(self, name) for name in names})

    def apply(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        size: tuple[int, int] | None = None,
        epoch: int = 1,
        fill: Tensor | float = 0.5,
    ) -> Augmented:
        """Vary pictures, each in its own way.

        Args:
            images: shape (B, C, H, W), float, values from 0 to 1, on any device.
            generator: of the random numbers, on the CPU; one number is taken from it.
            size: height and width of what is returned; those of the pictures unless given.
            epoch: matters where flips alternate: with the same numbers an odd and an even epoch show each picture
                both ways.
            fill: what a covered square shows: a level, or a tensor that broadcasts to the pictures.

        Raises:
            OptionError: a patch is larger than the pictures.
        """
        frame = Frame(images.shape[2], images.shape[3], size or (images.shape[2], images.shape[3]))
        seed = int(torch.randint(2**62, (), generator=generator))
        draws = draw(self, len(images), seed, frame=frame, epoch=epoch)
        moves = draws.moves.to(images.device)
        if moves.theta is not None:
            exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
            varied = sampled(exact, moves.theta.to(exact.dtype), frame.size, self.border).to(images.dtype)
        else:
            varied = copied(images.permute(0, 2, 3, 1), moves, frame.size, self.border).permute(0, 3, 1, 2)
        if moves.brightness is not None:
            varied = brighten(varied, moves.brightness.to(varied.dtype))
        if moves.cut is not None:
            varied = cover(varied, moves.cut, moves.side, fill)
        if moves.weight is None:
            return Augmented(varied, draws)
        varied, partners = mixed(varied, moves.weight)
        return Augmented(varied, draws, partners, moves.weight)

    # --- words

    def __str__(self) -> str:
        """Write it as `parse` reads it: "rotation=10,shift=0.1:0.1,border=edge"; "none" where nothing is done."""
        words = [f"{name}={_written(name, getattr(self, name))}" for name in self.used]
        if words and self.border != "edge":
            words.append(f"border={_written('border', self.border)}")
        return ",".join(words) or "none"

    @classmethod
    def parse(cls, text: str) -> Augment:
        """Read what stands behind ``--augment``: a preset, options with commas between, or a preset and changes to it.

        "digits"; "rotation=10,shift=0.1,flip"; "photos,cutout=0.2". Two values stand as 0.1:0.2 (down:across for
        shift, low:high for zoom and crop), sizes as 24x24; one number for zoom is a margin (0.1 is 0.9:1.1), for
        crop the smallest area; flip alone is horizontal.

        Raises:
            OptionError: a word is neither, or a value makes no sense.
        """
        found: dict[str, Any] = {}
        for place, word in enumerate(part.strip() for part in text.split(",")):
            name, equals, value = word.partition("=")
            name = name.strip()
            if not equals and name in PRESETS:
                if place:
                    raise OptionError(f"{name} is a preset and comes first: {name},rotation=10.")
                found = asdict(PRESETS[name])
            elif name not in _NAMES:
                close = get_close_matches(name, [*_NAMES, *PRESETS], n=2)
                hint = f" Did you mean {' or '.join(close)}?" if close else ""
                raise OptionError(
                    f"no augmentation {name!r}.{hint} There are the presets {', '.join(PRESETS)}, and "
                    f"{', '.join(_NAMES)}."
                )
            elif not equals and name != "flip":
                raise OptionError(f"{name} needs a value, such as {name}={_EXAMPLES[name]}.")
            else:
                found[name] = _read(name, value.strip() if equals else "horizontal")
        return cls(**found)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            OptionError: an entry is unknown, or makes no sense.
        """
        unknown = set(values) - set(_NAMES)
        if unknown:
            raise OptionError(f"no augmentation {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}.")
        plain: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
        return cls(**plain)

    def changed(self, **values: Any) -> Augment:
        """Return it with some options changed."""
        return replace(self, **values)


_NAMES: Final = tuple(field.name for field in fields(Augment))
_EXAMPLES: Final = {
    "rotation": "10",
    "shift": "0.1",
    "zoom": "0.9:1.1",
    "shear": "5",
    "flip": "horizontal",
    "brightness": "0.2",
    "crop": "0.35:1",
    "patch": "24x24",
    "pad": "4",
    "cutout": "0.25",
    "mixup": "0.2",
    "border": "reflect",
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _written(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ("x" if name == "patch" else ":").join(f"{one:g}" for one in value)
    return value if isinstance(value, str) else f"{value:g}"


def _read(name: str, text: str) -> Any:
    """Read one value of the command line.

    Raises:
        OptionError: it is none.
    """
    if name == "flip" or (name == "border" and text in ("edge", "reflect")):
        return text
    parts = text.split("x" if name == "patch" else ":")
    try:
        numbers = [int(part) if name in ("patch", "pad") else float(part) for part in parts]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) > (2 if name in ("shift", "zoom", "crop", "patch") else 1):
        raise OptionError(f"{name}={text} is not understood. Write it as {name}={_EXAMPLES[name]}.")
    if name == "zoom" and len(numbers) == 1:
        return 1 - numbers[0], 1 + numbers[0]
    if name == "crop" and len(numbers) == 1:
        return numbers[0], 1.0
    if name in ("shift", "patch"):
        return numbers[0], numbers[-1]
    return tuple(numbers) if len(numbers) > 1 else numbers[0]


PRESETS: Final[Mapping[str, Augment]] = MappingProxyType(
    {
        "none": Augment(),
        "photos": Augment(crop=(0.35, 1.0), flip="horizontal", brightness=0.2),
        "digits": Augment(rotation=10.0, shift=(0.1, 0.1), zoom=(0.9, 1.1), shear=5.0),
        "small": Augment(pad=4, flip="horizontal", border="reflect"),
        "lecture": Augment(rotation=10.0, shift=(0.1, 0.1)),
    }
)
"""By name: photographs with room around their object; digits and letters, which must not be mirrored; small
photographs such as CIFAR's; and what the lecture takes (rotation 10, shifts 0.1)."""
