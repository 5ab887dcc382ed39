"""Read any picture safely, and put pixels and words into PNG files. Knows no network: no resizing, no normalising.

Whatever a file holds, `read_image` gives an upright picture of whole pixels in the wanted mode, or an `ImageError` of
one line that names the file, says what is wrong and what to do. It never warns, never changes a setting of Pillow's,
and never decodes a picture of more than `MAX_PIXELS`, so that it can stand behind a public upload form.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

# Importing a plugin registers its format with Pillow: only these six are ever tried, and none of the other thirty.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.PngImagePlugin import PngInfo

from striate.errors import ImageError
from striate.files import byte_count, kind_of, one_line, opened, shown, why_undecodable

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "as_channels",
    "data_uri",
    "encode_jpeg",
    "encode_png",
    "find_images",
    "png_text",
    "quietly",
    "read_array",
    "read_image",
]

MAX_PIXELS: Final = 178_000_000
"""Pixels of the largest picture that is decoded: half a gigabyte in colour. More is taken for a decompression bomb."""

SUFFIXES: Final = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings by which pictures are found in folders. A file given by name may have any: its content decides."""

_FORMATS: Final = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        TiffImagePlugin.TiffImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
    )
)
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}

_ORIENTATION: Final = 0x0112  # the tag of EXIF and TIFF
_BITS, _PHOTOMETRIC = 258, 262  # tags of TIFF
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_quiet_lock = threading.Lock()


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    channels: int = 3,
    short_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """Read a picture upright, in the mode that a network of so many channels takes.

    The turn that EXIF asks for is applied. 16-bit greys are scaled to 8 bits, not clipped; palettes are looked up;
    what is transparent shows white, unless four channels are wanted; CMYK becomes RGB by Pillow's rule; of an
    animation or of several pages the first is taken. Colour profiles are not applied: networks were trained without.

    With `short_side` a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, by dropping high frequencies before
    they become pixels. The decoded short side stays at least twice `short_side`, so a later resize to that side
    still averages over 2 x 2 or more decoded pixels: it gives a picture of the same size that differs by about
    0.3 of 255 in the mean, and takes a third of the time. Other formats, and JPEGs below four times `short_side`, are
    decoded whole.

    Args:
        source: a file, or the bytes of one.
        channels: 3 for mode "RGB", 1 for "L", 4 for "RGBA".
        short_side: pixels of the short side that the picture is going to be resized to; None decodes it whole.
        max_pixels: refuse what has more; taken from the file's header, before anything is decoded.
        name: what to call the picture in errors; its path unless given.

    Returns:
        A picture that is loaded, has no file open and carries no metadata.

    Raises:
        ImageError: there is no such file, it is a folder, empty, no picture, cut off or damaged, has more than
            `max_pixels`, has numbers without a known range, or `channels` is none that pictures have.
        ValueError: `short_side` is below 1.
    """
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be at least 1 pixel, got {short_side}")
    if channels not in _MODES:
        raise ImageError(
            f"Pictures have 1, 3 or 4 channels, not {channels}: save the data as a NumPy array (.npy) of shape "
            f"H x W x {channels} and give that."
        )
    if name is None:
        name = "The picture" if isinstance(source, bytes) else shown(source)
    with opened(source, name) as stream:
        start = stream.read(64)
        if not start:
            raise ImageError(f"{name} is empty (0 bytes). Copy or download it again.")
        try:
            picture = _decode(stream, short_side, max_pixels, name)
            return _upright(_in_mode(picture, _MODES[channels], name), picture)
        except ImageError:
            raise
        except Exception as error:
            # Pillow's decoders meet bytes from anywhere and raise nearly every type there is for damaged ones
            # (OSError, SyntaxError, struct.error, IndexError, zlib.error, MemoryError, ...): all mean this.
            raise ImageError(why_undecodable(name, start, stream, error)) from error


def as_channels(picture: Image.Image, channels: int, name: str = "The picture") -> Image.Image:
    """Bring a picture that is open already upright into the mode that `read_image` would give it.

    Raises:
        ImageError: pictures have not so many channels, or this one cannot be decoded or has numbers without a range.
    """
    if channels not in _MODES:
        raise ImageError(
            f"Pictures have 1, 3 or 4 channels, not {channels}: give {name} as an array H x W x {channels}."
        )
    try:
        return _upright(_in_mode(picture, _MODES[channels], name), picture)
    except ImageError:
        raise
    except Exception as error:  # as in `read_image`: a picture may be decoded only now
        raise ImageError(f"{name} cannot be decoded: {one_line(error)}.") from error


