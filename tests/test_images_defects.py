"""Real files with every defect: one line that names the file, no other error, no warning."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from picture_files import GREYS, REAL, chunk, fuzz, palette_picture, pixels, png, refusal, save, tiff
from striate.errors import ImageError
from striate.images import MAX_PIXELS, encode_png, read_image

# --- defects -------------------------------------------------------------------------------------------------------


def test_missing_folder_empty_and_device(tmp_path):
    assert refusal(tmp_path / "cat.jpg") == f"{tmp_path}/cat.jpg does not exist. Check the name and the folder."
    assert refusal(str(tmp_path)) == f"{tmp_path} is a folder, not a picture. Give the pictures in it."
    (tmp_path / "empty.jpg").touch()
    assert "empty.jpg is empty (0 bytes)" in refusal(tmp_path / "empty.jpg")
    assert refusal(b"", name="upload") == "upload is empty (0 bytes). Copy or download it again."
    os.mkfifo(tmp_path / "pipe.png")
    assert "is not a regular file" in refusal(tmp_path / "pipe.png")
    assert "cannot be opened" in refusal(tmp_path / "empty.jpg" / "cat.jpg")
    assert "cannot be opened" in refusal("a\0b.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden(tmp_path):
    (tmp_path / "mine.png").write_bytes(b"x")
    (tmp_path / "mine.png").chmod(0)
    assert "may not be read by you" in refusal(tmp_path / "mine.png")


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b"\n <!DOCTYPE html><html>", "a web page: the download went wrong"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "an HEIC or AVIF picture: export it as JPEG"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "a film"),
        (b"version https://git-lfs.github.com/spec/v1", "`git lfs pull`"),
        (b"hello\x1b[31m", r"it begins with b'hello\x1b[3'"),
        (b"P6 1 1 255\n\0\0\0", "it begins with"),  # Pillow could read PPM; we do not
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 'text ("%!PS-Adobe'),  # nor Ghostscript
    ],
)
def test_not_a_picture_says_what_it_seems_to_be(tmp_path, content, seems):
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    text = refusal(path)
    assert text.startswith(f"{path} is not a picture that can be read: ")
    assert seems in text
    assert text.endswith("JPEG, PNG, WebP, TIFF, GIF and BMP pictures are read.")


def test_names_that_would_break_the_line(tmp_path):
    path = tmp_path / "evil\n\x1b[31m\udcff.jpg"
    path.write_bytes(b"nothing")
    assert r"evil\n\x1b[31m\udcff.jpg is not a picture" in refusal(path)


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_cut_off(tmp_path, kind, part):
    path = tmp_path / f"cat.{kind}"
    path.write_bytes(REAL[kind][: int(len(REAL[kind]) * part)])
    text = refusal(path)
    assert text.startswith(str(path))
    assert any(word in text for word in ("is cut off", "is damaged", "damaged or of a rare kind"))


def test_cut_off_jpeg_in_full_words():
    data = REAL["jpeg"]
    text = refusal(data[: len(data) // 2], name="cat.jpg")
    assert text.startswith("cat.jpg is cut off: a JPEG of ")
    assert text.endswith("Copy or download it again.")


def huge(kind: str) -> bytes:
    """Headers that claim 30,000 x 30,000 pixels, in files of a few bytes."""
    side = 30_000
    if kind == "png":
        return png(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), chunk(b"IDAT", zlib.compress(b"\0" * 99)))
    if kind == "gif":
        return (
            b"GIF89a"
            + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
            + b"\0" * 6
            + b",\0\0\0\0"
            + struct.pack("<HHB", side, side, 0)
            + b"\x02\x01\0\0;"
        )
    if kind == "tiff":
        return tiff(side, side, 8, b"\0" * 99)
    if kind == "bmp":
        return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    small = bytearray(save(Image.new("RGB", (8, 8)), "JPEG"))
    place = small.index(b"\xff\xc0") + 5
    small[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(small)


@pytest.mark.parametrize("kind", ["png", "gif", "tiff", "bmp", "jpeg"])
def test_decompression_bombs_are_refused_before_decoding(tmp_path, kind):
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(huge(kind))
    before = time.perf_counter()
    text = refusal(path)
    assert time.perf_counter() - before < 1
    assert text.startswith(f"{path} ")
    assert "Make it smaller first" in text or "make it smaller first" in text


def test_the_limit_is_ours_and_pillows_is_untouched(monkeypatch):
    data = save(Image.new("1", (15_000, 12_000)), "PNG")  # 180 million pixels in 22 kB
    assert "15,000 x 12,000 pixels, more than the 178 million" in refusal(data) or "180,000,000 pixels" in refusal(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as careless programs do
    assert refusal(data, name="big.png") == (
        "big.png has 15,000 x 12,000 pixels, more than the 178 million that are read: it may be a decompression bomb. "
        "If it is not, make it smaller first."
    )
    assert Image.MAX_IMAGE_PIXELS is None
    monkeypatch.undo()
    # Between half of Pillow's limit and ours Pillow warns; we read
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert read_image(save(Image.new("1", (10_000, 9_000)), "PNG"), channels=1).size == (10_000, 9_000)
    assert not heard
    assert MAX_PIXELS == 178_000_000
    assert "more than the 0.001 million" in refusal(save(Image.new("L", (50, 50)), "PNG"), max_pixels=1000)


def test_numbers_of_channels_that_pictures_do_not_have():
    assert refusal(REAL["png"], channels=5) == (
        "Pictures have 1, 3 or 4 channels, not 5: save the data as a NumPy array (.npy) of shape H x W x 5 and "
        "give that."
    )
    with pytest.raises(ValueError, match="short_side must be at least 1"):
        read_image(REAL["png"], short_side=0)


# --- fuzz ----------------------------------------------------------------------------------------------------------


def survives(data: bytes) -> None:
    """Either a picture or an `ImageError`, never anything else and never a warning."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for channels, short_side in ((3, None), (1, 8), (4, None)):
            text = ""
            try:
                picture = read_image(data, channels=channels, short_side=short_side, max_pixels=300_000, name="it")
                assert np.asarray(picture).dtype == np.uint8
                assert min(picture.size) > 0
            except ImageError as error:
                text = str(error)
            assert text == "" or (text.startswith("it ") and text.isprintable())
    assert not heard, [str(warning.message) for warning in heard]


