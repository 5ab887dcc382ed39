"""The part of a picture that a network sees, against a picture whose pixels say where they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate import InputSpec

SPECS = {
    "just filled": InputSpec(3, 24, 20),
    "short side, then the middle": InputSpec(3, 24, 20, resize=32),
    "squashed": InputSpec(3, 24, 20, resize=(24, 20), crop="none"),
    "filled up with black": InputSpec(3, 40, 48, resize=30),
}


@pytest.mark.parametrize("size", [(90, 120), (121, 77), (24, 20)])
@pytest.mark.parametrize("name", SPECS)
def test_places_in_the_input_are_places_in_the_picture(name, size):
    spec = SPECS[name]
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    top, left, bottom, right = spec.seen(height, width)
    for position, edges, length, axis in ((rows, (top, bottom), height, 0), (columns, (left, right), width, 1)):
        shown = np.asarray(spec.fit(Image.fromarray(position + 1)))  # 0 is what was filled up
        middle = shown[spec.height // 2] if axis else shown[:, spec.width // 2]
        units = np.arange(len(middle)) + 0.5
        expected = edges[0] + units * (edges[1] - edges[0]) / len(middle)  # in pixels from the edge of the picture
        inside = (middle > 0) & (expected > 3) & (expected < length - 3)
        assert inside.any()
        np.testing.assert_allclose(middle[inside] - 0.5, expected[inside], atol=0.3)


def test_what_is_filled_up_lies_outside_the_picture():
    top, left, bottom, right = InputSpec(3, 40, 48, resize=20).seen(20, 20)
    assert (top, left, bottom, right) == (-10, -14, 30, 34)