def _decode(stream: IO[bytes], short_side: int | None, max_pixels: int, name: str) -> Image.Image:
    """Open, check the size that the header states, and decode the first frame."""
    stream.seek(0)
    with quietly():
        picture = Image.open(stream, formats=_FORMATS)
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width:,} x {height:,} pixels, more than the {max_pixels / 1e6:,.4g} million that are read: "
            "it may be a decompression bomb. If it is not, make it smaller first."
        )
    # The size asked for is the least that `draft` may leave; it does nothing for other formats than JPEG.
    drafted = None if short_side is None else picture.draft(None, (2 * short_side, 2 * short_side))
    # Silence is bought with a lock (see `quietly`), so only what can warn while it decodes pays for it: TIFF, and
    # PNG with a misplaced animation header. JPEG, WebP and most PNG files decode in as many threads as there are.
    with quietly() if picture.format == "TIFF" or _has_animation(picture, stream) else contextlib.nullcontext():
        picture.load()
    if drafted is None or short_side is None:
        return picture
    return _without_padding(picture, (width, height), drafted[1], short_side)


def _without_padding(
    picture: Image.Image, whole: tuple[int, int], covered: tuple[int, int, float, float], short_side: int
) -> Image.Image:
    """Undo the rounding of a decoding at reduced size, where there was any.

    1,411 pixels at half size are 705.5, and libjpeg makes 706 of them by inventing half a pixel: resized, the picture
    would be shifted, which costs more than all that was dropped (up to 5 of 255 in the mean). So the true extent is
    resampled to whole pixels, as many as make a resize to `short_side` give the size it gives for the whole picture.
    """
    if all(float(side).is_integer() for side in covered[2:]):
        return picture
    short, long = sorted(whole)
    new_short = round(min(covered[2:]))
    exact = new_short * long / short
    wanted = short_side * long // short  # the long side after the resize; a step of 1 here is at most half of one there
    fitting = [side for side in range(int(exact) - 2, int(exact) + 4) if short_side * side // new_short == wanted]
    new_long = min(fitting, key=lambda side: abs(side - exact))
    size = (new_long, new_short) if whole[0] > whole[1] else (new_short, new_long)
    return picture.resize(size, Image.Resampling.LANCZOS, box=(0.0, 0.0, covered[2], covered[3]))


def _has_animation(picture: Image.Image, stream: IO[bytes]) -> bool:
    """Whether the animation header of PNG stands anywhere in the file; the place in the stream stays as it is."""
    if picture.format != "PNG":
        return False
    place = stream.tell()
    stream.seek(0)
    found = b"acTL" in stream.read()
    stream.seek(place)
    return found


def _in_mode(picture: Image.Image, mode: str, name: str) -> Image.Image:
    """Bring a decoded picture to "L", "RGB" or "RGBA"; a new picture without metadata."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _eight_bits(picture, name)
    if "transparency" in picture.info or picture.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        if picture.mode == "La":  # grey multiplied by its alpha; there is no direct way to RGBA
            picture = picture.convert("LA")
        picture = picture.convert("RGBA")
        if mode != "RGBA":
            paper = Image.new("RGB", picture.size, "white")
            paper.paste(picture, mask=picture.getchannel("A"))
            picture = paper
    elif picture.mode not in ("1", "L", "RGB"):  # P, CMYK, YCbCr, LAB
        picture = picture.convert("RGB")
    picture = picture.convert(mode)  # a copy also where the mode is right: of a plain class, with no file behind it
    picture.info = {}
    return picture


def _eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """Scale greys of 12, 16 or 32 bits to 8: the largest number that the format can hold becomes 255."""
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    bits = int(tags.get(_BITS, (16,))[0])
    values = np.asarray(picture)  # (H, W) uint16, int32 or float32
    if picture.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ImageError(_no_range(name, "decimal numbers", values))
        grey = np.rint(values * 255).astype(np.uint8)
    elif bits > 16 or values.min() < 0 or values.max() >= 2**bits:
        raise ImageError(_no_range(name, "whole numbers of 32 bits or with a sign", values))
    else:
        # Each of the few possible values is rounded once; a table avoids full-size copies in float.
        table = np.rint(np.arange(2**bits) * (255 / (2**bits - 1))).astype(np.uint8)
        grey = table[values]
    transparent = picture.info.get("transparency")
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero: Pillow inverts that in 8 bits, not in more
        grey = 255 - grey
    scaled = Image.fromarray(grey)
    if isinstance(transparent, int):
        scaled.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return scaled


def _no_range(name: str, kind: str, values: np.ndarray[Any, Any]) -> str:
    return (
        f"{name} holds {kind}, from {values.min():.6g} to {values.max():.6g}, and nothing says which is black and "
        "which white. Scale them to [0, 1], or save the picture with 8 or 16 bits."
    )


def _upright(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF data (or XMP) asks for. Data that cannot be read ask for nothing."""
    if original.format == "TIFF":  # Pillow turned it already, while loading
        return picture
    if not original.info.keys() & {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}:
        return picture
    orientation: object = None
    with quietly(), contextlib.suppress(Exception):  # as in `read_image`: damaged metadata raise anything
        orientation = original.getexif().get(_ORIENTATION)
    if isinstance(orientation, int) and orientation in _TURNS:
        return picture.transpose(_TURNS[orientation])
    return picture


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Drop the warnings of Pillow's parsers: what they warn of either becomes our error or does not touch the pixels.

    Python keeps its warning filters for the whole process, so two threads must not set them aside at a time.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_array(
    path: str | os.PathLike[str] | bytes, channels: int, *, name: str | None = None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Read a picture of any number of channels from a NumPy file (`.npy`), as numbers from 0 to 1.

    This is the way for what picture formats cannot hold: 2 or 12 channels, depth, several bands. Pickled objects are
    refused. Where both ends of the shape could be the channels, the last is taken.

    Args:
        path: a `.npy` file of shape (H, W), (H, W, C) or (C, H, W); uint8 in 0..255, or float in [0, 1]; or its bytes.
        channels: C, as the network takes it; (H, W) counts as one.
        name: what to call it in errors; its path unless given.

    Returns:
        The picture, shape (H, W, C), float32 in [0, 1]; uint8 was divided by 255.

    Raises:
        ImageError: the file is missing, cut off, no `.npy`, of another shape or type, or has numbers outside [0, 1].
    """
    if name is None:
        name = "The array" if isinstance(path, bytes) else shown(path)
    with opened(path, name) as stream:
        values = _load_npy(stream, name)
    shape = " x ".join(str(side) for side in values.shape)
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.ndim == 3 and values.shape[-1] != channels and values.shape[0] == channels:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[-1] != channels or values.size == 0:
        wanted = f"H x W x {channels}" + (" or H x W" if channels == 1 else "")
        raise ImageError(f"{name} has the shape {shape or 'of a single number'}; the network takes {wanted}.")
    if values.dtype == np.uint8:
        return np.asarray(np.divide(values, np.float32(255), order="C", dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # so written that NaN is refused as well
        raise ImageError(
            f"{name} holds numbers from {low:.6g} to {high:.6g}, not from 0 to 1. Scale them (0 is black, 1 is white), "
            "or save them as uint8."
        )
    return np.array(values, dtype=np.float32, order="C")  # a copy: the bytes of a file cannot be written to


def _load_npy(stream: IO[bytes], name: str) -> np.ndarray[Any, Any]:
    """Load an array after its header was checked: a header may claim any size, and NumPy would make room for it."""
    try:
        with quietly():  # headers written by Python 2 make NumPy warn
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, columns_first, kind = header(stream)
    except Exception as error:
        # As with pictures: a damaged header raises ValueError, SyntaxError, TypeError, tokenize.TokenError, ...
        raise ImageError(f"{name} is not a NumPy array that can be read: {one_line(error)}. Save it again.") from error
    if not (kind == np.uint8 or kind.kind == "f"):
        raise ImageError(f"{name} holds {kind}: save it as uint8 (0 to 255) or as float32 (0 to 1).")
    expected = math.prod(shape) * kind.itemsize
    start = stream.tell()
    found = stream.seek(0, os.SEEK_END) - start
    if min(shape, default=1) < 0 or found < expected:
        raise ImageError(f"{name} is cut off: {byte_count(found)} of {byte_count(expected)} are there. Copy it again.")
    stream.seek(start)
    data = np.frombuffer(stream.read(expected), dtype=kind)
    return data.reshape(shape, order="F" if columns_first else "C")


def find_images(paths: Iterable[str | os.PathLike[str]], *, suffixes: Iterable[str] = SUFFIXES) -> list[Path]:
    """List the pictures meant by files and folders.

    Files stand as they are given, whatever their ending. Folders are walked with all that is in them, in the order of
    names; what is hidden (begins with a dot) is left out there, as are files with other endings.

    Args:
        paths: files and folders.
        suffixes: endings of what counts as a picture in a folder, in lower case with the dot.

    Returns:
        At least one path.

    Raises:
        ImageError: a path does not exist, a folder cannot be listed, or no picture was found.
    """
    wanted = frozenset(suffixes)
    given = [Path(path) for path in paths]
    found: list[Path] = []
    others = 0
    for path in given:
        try:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except (OSError, ValueError) as error:
            raise ImageError(f"{shown(path)} does not exist. Check the name and the folder.") from error
        if not is_folder:
            found.append(path)
            continue
        inside = sorted(_walk(path))
        chosen = [file for file in inside if file.suffix.lower() in wanted]
        others += len(inside) - len(chosen)
        found += chosen
    if not found:
        if not given:
            raise ImageError("No pictures were given. Give files, or folders that hold some.")
        folders = ", ".join(shown(path) for path in given[:3]) + (", ..." if len(given) > 3 else "")
        raise ImageError(
            f"There are no pictures in {folders} ({others:,} other files). Looked for {' '.join(sorted(wanted))}."
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden."""

    def refuse(error: OSError) -> None:
        raise ImageError(f"The folder {shown(error.filename)} cannot be listed: {error.strerror}.") from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))


