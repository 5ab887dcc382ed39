"""Pixels that people look at, checked by their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as samples
from skimage.color import rgb2lab

from lightness import imported_by
from striate.drawing import (
    ACCENT,
    INK,
    MISSING,
    NIGHT_INK,
    NIGHT_PAPER,
    OKABE_ITO,
    PAPER,
    PARTNER,
    colour,
    cyclic,
    diverging,
    draw_box,
    enlarge,
    label,
    magma,
    overlay,
    place,
    resample_bilinear,
    rgb,
    sheet,
)


def lightness(pixels: np.ndarray) -> np.ndarray:
    """L* of CIE Lab, 0 to 100: how light people find it; computed by scikit-image, not by us."""
    return rgb2lab(pixels.reshape(1, -1, 3) / 255)[0, :, 0]


def distance(pixels: np.ndarray, to: str) -> np.ndarray:
    """Distance from a colour in CIE Lab."""
    lab = rgb2lab(pixels.reshape(1, -1, 3) / 255)[0]
    return np.linalg.norm(lab - rgb2lab(np.array([[rgb(to)]]) / 255)[0, 0], axis=1)


# --- colours -------------------------------------------------------------------------------------------------------


def test_names_of_colours():
    assert rgb("#e4572e") == (228, 87, 46)
    for name in (PAPER, INK, NIGHT_PAPER, NIGHT_INK, ACCENT, PARTNER, MISSING, *OKABE_ITO):
        assert len(name) == 7
        rgb(name)


def test_magma_runs_evenly_from_dark_to_light():
    ramp = magma(np.linspace(0, 1, 256))
    assert tuple(ramp[0]) == (0, 0, 4)  # ends as published
    assert tuple(ramp[-1]) == (252, 253, 191)
    steps = np.diff(lightness(ramp))
    assert steps.min() > -0.2  # lighter at every step, to the rounding of whole colours
    assert np.diff(lightness(ramp[::16])).std() < 1.2  # and evenly so


def test_zero_is_exactly_paper_and_the_ends_are_exactly_the_two_colours():
    np.testing.assert_array_equal(
        diverging(np.array([-9.0, -1, -0.0, 0, 1, 9])),
        [rgb(PARTNER), rgb(PARTNER), rgb(PAPER), rgb(PAPER), rgb(ACCENT), rgb(ACCENT)],
    )


def test_both_sides_of_zero_are_equally_strong():
    steps = np.linspace(0, 1, 52)
    plus, minus = (distance(diverging(sign * steps), PAPER) for sign in (1, -1))
    assert (np.diff(plus) > 0).all()
    assert (np.diff(minus) > 0).all()
    assert plus[10] > 5  # a fifth of the strength is seen
    # Lab and Oklab disagree on how far apart orange and blue are; neither side may look half as strong as the other
    assert (minus[5:] / plus[5:]).min() > 0.55
    assert np.abs(np.diff(lightness(diverging(steps)))).max() < 2
    assert np.abs(np.diff(lightness(diverging(-steps)))).max() < 2


def test_what_is_no_number_is_grey_and_what_is_outside_is_the_end():
    np.testing.assert_array_equal(
        magma(np.array([np.nan, np.inf, -np.inf, 7.0])), [rgb(MISSING), *magma(np.array([1.0, 0.0, 1.0]))]
    )
    np.testing.assert_array_equal(diverging(np.array([[np.nan]])), [[rgb(MISSING)]])
    table = np.concatenate([magma(np.linspace(0, 1, 256)), diverging(np.linspace(-1, 1, 511))])
    assert not (table == rgb(MISSING)).all(axis=1).any()


@pytest.mark.parametrize("function", [magma, diverging])
def test_whole_numbers_are_refused(function):
    with pytest.raises(TypeError, match="must be decimal numbers"):
        function(np.array([0, 255], dtype=np.uint8))
    assert function(np.zeros((2, 3, 4), dtype=np.float16)).shape == (2, 3, 4, 3)
    assert function(np.array(0.5)).shape == (3,)


def test_colour_uses_the_stated_scale():
    values = np.array([2.0, 3.0, 4.0])
    np.testing.assert_array_equal(colour(values, signed=False, low=2, high=4), magma(np.array([0, 0.5, 1])))
    np.testing.assert_array_equal(colour(values, signed=True, low=-8, high=4), diverging(values / 8))
    np.testing.assert_array_equal(colour(values, signed=False, low=3, high=3), magma(np.zeros(3)))
    odd = np.array([0.0, np.nan, np.inf])
    np.testing.assert_array_equal(colour(odd, signed=True, low=0, high=0), [rgb(PAPER), rgb(MISSING), rgb(PAPER)])
    for low, high in ((1, 0), (0, np.nan), (-np.inf, 0)):
        with pytest.raises(ValueError, match="finite ends, low <= high"):
            colour(values, signed=False, low=low, high=high)


def test_colouring_many_maps_is_colouring_each():
    maps = np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_array_equal(magma(maps)[1], magma(maps[1]))


# --- overlays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ground", [0, 40, 128, 200, 255])
def test_the_hottest_pixel_comes_out_hottest(ground):
    values = np.linspace(0, 1, 64).reshape(8, 8)
    np.random.default_rng(0).shuffle(values)
    picture = np.full((8, 8, 3), ground, dtype=np.uint8)
    drawn = overlay(picture, values, signed=False)
    hottest = np.unravel_index(values.argmax(), values.shape)
    end = np.array(magma(np.array(1.0)), dtype=int)
    assert np.abs(drawn[hottest].astype(int) - end).max() <= np.ceil(0.15 * 255)
    # nearer to the hottest colour than every other pixel
    gaps = np.abs(drawn.astype(int) - end).sum(axis=2)
    assert gaps.argmin() == values.argmax()
    assert (gaps[values < 0.9] > gaps.min()).all()


def test_overlay_by_hand():
    # grey 100 stays grey and loses 0.6 / 4 of its brightness: 85. At 1: 0.15 * 85 + 0.85 * (252, 253, 191)
    picture = np.full((1, 3, 3), 100, dtype=np.uint8)
    drawn = overlay(picture, np.array([[0.0, 1.0, np.nan]]), signed=False)
    np.testing.assert_array_equal(drawn[0], [[85] * 3, [227, 228, 175], [85] * 3])
    np.testing.assert_array_equal(overlay(picture, np.array([[0.0, 1, 5]]), signed=False, strength=0, mute=0), picture)
    pure = overlay(picture, np.array([[1.0, 2.0, -3.0]]), signed=False, strength=1, mute=0)
    np.testing.assert_array_equal(pure[0], [*magma(np.array([1.0, 1.0])), [100] * 3])
    assert (picture == 100).all()


def test_signed_overlay_by_hand():
    picture = np.full((1, 4, 3), 100, dtype=np.uint8)
    drawn = overlay(picture, np.array([[-1.0, 0.0, 0.5, 1.0]]), signed=True, strength=1, mute=0)
    half = (100 + np.array(rgb(ACCENT))) / 2
    np.testing.assert_array_equal(drawn[0], [rgb(PARTNER), [100] * 3, np.rint(half), rgb(ACCENT)])


def test_opacity_follows_strength_on_a_photograph():
    picture = samples.chelsea()[:64, :64]
    ramp = np.linspace(0, 1, 64)[None].repeat(64, axis=0)
    for signed in (False, True):
        drawn = overlay(picture, ramp, signed=signed, mute=0)
        np.testing.assert_array_equal(drawn[:, 0], picture[:, 0])
        # what is left of the photograph's own contrast falls steadily to 15 %
        left = drawn.astype(float).std(axis=0).mean(axis=1) / picture.astype(float).std(axis=0).mean(axis=1)
        np.testing.assert_allclose(left, 1 - 0.85 * ramp[0], atol=0.02)


def test_the_picture_steps_back_in_colour():
    orange = np.full((1, 1, 3), rgb(ACCENT), dtype=np.uint8)
    drawn = overlay(orange, np.zeros((1, 1)), signed=True, mute=1)
    assert drawn.std() == 0
    assert distance(overlay(orange, np.zeros((1, 1)), signed=True), ACCENT) > 20


def test_overlay_refuses_what_would_go_wrong():
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"the map is \(2, 2\), the picture \(4, 4\)"):
        overlay(picture, np.zeros((2, 2)), signed=False)
    with pytest.raises(TypeError, match="must be decimal numbers"):
        overlay(picture, np.zeros((4, 4), dtype=np.uint8), signed=False)
    with pytest.raises(TypeError, match="pixels must be uint8"):
        overlay(picture / 255, np.zeros((4, 4)), signed=False)
    with pytest.raises(ValueError, match="must lie in"):
        overlay(picture, np.zeros((4, 4)), signed=False, strength=2)


# --- directions ----------------------------------------------------------------------------------------------------


def test_directions_are_equally_light_and_opposite_ones_differ_most():
    angles = np.linspace(-np.pi, np.pi, 73)
    colours = cyclic(angles)
    assert np.ptp(lightness(colours)) < 12
    np.testing.assert_array_equal(cyclic(angles + 2 * np.pi), colours)
    lab = rgb2lab(colours[None] / 255)[0, :72]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    steps = np.abs(apart.argmax(axis=1) - np.arange(72))
    assert (np.minimum(steps, 72 - steps) > 24).all()  # the most different colour is more than a third of a turn away
    assert (np.linalg.norm(np.diff(lab, axis=0), axis=1) < 6).all()  # no direction jumps
    # right is of the accent's hue, left of the partner's
    assert distance(cyclic(np.zeros(1)), ACCENT) < distance(cyclic(np.zeros(1)), PARTNER)
    assert distance(cyclic(np.full(1, np.pi)), PARTNER) < distance(cyclic(np.full(1, np.pi)), ACCENT)
    assert (cyclic(np.array([np.nan])) == rgb(MISSING)).all()
    with pytest.raises(TypeError, match="must be decimal numbers"):
        cyclic(np.zeros(3, dtype=np.int64))


# --- enlarging, sheets, labels -------------------------------------------------------------------------------------


def test_enlarge_keeps_hard_edges():
    np.testing.assert_array_equal(enlarge(np.array([[1, 2]]), 2), [[1, 1, 2, 2], [1, 1, 2, 2]])
    assert enlarge(np.zeros((2, 3, 3), dtype=np.uint8), 4).shape == (8, 12, 3)
    with pytest.raises(ValueError, match="at least 1"):
        enlarge(np.zeros((2, 2)), 0)


def test_resample_bilinear_averages():
    checks = np.tile(np.array([[0, 255], [255, 0]], dtype=np.uint8), (8, 8))
    assert np.abs(resample_bilinear(checks, (4, 4)).astype(int) - 128).max() <= 8
    assert resample_bilinear(np.zeros((2, 3, 3), dtype=np.uint8), (10, 20)).shape == (10, 20, 3)


def solid(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_sheet_by_hand():
    drawn = sheet([solid(2, 3, 10), solid(2, 3, 20), solid(2, 3, 30)], columns=2)
    assert drawn.shape == (2 + 2 + 2, 3 + 2 + 3, 3)
    assert (drawn[:2, :3] == 10).all()
    assert (drawn[:2, 5:] == 20).all()
    assert (drawn[4:, :3] == 30).all()
    for empty in (drawn[2:4], drawn[:, 3:5], drawn[4:, 5:]):
        assert (empty == rgb(PAPER)).all()


def test_sheet_of_different_sizes_centres():
    drawn = sheet([solid(4, 4, 10), solid(2, 2, 20)], columns=1, gap=0, background="#000000")
    assert drawn.shape == (8, 4, 3)
    assert (drawn[5:7, 1:3] == 20).all()
    assert drawn[4:].sum() == 20 * 12


@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_every_cell_is_in_the_sheet_once(count, height, width, gap):
    cells = np.stack([solid(height, width, 1 + index) for index in range(count)])
    drawn = sheet(cells, gap=gap, background="#000000")
    np.testing.assert_array_equal(
        np.bincount(drawn[:, :, 0].ravel(), minlength=count + 1)[1:], [height * width] * count
    )


def test_sheets_are_about_square_and_take_greys():
    drawn = sheet(np.zeros((64, 7, 7, 3), dtype=np.uint8))
    assert drawn.shape == (8 * 9 - 2, 8 * 9 - 2, 3)
    drawn = sheet(np.zeros((12, 10, 40, 3), dtype=np.uint8))
    assert 0.5 < drawn.shape[0] / drawn.shape[1] < 2
    assert sheet([np.zeros((2, 2), dtype=np.uint8)]).shape == (2, 2, 3)
    for cells, columns in (([], None), ([solid(1, 1, 0)], 0)):
        with pytest.raises(ValueError, match="a sheet needs at least one"):
            sheet(cells, columns)


def test_label_adds_a_strip_and_leaves_the_picture():
    picture = solid(20, 120, 77)
    drawn = label(picture, "layer4.1:17", size=12, monospace=True)
    assert drawn.shape == (38, 120, 3)
    np.testing.assert_array_equal(drawn[:20], picture)
    strip = drawn[20:]
    assert lightness(strip).min() < 25  # there are letters
    assert (strip[0] == rgb(PAPER)).all()  # which do not touch the picture
    assert (strip[-1] == rgb(PAPER)).all()
    assert (label(picture, " ")[20:] == rgb(PAPER)).all()
    assert (label(picture, "dark", ink=NIGHT_INK, background=NIGHT_PAPER)[20] == rgb(NIGHT_PAPER)).all()


def test_long_labels_end_in_an_ellipsis_and_hanging_letters_fit():
    picture = solid(4, 60, 77)
    long = label(picture, "tabby cat, and much more that does not fit")
    assert (long[4:, -1] == rgb(PAPER)).all()
    assert not np.array_equal(long, label(picture, "tabby cat"))
    assert label(solid(4, 1, 77), "tiny").shape == (22, 1, 3)
    for size in (9, 12, 24):
        assert (label(solid(4, 300, 77), "gjpqyÄÅ|(", size=size)[-1] == rgb(PAPER)).all()
    np.testing.assert_array_equal(label(picture, "a\nb"), label(picture, "a b"))


# --- boxes ---------------------------------------------------------------------------------------------------------


def accent_places(drawn: np.ndarray) -> np.ndarray:
    return (drawn == rgb(ACCENT)).all(axis=2)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_box_surrounds_its_pixels_and_leaves_them(ground):
    picture = solid(40, 50, ground)
    drawn = draw_box(picture, (10, 12, 19, 30), scale=4)
    assert drawn.shape == (160, 200, 3)
    marked = accent_places(drawn)
    # rows 10..19 are 40..79 when enlarged; three pixels of line stand right outside
    assert marked[37:40, 45:127].all()
    assert marked[80:83, 45:127].all()
    assert marked[37:83, 45:48].all()
    assert marked[37:83, 124:127].all()
    assert marked.sum() == (46 * 82) - (40 * 76)
    assert (drawn[43:77, 51:121] == ground).all()  # inside, but for the halo
    assert (drawn[:30] == ground).all()
    if ground:
        assert (drawn[36, 60] < ground).all()  # the dark halo, on both sides
        assert (drawn[41, 60] < ground).all()


@pytest.mark.parametrize(
    ("box", "row", "column"),
    [
        ((-9, 10, 19, 29), slice(0, 3), 50),
        ((20, 10, 99, 29), slice(77, 80), 50),
        ((10, -5, 19, 29), 30, slice(0, 3)),
        ((10, 30, 19, 500), 30, slice(97, 100)),
        ((-500, -500, 500, 500), slice(0, 3), 50),
    ],
)
def test_a_box_partly_outside_is_closed_along_the_edge(box, row, column):
    marked = accent_places(draw_box(solid(40, 50, 128), box, scale=2))
    assert marked[row, column].all()


@pytest.mark.parametrize("box", [(50, 0, 60, 10), (-9, 0, -1, 10), (0, 50, 5, 60), (0, -5, 5, -1), (9, 9, 8, 8)])
def test_a_box_outside_marks_nothing(box):
    picture = solid(40, 50, 128)
    np.testing.assert_array_equal(draw_box(picture, box, scale=1), picture)


def test_a_box_at_single_density_is_a_finer_line():
    drawn = draw_box(solid(40, 50, 255), (10, 12, 19, 30), scale=1)
    assert drawn.shape == (40, 50, 3)
    assert accent_places(drawn)[9, 13:30].all()
    assert not accent_places(drawn)[8].any()


def test_a_box_of_one_pixel_shows_that_pixel():
    picture = solid(9, 9, 255)
    drawn = draw_box(picture, (4, 4, 4, 4), scale=8)
    assert (drawn[36, 36] == 255).all()
    assert accent_places(drawn)[30, 36]


# --- placing -------------------------------------------------------------------------------------------------------


def test_place_by_hand():
    # units on pixels 1 and 3: before the first and behind the last the edge continues, halfway lies the mean
    values = np.array([[0.0, 4.0], [8.0, 12.0]])
    np.testing.assert_allclose(
        place(values, (1, 1), (2, 2), (5, 5)),
        [[0, 0, 2, 4, 4], [0, 0, 2, 4, 4], [4, 4, 6, 8, 8], [8, 8, 10, 12, 12], [8, 8, 10, 12, 12]],
    )


def test_place_puts_each_unit_on_its_centre():
    values = np.random.default_rng(0).random((2, 7, 5)).astype(np.float32)
    placed = place(values, (16, 8), (32, 16), (224, 80))
    assert placed.shape == (2, 224, 80)
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed[:, 16::32, 8::16], values, rtol=1e-6)
    np.testing.assert_allclose(placed[0], place(values[0], (16, 8), (32, 16), (224, 80)), rtol=1e-6)


def test_place_of_one_unit_is_constant_and_of_half_pixels_is_halfway():
    assert (place(np.array([[3.0]]), (99, -5), (0, 0), (4, 6)) == 3).all()
    np.testing.assert_allclose(place(np.array([[0.0, 8.0]]), (0, 1.5), (0, 4), (1, 7))[0], [0, 0, 1, 3, 5, 7, 8])
    with pytest.raises(ValueError, match="more than 0 pixels apart"):
        place(np.zeros((2, 2)), (0, 0), (0, 1), (4, 4))


@settings(deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(-50, 50), st.floats(0.1, 40), st.integers(1, 40), st.integers(0, 99)
)
def test_place_invents_no_values_and_keeps_constants(height, width, centre, jump, size, seed):
    values = np.random.default_rng(seed).random((height, width))
    placed = place(values, (centre, centre), (jump, jump), (size, size))
    assert placed.shape == (size, size)
    assert values.min() - 1e-9 <= placed.min() <= placed.max() <= values.max() + 1e-9
    np.testing.assert_allclose(place(np.full_like(values, 0.3), (centre, centre), (jump, jump), (size, size)), 0.3)


# --- the house -----------------------------------------------------------------------------------------------------


def test_import_brings_neither_torch_nor_matplotlib():
    found = imported_by("import striate.drawing, striate.images, striate.files, striate.progress")
    assert not found & {"torch", "matplotlib", "scipy"}