BEGINNINGS = [data[:size] for data in REAL.values() for size in (4, 30)]


@fuzz
@given(st.sampled_from([b"", *BEGINNINGS, b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]), st.binary(max_size=300))
def test_random_bytes(beginning, rest):
    survives(beginning + rest)


@fuzz
@given(st.sampled_from(sorted(REAL)), st.floats(0, 1))
@example("png", 1.0)
def test_truncations(kind, part):
    survives(REAL[kind][: round(len(REAL[kind]) * part)])


TINY = {
    "exif": save(
        Image.new("RGB", (5, 4), "red"),
        "JPEG",
        exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
    ),
    "png-palette": save(palette_picture(), "PNG", transparency=bytes([255, 0, 128])),
    "png-animated": save(Image.new("L", (5, 4)), "PNG", save_all=True, append_images=[Image.new("L", (5, 4), 9)]),
    "png-text": encode_png(GREYS, {"striate": "recipe"}),
    "gif-animated": save(Image.new("L", (5, 4)), "GIF", save_all=True, append_images=[Image.new("L", (5, 4), 9)]),
    "tiff": save(Image.new("RGB", (5, 4), "red"), "TIFF"),
    "tiff-lzw": save(Image.new("RGBA", (5, 4), "red"), "TIFF", compression="tiff_lzw"),
    "tiff-deep": tiff(2, 2, 12, b"\0\x0f\xff\x80\0\x10"),
    "webp": save(Image.new("RGBA", (5, 4), "red"), "WEBP"),
    "webp-animated": save(Image.new("L", (5, 4)), "WEBP", save_all=True, append_images=[Image.new("L", (5, 4), 9)]),
    "bmp": save(palette_picture(), "BMP"),
    "cmyk": save(Image.new("CMYK", (5, 4)), "JPEG"),
}


def with_right_sums(data: bytes) -> bytes:
    """Mend the check sums of a PNG, so that changed bytes get past them and into the parsers."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            break
        mended += chunk(data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        place += 12 + length
    return bytes(mended + data[place:])


@fuzz
@given(st.sampled_from(sorted(TINY)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes(kind, changes):
    data = bytearray(TINY[kind])
    for part, value in changes:
        data[min(int(part * len(data)), len(data) - 1)] = value
    survives(with_right_sums(bytes(data)))


def test_a_misplaced_animation_header_does_not_warn():
    header, row = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), chunk(b"IDAT", zlib.compress(b"\0\x07"))
    data = png(header, row, chunk(b"acTL", struct.pack(">II", 0, 0)))
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(data)).load()
    survives(data)
    np.testing.assert_array_equal(pixels(data, channels=1), [[7]])


def test_many_threads_read_without_warnings_and_leave_the_filters():
    header, row = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), chunk(b"IDAT", zlib.compress(b"\0\x07"))
    warns = png(header, row, chunk(b"acTL", struct.pack(">II", 0, 0)))
    filters, allowed = list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                np.testing.assert_array_equal(pixels(warns, channels=1), [[7]])
                assert pixels(REAL["jpeg"]).shape == (60, 90, 3)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == filters
    assert allowed == ImageFile.LOAD_TRUNCATED_IMAGES