def encode_png(pixels: np.ndarray[Any, Any], text: Mapping[str, str] | None = None) -> bytes:
    """Make a PNG of pixels, with words in it that `png_text` finds again.

    Args:
        pixels: uint8, shape (H, W) for grey, (H, W, 3) for RGB or (H, W, 4) for RGBA.
        text: what to write into the file, by key; keys of 1 to 79 Latin letters.

    Returns:
        The bytes of the file; no pixel is changed.

    Raises:
        ValueError: the pixels are of another type or shape.
    """
    information = PngInfo()
    for key, value in (text or {}).items():
        information.add_text(key, value)
    stream = io.BytesIO()
    _from_pixels(pixels).save(stream, "PNG", pnginfo=information)
    return stream.getvalue()


def encode_jpeg(pixels: np.ndarray[Any, Any], *, quality: int = 90) -> bytes:
    """Make a JPEG of pixels, for photographs in a page; colours at full resolution.

    Args:
        pixels: uint8, shape (H, W) for grey or (H, W, 3) for RGB.
        quality: 1 to 95.

    Raises:
        ValueError: the pixels are of another type or shape.
    """
    if pixels.ndim == 3 and pixels.shape[-1] == 4:
        raise ValueError("a JPEG cannot be transparent: give shape (H, W) or (H, W, 3)")
    stream = io.BytesIO()
    _from_pixels(pixels).save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
    return stream.getvalue()


