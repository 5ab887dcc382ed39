"""What a network expects of a picture, and the way there and back. Reads no files, runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.errors import ImageError, NetworkError, OptionError
from striate.pixelwise import PixelStatistics

__all__ = ["UNKNOWN_NORMALISATION", "InputSpec"]

UNKNOWN_NORMALISATION = (
    "How the network's pictures are normalised is not known: values from 0 to 1 are assumed. "
    "Give mean and std (spec=, or --mean and --std)."
)

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_LARGEST = 100_000_000  # pixels: more than any photograph becomes by a sensible rule
_BASELINES = "black, white, grey, mean"


@dataclass(frozen=True)
class InputSpec:
    """What a network expects of a picture.

    Values are first scaled to [0, 1], then ``(value - mean) / std`` for each channel, or for each pixel.

    Attributes:
        channels: 1 for grey, 3 for RGB, any number for other kinds of pictures (read from ``.npy``).
        height: pixels, of the network's input.
        width: pixels.
        mean: for each channel (or one for all), on the scale [0, 1].
        std: likewise, above 0.
        resize: length in pixels that the short side gets before the crop, (height, width) to squash the
            picture to, or None for the size of the input: (height, width) when ``crop`` is "none".
        interpolation: nearest, bilinear, bicubic, lanczos, box or hamming, all antialiased as in Pillow.
        crop: "center" cuts the middle (filling up with black where the picture is smaller), "none" does not.
        pixelwise: mean and std of each pixel, (channels, height, width), by which pictures are normalised instead of
            `mean` and `std`; these then say what the channels are on the whole. Pictures of another size are
            normalised by the statistics stretched to it.

    Raises:
        OptionError: a value makes no sense; the text says which.
    """

    channels: int = 3
    height: int = 224
    width: int = 224
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: str = "center"
    pixelwise: PixelStatistics | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            if getattr(self, name) < 1:
                raise OptionError(f"InputSpec.{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("mean", "std"):
            values = tuple(float(value) for value in np.ravel(getattr(self, name)))
            if len(values) == 1:
                values *= self.channels
            if len(values) != self.channels:
                raise OptionError(
                    f"InputSpec.{name} has {len(values)} values for {self.channels} channels. "
                    "Give one for each, or one for all."
                )
            object.__setattr__(self, name, values)
        if min(self.std) <= 0:
            raise OptionError(f"InputSpec.std must be above 0, got {self.std}.")
        if self.interpolation not in _FILTERS:
            raise OptionError(f"no interpolation {self.interpolation!r}; there are {', '.join(_FILTERS)}.")
        if self.crop not in ("center", "none"):
            raise OptionError(f"InputSpec.crop must be 'center' or 'none', got {self.crop!r}.")
        if isinstance(self.resize, Sequence):
            object.__setattr__(self, "resize", (int(self.resize[0]), int(self.resize[1])))
        expected = (self.channels, self.height, self.width)
        if self.pixelwise is not None and self.pixelwise.shape != expected:
            raise OptionError(
                f"InputSpec.pixelwise is of {' x '.join(map(str, self.pixelwise.shape))}, and the network takes "
                f"{' x '.join(map(str, expected))}. Measure the training pictures at that size."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @property
    def short_side(self) -> int:
        """Pixels of the short side that reading a picture should at least keep."""
        if self.resize is None:
            return max(self.size)
        return self.resize if isinstance(self.resize, int) else max(self.resize)

    def changed(self, **fields: Any) -> InputSpec:
        """Return a specification with some fields changed; one mean and std for all channels follow their number.

        Statistics of each pixel are stretched to another size; another mean or std takes their place.

        Raises:
            OptionError: an unknown field, or a value that makes no sense.
        """
        if self.pixelwise is not None and "pixelwise" not in fields:
            if {"mean", "std"} & set(fields):
                fields["pixelwise"] = None
            elif fields.get("channels", self.channels) == self.channels:
                size = fields.get("height", self.height), fields.get("width", self.width)
                fields["pixelwise"] = self.pixelwise.resized(*(max(int(side), 1) for side in size))
        unknown = set(fields) - set(type(self).__dataclass_fields__)
        if unknown:
            known = ", ".join(type(self).__dataclass_fields__)
            raise OptionError(f"an InputSpec has no {', '.join(sorted(unknown))}; it has {known}.")
        if fields.get("channels", self.channels) != self.channels:
            for name in ("mean", "std"):
                if len(set(getattr(self, name))) == 1:
                    fields.setdefault(name, getattr(self, name)[:1])
        return replace(self, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as JSON-able values, all numbers of `pixelwise` among them where there are any."""
        values = {name: getattr(self, name) for name in type(self).__dataclass_fields__}
        if self.pixelwise is None:
            del values["pixelwise"]
        else:
            values["pixelwise"] = self.pixelwise.to_dict()
        return values

    def brief(self) -> dict[str, Any]:
        """Return the specification as `to_dict` does, but of `pixelwise` only shape and hash: what a recipe holds."""
        values = replace(self, pixelwise=None).to_dict()
        return values if self.pixelwise is None else {**values, "pixelwise": self.pixelwise.brief()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InputSpec:
        """Read what `to_dict` wrote.

        Raises:
            NetworkError: an entry is unknown.
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise NetworkError(f"unknown entries in the input specification: {', '.join(sorted(unknown))}.")
        sequences = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        read = {**values, **sequences}
        if isinstance(read.get("pixelwise"), dict):
            try:
                read["pixelwise"] = PixelStatistics.from_dict(read["pixelwise"])
            except OptionError as error:
                raise NetworkError(f"in the input specification, {error}") from error
        return cls(**read)

    # --- there

    def fit(self, picture: Image.Image) -> Image.Image:
        """Resize and crop a picture to the input's size, pixel for pixel as torchvision does."""
        return self._cropped(self._resized(picture))

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return the part of a picture that the network sees.

        Args:
            height: of the picture, pixels.
            width: likewise.

        Returns:
            Top, left, bottom and right edge of that part, in pixels of the picture; outside it where the crop is
            filled up with black. It is as many times as large as the input, down and across.

        Raises:
            ImageError: resized, the picture would be too large.
        """
        wide, high = self._wanted(width, height)
        # of the crop in the resized picture, as `_cropped` places it
        top, left = (
            round((found - wanted) / 2) if found >= wanted else -((wanted - found) // 2)
            for found, wanted in ((high, self.height), (wide, self.width))
        )
        down, across = height / high, width / wide
        return top * down, left * across, (top + self.height) * down, (left + self.width) * across

    def _resized(self, picture: Image.Image) -> Image.Image:
        wanted = self._wanted(*picture.size)
        return picture if wanted == picture.size else picture.resize(wanted, _FILTERS[self.interpolation])

    def _wanted(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height that a picture is resized to before it is cropped."""
        target = self.resize
        if target is None and self.crop == "none":
            target = self.size
        if isinstance(target, tuple):
            return target[1], target[0]
        if target is None:  # just large enough that the crop is filled
            scale = max(self.height / height, self.width / width)
            wanted = (max(self.width, round(width * scale)), max(self.height, round(height * scale)))
        elif width <= height:
            wanted = (target, int(target * height / width))
        else:
            wanted = (int(target * width / height), target)
        if wanted[0] * wanted[1] > _LARGEST:
            raise ImageError(
                f"a picture of {width} x {height} pixels would become {wanted[0]} x {wanted[1]} before it is cropped, "
                "which is too large. Crop it to a less extreme shape first."
            )
        return wanted

    def _cropped(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        if (height, width) == self.size:
            return picture
        if self.crop == "none":
            raise OptionError(
                f"with crop='none' the resize rule {self.resize!r} gives {height} x {width}, "
                f"not {self.height} x {self.width}."
            )
        if height < self.height or width < self.width:  # fill up evenly; the odd pixel goes to the right and below
            left, top = max(self.width - width, 0) // 2, max(self.height - height, 0) // 2
            canvas = Image.new(picture.mode, (max(width, self.width), max(height, self.height)))
            canvas.paste(picture, (left, top))
            picture = canvas
            width, height = picture.size
        top, left = round((height - self.height) / 2), round((width - self.width) / 2)
        return picture.crop((left, top, left + self.width, top + self.height))

    def preprocess(self, picture: Image.Image | NDArray[Any]) -> Tensor:
        """Turn a picture into what the network takes.

        Args:
            picture: a Pillow image with as many bands as there are channels, or an array (H, W, C), uint8
                or float in [0, 1]; arrays are resized by antialiased bilinear or bicubic interpolation.

        Returns:
            Shape (C, height, width), float32, normalised.

        Raises:
            OptionError: the number of bands is not the number of channels.
        """
        if isinstance(picture, Image.Image):
            values = np.asarray(self.fit(picture))
            values = values[:, :, None] if values.ndim == 2 else values
        else:
            values = self.fit_array(picture)
        if values.shape[2] != self.channels:
            raise OptionError(f"a picture with {values.shape[2]} channels for a network that takes {self.channels}.")
        image = torch.from_numpy(np.array(values)).permute(2, 0, 1).contiguous()
        return self.normalise(image.float().div(255) if image.dtype == torch.uint8 else image.float())

    def fit_array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Bring an array (H, W, C), uint8 or float in [0, 1], to the input's size: (height, width, C), float32."""
        scaled = values.astype(np.float32) / 255 if values.dtype == np.uint8 else values.astype(np.float32)
        if scaled.shape[:2] == self.size:
            return scaled
        # one band at a time, as Pillow keeps floats in single-band pictures only
        bands = [
            np.asarray(self.fit(Image.fromarray(np.ascontiguousarray(scaled[:, :, index]))))
            for index in range(scaled.shape[2])
        ]
        return np.stack(bands, axis=2)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn values in [0, 1], shape (..., C, H, W), into what the network takes.

        Pictures of another size than the input's are normalised by the statistics of each pixel stretched to it.
        """
        mean, std = self._constants(images)
        return (images - mean) / std

    # --- and back

    def denormalise(self, images: Tensor) -> Tensor:
        """Turn what the network takes back into values on the scale [0, 1]; not clipped."""
        mean, std = self._constants(images)
        return images * std + mean

    def pixels(self, images: Tensor) -> NDArray[np.uint8]:
        """Return a normalised batch as pictures to show.

        Args:
            images: shape (N, C, H, W), normalised.

        Returns:
            uint8, shape (N, H, W, 3). With 3 channels or more the first three are red, green and blue;
            otherwise the first is shown in grey.
        """
        kept = 3 if self.channels >= 3 else 1
        mean, std = (values[:kept] * 255 for values in self._constants(images.detach().float()))
        # cutting off the decimals of a value half higher rounds it
        shown = torch.addcmul(mean + 0.5, images[:, :kept].detach().float(), std).clamp_(0, 255).byte()
        return shown.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def baseline(self, name: str, images: Tensor) -> Tensor:
        """Return a picture in which nothing is to be seen, normalised.

        The zero of the normalised values is the mean colour of the training set (normalised at each pixel: its mean
        picture), not black, so baselines are named by what they look like.

        Args:
            name: black, white, grey (0.5 everywhere), or mean (the specification's mean colour, or mean picture).
            images: the batch that it is for, (N, C, H, W): gives device and type.

        Returns:
            Shape (1, C, H, W), like `images`.

        Raises:
            OptionError: no such baseline.
        """
        levels = {"black": 0.0, "white": 1.0, "grey": 0.5, "gray": 0.5}
        blank = torch.zeros_like(images[:1])
        if name == "mean":
            return blank
        if name not in levels:
            raise OptionError(f"no baseline {name!r}; there are {_BASELINES}.")
        return self.normalise(blank + levels[name])

    def _constants(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.pixelwise is not None:
            return self.pixelwise.tensors(images)
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        if images.dim() == 4 and images.is_contiguous(memory_format=torch.channels_last):
            # a whole row, in the same order of memory, so that torch goes through pictures in long strides, not pixel
            # by pixel: a seventh of the time
            rows = images.shape[3], 1, 1
            mean, std = (values.permute(1, 2, 0).repeat(rows).permute(2, 1, 0) for values in (mean, std))  # (C, 1, W)
        return mean, std
