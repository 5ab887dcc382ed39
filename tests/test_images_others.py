"""Pictures that are arrays, pictures in folders, and pictures that we write."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage import data as samples

from picture_files import ALPHA, GREYS, REAL, chunk, fuzz, pixels, png, save
from striate.errors import ImageError
from striate.images import SUFFIXES, data_uri, encode_jpeg, encode_png, find_images, png_text, read_array

# --- arrays --------------------------------------------------------------------------------------------------------


def stored(tmp_path: Path, values: Any, **options: Any) -> Path:
    path = tmp_path / "cube.npy"
    np.save(path, values, **options)
    return path


CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24


@pytest.mark.parametrize(
    "values",
    [CUBE, np.moveaxis(CUBE, -1, 0), np.asfortranarray(CUBE), CUBE.astype(">f8"), CUBE.astype(np.float64)],
    ids=["last", "first", "columns-first", "big-endian", "double"],
)
def test_arrays_of_four_channels(tmp_path, values):
    found = read_array(stored(tmp_path, values), 4)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_allclose(found, CUBE, rtol=1e-6)


def test_arrays_of_bytes_and_of_one_channel(tmp_path):
    values = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    np.testing.assert_allclose(read_array(stored(tmp_path, values), 1)[:, :, 0], [[0, 0.2], [0.4, 1]], rtol=1e-6)
    assert read_array(stored(tmp_path, values[None]), 1).shape == (2, 2, 1)
    assert read_array(stored(tmp_path, np.stack([values] * 3)), 3).flags.c_contiguous
    assert read_array(stored(tmp_path, values.astype(np.float16) / 255), 1).dtype == np.float32


@pytest.mark.parametrize(
    ("values", "channels", "text"),
    [
        (CUBE, 5, "has the shape 2 x 3 x 4; the network takes H x W x 5."),
        (CUBE[:, :, 0], 3, "has the shape 2 x 3; the network takes H x W x 3."),
        (CUBE, 1, "the network takes H x W x 1 or H x W."),
        (np.zeros((0, 4, 3)), 3, "has the shape 0 x 4 x 3"),
        (np.float32(1), 3, "has the shape of a single number"),
        (CUBE * 255, 4, "holds numbers from 0 to 244.375, not from 0 to 1"),
        (CUBE - 1, 4, "holds numbers from -1 to"),
        (CUBE * np.nan, 4, "holds numbers from nan to nan"),
        (CUBE.astype(np.int64), 4, "holds int64: save it as uint8 (0 to 255) or as float32 (0 to 1)"),
        (np.zeros((2, 2), dtype=[("a", "f4")]), 1, "save it as uint8"),
    ],
)
def test_arrays_that_are_refused(tmp_path, values, channels, text):
    with pytest.raises(ImageError) as caught:
        read_array(stored(tmp_path, values), channels)
    assert text in str(caught.value)
    assert "cube.npy" in str(caught.value)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("striate-was-here",)


def test_pickled_objects_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = stored(tmp_path, np.array([[Evil()]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="holds object"):
        read_array(path, 1)
    assert not (tmp_path / "striate-was-here").exists()


def test_an_array_header_may_not_claim_more_than_there_is(tmp_path):
    path = stored(tmp_path, CUBE)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(2, 3, 4)", b"(9999999, 9999999, 4)"[:9]).replace(b"(9999999,", b"(99,99,4)"))
    with pytest.raises(ImageError, match=r"is cut off: 96 bytes of 157 kB are there"):
        read_array(path, 4)
    path.write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(ImageError, match="is not a NumPy array that can be read"):
        read_array(path, 4)
    with pytest.raises(ImageError, match="does not exist"):
        read_array(tmp_path / "none.npy", 4)


ARRAY = io.BytesIO()
np.save(ARRAY, CUBE)


@fuzz
@given(st.lists(st.tuples(st.integers(0, len(ARRAY.getvalue()) - 1), st.integers(0, 255)), max_size=5), st.floats(0, 1))
def test_changed_arrays(tmp_path_factory, changes, part):
    data = bytearray(ARRAY.getvalue())
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.npy"
    path.write_bytes(data[: round(len(data) * part)] if part < 0.5 else data)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        text = ""
        try:
            found = read_array(path, 4)
            assert found.shape[-1] == 4
            assert 0 <= found.min() <= found.max() <= 1
        except ImageError as error:
            text = str(error)
        assert text.isprintable()
    assert not heard


# --- finding -------------------------------------------------------------------------------------------------------


def test_find_images_keeps_the_order_given_and_sorts_folders(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "b/notes.txt", "b/c/0.webp", "b/.hidden.png", "b/.cache/x.png", "b/._1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z.bin").touch()
    found = find_images([tmp_path / "z.bin", str(tmp_path / "b")])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["z.bin", "b/1.png", "b/2.JPG", "b/c/0.webp"]
    assert find_images([tmp_path], suffixes=[".txt"]) == [tmp_path / "b/notes.txt"]


def test_find_images_refuses_what_holds_none(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        ImageError, match=rf"There are no pictures in {tmp_path} \(1 other files\). Looked for .bmp .gif"
    ):
        find_images([tmp_path])
    with pytest.raises(ImageError, match=r"nowhere does not exist"):
        find_images([tmp_path / "nowhere"])
    with pytest.raises(ImageError, match="No pictures were given"):
        find_images([])


def test_suffixes_are_those_of_the_six_formats():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in SUFFIXES} == {"JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"}
    assert list(SUFFIXES) == sorted(SUFFIXES)


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3), (2, 3, 4), (1, 1)])
def test_png_holds_the_same_pixels(shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(values))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), values)
    np.testing.assert_array_equal(pixels(encode_png(values[::-1, ::-1]), channels=4).shape[:2], shape[:2])


@fuzz
@given(
    st.dictionaries(
        st.text("abcXYZ é-", min_size=1, max_size=20).filter(lambda key: key.strip() == key),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        max_size=4,
    )
)
def test_words_in_a_png_come_back(words):
    assert png_text(encode_png(GREYS, words)) == words


def test_long_words_and_words_behind_the_pixels(tmp_path):
    recipe = {"striate": '{"note": "größer als ' + "x" * 2_000_000 + '"}'}
    path = tmp_path / "result.png"
    path.write_bytes(encode_png(GREYS, recipe))
    assert png_text(path) == recipe
    late = png(
        struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), chunk(b"IDAT", zlib.compress(b"\0\0")), chunk(b"tEXt", b"a\0b")
    )
    assert png_text(late) == {"a": "b"}
    bomb = PngInfo()
    bomb.add_text("a", "x" * 5_000_000, zip=True)
    for wrong, reason in (
        (REAL["jpeg"], "is not a PNG"),
        (late[:44], "is cut off|is damaged"),
        (save(Image.new("L", (1, 1)), "PNG", pnginfo=bomb), "Decompressed data too large"),
    ):
        with pytest.raises(ImageError, match=reason):
            png_text(wrong)


def test_jpeg_stays_close():
    values = np.asarray(Image.fromarray(samples.chelsea()).resize((90, 60)))
    assert np.abs(pixels(encode_jpeg(values, quality=95)).astype(int) - values).mean() < 3
    with pytest.raises(ValueError, match="cannot be transparent"):
        encode_jpeg(ALPHA)


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)])
def test_pixels_of_another_kind_are_refused(values):
    with pytest.raises(ValueError, match="pixels must be uint8 of shape"):
        encode_png(values)


def test_data_uri():
    assert data_uri(encode_png(GREYS)).startswith("data:image/png;base64,iVBORw0KGgo")
    assert data_uri(REAL["jpeg"]).startswith("data:image/jpeg;base64,/9j/")
    assert data_uri(REAL["webp"]).startswith("data:image/webp;base64,UklG")
    with pytest.raises(ValueError, match="takes the bytes of a PNG"):
        data_uri(b"<svg>")