def _from_pixels(pixels: np.ndarray[Any, Any]) -> Image.Image:
    right_shape = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (3, 4))
    if pixels.dtype != np.uint8 or not right_shape or pixels.size == 0:
        raise ValueError(
            f"pixels must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), got {pixels.dtype} of shape {pixels.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def png_text(path: str | os.PathLike[str] | bytes) -> dict[str, str]:
    """Read the words in a PNG file, such as the recipe of a saved result.

    Args:
        path: a PNG file, or its bytes.

    Returns:
        The text by key; empty when there is none.

    Raises:
        ImageError: it is no PNG, or damaged.
    """
    name = "The picture" if isinstance(path, bytes) else shown(path)
    with opened(path, name) as stream:
        start = stream.read(64)
        if kind_of(start) != "PNG":
            raise ImageError(f"{name} is not a PNG file, so there are no words in it to read.")
        try:
            picture = _decode(stream, None, MAX_PIXELS, name)  # text may also follow the pixels
        except ImageError:
            raise
        except Exception as error:  # as in `read_image`
            raise ImageError(why_undecodable(name, start, stream, error)) from error
        return {key: str(value) for key, value in getattr(picture, "text", {}).items()}


def data_uri(data: bytes) -> str:
    """Turn the bytes of a picture into an address that a page shows without any file beside it.

    Raises:
        ValueError: the bytes are no picture that pages show.
    """
    kind = kind_of(data[:64])
    if kind not in ("PNG", "JPEG", "WebP", "GIF"):
        raise ValueError("data_uri takes the bytes of a PNG, JPEG, WebP or GIF")
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"
