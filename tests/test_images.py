"""Real files of every format: the right pixels, upright, in the mode that was asked for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as samples

from picture_files import ALPHA, BLOCKS, COLOURS, GREYS, chunk, palette_picture, pixels, png, refusal, save, tiff
from striate.images import read_image

# --- formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"compression": "packbits"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 0),  # six colours fit its palette
        ("JPEG", {"quality": 95, "subsampling": 0}, 4),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 4),
    ],
)
def test_colour_in_every_format(tmp_path, kind, options, tolerance):
    data = save(Image.fromarray(BLOCKS), kind, **options)
    path = tmp_path / "picture.with-a-wrong-ending.txt"
    path.write_bytes(data)
    for found in (pixels(data), pixels(path)):
        assert np.abs(found.astype(int) - BLOCKS).max() <= tolerance
    opaque = pixels(data, channels=4)
    assert (opaque[:, :, 3] == 255).all()
    np.testing.assert_array_equal(opaque[:, :, :3], pixels(data))
    grey = pixels(data, channels=1)
    np.testing.assert_array_equal(grey, np.asarray(Image.fromarray(pixels(data)).convert("L")))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_grey_and_two_levels(kind):
    data = save(Image.fromarray(GREYS), kind)
    np.testing.assert_array_equal(pixels(data, channels=1), GREYS)
    np.testing.assert_array_equal(pixels(data), GREYS[:, :, None].repeat(3, axis=2))
    data = save(Image.fromarray(GREYS > 120), kind)
    np.testing.assert_array_equal(pixels(data, channels=1), np.where(GREYS > 120, 255, 0))


DEEP = np.array([[0, 128, 257, 1000], [32767, 32768, 65407, 65535]], dtype=np.uint16)
DEEP_SCALED = np.array([[0, 0, 1, 4], [127, 128, 255, 255]], dtype=np.uint8)  # value / 257, rounded


@pytest.mark.parametrize(
    "data",
    [
        save(Image.fromarray(DEEP), "PNG"),
        save(Image.fromarray(DEEP), "TIFF"),
        save(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"),
        tiff(4, 2, 16, DEEP.tobytes()),
        tiff(4, 2, 16, (65535 - DEEP).tobytes(), photometric=0),  # white is zero
    ],
    ids=["png", "tiff", "tiff-lzw", "tiff-by-hand", "tiff-white-is-zero"],
)
def test_sixteen_bits_are_scaled_not_clipped(data):
    np.testing.assert_array_equal(pixels(data, channels=1), DEEP_SCALED)
    np.testing.assert_array_equal(pixels(data)[:, :, 1], DEEP_SCALED)


def test_sixteen_bits_in_colour_are_scaled():
    rows = b"".join(b"\0" + DEEP[row].repeat(3).astype(">u2").tobytes() for row in range(2))
    data = png(struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0), chunk(b"IDAT", zlib.compress(rows)))
    assert np.abs(pixels(data)[:, :, 0].astype(int) - DEEP_SCALED).max() <= 1


def test_twelve_bits_use_their_own_range():
    # Two numbers of 12 bits in three bytes: 0, 4095 and 2048, 16; value * 255 / 4095
    content = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x10])
    np.testing.assert_array_equal(pixels(tiff(2, 2, 12, content), channels=1), [[0, 255], [128, 1]])


def test_decimal_numbers_in_0_to_1_are_read_and_others_refused():
    values = np.array([[0, 0.5, 1]], dtype=np.float32)
    data = save(Image.fromarray(values), "TIFF")
    np.testing.assert_array_equal(pixels(data, channels=1), [[0, 128, 255]])
    text = refusal(save(Image.fromarray(values * 300), "TIFF"), name="scan.tif")
    assert text.startswith("scan.tif holds decimal numbers, from 0 to 300, and nothing says which is black")
    assert "nan" in refusal(save(Image.fromarray(values * np.nan), "TIFF"))


def test_whole_numbers_without_a_range_are_refused():
    values = np.array([[0, 70000]], dtype=np.int32)
    assert "whole numbers of 32 bits" in refusal(save(Image.fromarray(values), "TIFF"))
    assert "with a sign, from -5 to 9" in refusal(
        tiff(2, 1, 16, np.array([-5, 9], dtype=np.int16).tobytes(), sample_format=2)
    )


# --- transparency, palettes, CMYK ----------------------------------------------------------------------------------

OVER_WHITE = np.array([[[255, 0, 0], [255, 255, 255], [127, 127, 127]]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})], ids=lambda v: str(v)
)
def test_transparent_shows_white(kind, options):
    data = save(Image.fromarray(ALPHA), kind, **options)
    np.testing.assert_array_equal(pixels(data), OVER_WHITE)
    np.testing.assert_array_equal(pixels(data, channels=4), ALPHA)
    np.testing.assert_array_equal(pixels(data, channels=1), [[76, 255, 127]])


def test_grey_with_alpha():
    data = save(Image.fromarray(np.array([[[10, 255], [10, 0]]], dtype=np.uint8)), "PNG")
    np.testing.assert_array_equal(pixels(data, channels=1), [[10, 255]])
    np.testing.assert_array_equal(pixels(data, channels=4), [[[10, 10, 10, 255], [10, 10, 10, 0]]])


@pytest.mark.parametrize(
    ("kind", "transparency", "expected"),
    [
        ("PNG", None, [[255, 0, 0], [0, 0, 255], [0, 0, 0]]),
        ("PNG", 1, [[255, 0, 0], [255, 255, 255], [0, 0, 0]]),
        ("PNG", bytes([255, 0, 128]), [[255, 0, 0], [255, 255, 255], [127, 127, 127]]),
        ("GIF", None, [[255, 0, 0], [0, 0, 255], [0, 0, 0]]),
        ("GIF", 1, [[255, 0, 0], [255, 255, 255], [0, 0, 0]]),
        ("BMP", None, [[255, 0, 0], [0, 0, 255], [0, 0, 0]]),
        ("TIFF", None, [[255, 0, 0], [0, 0, 255], [0, 0, 0]]),
    ],
)
def test_palettes_are_looked_up(kind, transparency, expected):
    options = {} if transparency is None else {"transparency": transparency}
    data = save(palette_picture(), kind, **options)
    np.testing.assert_array_equal(pixels(data), [expected])
    assert (pixels(data, channels=4)[:, :, 3] == 255).all() == (transparency is None)
    np.testing.assert_array_equal(
        pixels(data, channels=1), np.asarray(Image.fromarray(np.array([expected], dtype=np.uint8)).convert("L"))
    )


@pytest.mark.parametrize(
    ("header", "row", "transparent"),
    [
        (struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0), bytes([7, 9]), struct.pack(">H", 7)),
        (struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0), struct.pack(">HH", 1799, 2313), struct.pack(">H", 1799)),
        (struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0), bytes([7, 7, 7, 9, 9, 9]), struct.pack(">HHH", 7, 7, 7)),
    ],
    ids=["grey", "grey-16", "colour"],
)
def test_one_transparent_colour_of_png(header, row, transparent):
    data = png(header, chunk(b"tRNS", transparent), chunk(b"IDAT", zlib.compress(b"\0" + row)))
    np.testing.assert_array_equal(pixels(data), [[[255] * 3, [9] * 3]])
    np.testing.assert_array_equal(pixels(data, channels=1), [[255, 9]])
    np.testing.assert_array_equal(pixels(data, channels=4)[:, :, 3], [[0, 255]])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    # Pillow writes the Adobe marker and inverted inks into a JPEG, as Photoshop does
    inks = Image.fromarray(BLOCKS).convert("CMYK")
    data = save(inks, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    assert kind != "JPEG" or b"Adobe" in data
    assert np.abs(pixels(data).astype(int) - BLOCKS).max() <= 6


def test_lab_of_tiff_is_converted():
    data = save(Image.new("LAB", (2, 1), (255, 128, 128)), "TIFF")
    assert pixels(data).shape == (1, 2, 3)


# --- animation, several pages, turns -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_many(kind):
    first = Image.fromarray(BLOCKS)
    options = {"lossless": True} if kind == "WEBP" else {}
    later = [Image.new("RGB", first.size, "red"), Image.new("RGB", first.size, "lime")]
    data = save(first, kind, save_all=True, append_images=later, **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames == 3
    np.testing.assert_array_equal(pixels(data), BLOCKS)


def test_first_picture_of_a_stereo_jpeg():
    data = save(Image.fromarray(BLOCKS), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 32))], quality=95)
    assert np.abs(pixels(data).astype(int)[8::16, 8::16] - COLOURS).max() <= 4


# What a viewer does to the stored pixels, by the EXIF standard's words: 6 is "the 0th row is the visual right-hand
# side", so the viewer turns clockwise.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
    ids=["jpeg", "png", "webp", "tiff", "tiff-lzw"],
)
def test_exif_turns_once(kind, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(Image.fromarray(BLOCKS), kind, exif=exif, **options)
    expected = TURNS[orientation](COLOURS)
    for channels in (1, 3, 4):
        found = pixels(data, channels=channels)[8::16, 8::16]
        assert found.shape[:2] == expected.shape[:2]
    assert np.abs(pixels(data).astype(int)[8::16, 8::16] - expected).max() <= 4


def test_broken_exif_turns_nothing():
    data = save(Image.fromarray(BLOCKS), "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    np.testing.assert_array_equal(pixels(data), BLOCKS)
    exif = Image.Exif()
    exif[0x0112] = 77
    np.testing.assert_array_equal(pixels(save(Image.fromarray(BLOCKS), "PNG", exif=exif)), BLOCKS)


# --- draft ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "short_side", "decoded"),
    [
        ((1000, 800), 100, (250, 200)),  # 1/4 leaves 200 = 2 x 100
        ((1000, 799), 100, (501, 400)),  # 1/4 would leave 199.75; the long side goes with the short one
        ((1000, 800), 50, (125, 100)),
        ((1000, 800), 20, (125, 100)),  # 1/8 is the least
        ((1000, 800), 201, (1000, 800)),
        ((800, 1000), 200, (400, 500)),
    ],
)
def test_draft_keeps_twice_the_short_side(size, short_side, decoded):
    data = save(Image.new("RGB", size, "teal"), "JPEG")
    assert read_image(data, short_side=short_side).size == decoded
    assert min(decoded) >= 2 * short_side or decoded == size
    assert read_image(data).size == size
    assert read_image(save(Image.new("RGB", size), "PNG"), short_side=short_side).size == size


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_draft_changes_little_after_the_resize(name, resample):
    camera = Image.fromarray(getattr(samples, name)()).resize((2400, 1800), Image.Resampling.BICUBIC)
    data = save(camera, "JPEG", quality=90)
    whole, reduced = (read_image(data, short_side=side) for side in (None, 224))
    assert reduced.size == (600, 450)
    a, b = (np.asarray(picture.resize((299, 224), resample)).astype(float) for picture in (whole, reduced))
    assert np.abs(a - b).mean() < 0.5  # of 255; 0.27 to 0.39 measured


def test_draft_of_a_real_file_changes_little(photographs):
    # 1,411 px are no multiple of 2: as libjpeg pads them, the mean difference would be 0.45 and the largest 36
    whole, reduced = (read_image(photographs / "retina.jpg", short_side=side) for side in (None, 224))
    assert (whole.size, reduced.size) == ((1411, 1411), (706, 706))
    a, b = (np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)) for picture in (whole, reduced))
    difference = np.abs(a.astype(int) - b)
    assert difference.mean() < 0.25
    assert difference.max() <= 5


@pytest.mark.parametrize("size", [(1801, 1793), (1793, 1801), (905, 1799)])
def test_draft_does_not_shift_odd_sizes(size):
    camera = Image.fromarray(samples.coffee()).resize(size, Image.Resampling.BICUBIC)
    data = save(camera, "JPEG", quality=90)
    a, b = (np.asarray(read_image(data, short_side=side).resize((100, 100), 2)).astype(float) for side in (None, 100))
    assert np.abs(a - b).mean() < 0.75  # 2 to 5 with libjpeg's padding


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 900), st.integers(100, 900), st.integers(8, 120))
@example(803, 802, 100)
def test_draft_never_changes_the_size_after_the_resize(width, height, short_side):
    def resized(size: tuple[int, int]) -> tuple[int, int]:  # the rule of torchvision
        short, long = sorted(size)
        return (short_side, short_side * long // short)

    found = read_image(save(Image.new("L", (width, height)), "JPEG"), channels=1, short_side=short_side).size
    assert resized(found) == resized((width, height))
    assert (found[0] <= found[1]) == (width <= height) or found[0] == found[1]
    assert min(found) >= 2 * short_side or found == (width, height)


def test_draft_is_turned_as_well():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(Image.fromarray(BLOCKS).resize((480, 320), 0), "JPEG", exif=exif, quality=95, subsampling=0)
    found = pixels(data, short_side=40)
    assert found.shape == (120, 80, 3)
    assert np.abs(found[20::40, 20::40].astype(int) - TURNS[6](COLOURS)).max() <= 6
