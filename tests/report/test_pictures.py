from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from striate.drawing import diverging, magma
from striate.report.pictures import gradient, map_uri, photo_uri


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (150, 130)])
def test_maps_from_dark_to_light_are_exact(size):
    pixels = magma(np.random.default_rng(0).random(size))
    np.testing.assert_array_equal(np.asarray(decoded(map_uri(pixels)).convert("RGB")), pixels)


def test_maps_with_more_colours_than_a_palette_are_close():
    pixels = diverging(np.linspace(-1, 1, 40_000).reshape(200, 200))
    back = np.asarray(decoded(map_uri(pixels)).convert("RGB")).astype(int)
    assert np.abs(back - pixels).max() <= 4


def test_large_photographs_are_small_files_and_small_ones_exact():
    smooth = np.tile(np.linspace(0, 255, 224).astype(np.uint8)[:, None, None], (1, 224, 3))
    large, small = decoded(photo_uri(smooth)), decoded(photo_uri(smooth[:28, :28]))
    assert (large.format, small.format) == ("JPEG", "PNG")
    np.testing.assert_array_equal(np.asarray(small), smooth[:28, :28])
    assert np.abs(np.asarray(large).astype(int) - smooth).mean() < 2


def test_the_strip_of_a_signed_scale_is_paper_in_the_middle():
    stops = gradient(True).removesuffix(")").split(", ")[1:]
    assert len(stops) == 17
    assert stops[8] == "#fbfbf9"
