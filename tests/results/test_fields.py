from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.geometry import Field, unknown_span


def test_the_patch_is_what_lies_in_the_box(receptive_fields):
    # 3x3, stride 2, padding 1: unit (3, 4) sees rows 5 to 7 and columns 7 to 9; unit (0, 0) is cut at the corner
    assert receptive_fields.boxes == ((0, 0, 1, 1), (5, 7, 7, 9))
    np.testing.assert_array_equal(receptive_fields.patch(1), receptive_fields.pictures[1][5:8, 7:10])


def test_the_box_is_drawn_and_the_picture_is_left_alone(receptive_fields):
    before = receptive_fields.pictures.copy()
    drawn = receptive_fields.box(1)
    assert drawn.shape == (24, 32, 3)  # double density
    plain = replace(receptive_fields, boxes=((0, 0, 0, 0),) * 2).box(1)
    assert (drawn != plain).any()
    np.testing.assert_array_equal(receptive_fields.pictures, before)


def test_captions_say_where_and_how_far_to_trust(receptive_fields):
    assert receptive_fields.caption() == "Each unit sees 3 x 3 pixels, 2 pixels from its neighbour. Exact."
    assert [one.caption for one in receptive_fields.drawings()[2:]] == [
        "The unit sees rows 5 to 7, columns 7 to 9. The unit answers 2.5.",
        "What it sees, 3 x 3 pixels.",
    ]


def test_an_unknown_field_is_said(receptive_fields):
    lost = Field(unknown_span(), unknown_span(), (12, 16))
    whole = (lost.box(0, 0),) * 2
    unknown = replace(receptive_fields, field=lost, boxes=whole, values=None)
    assert "unknown" in unknown.caption()
    assert "all of the picture" in unknown.drawings()[0].caption
    assert unknown.numbers()["size"] is None
