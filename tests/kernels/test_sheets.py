"""The sheets that a lecturer shows: what is on them, on photographs and on pictures of any shape."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from striate import drawing, kernels
from striate.errors import ImageError, OptionError
from striate.images import png_text
from striate.kernels.sheets import brightness, photograph
from striate.results.kernel_sheet import wheel

from striate.results._weights import weight  # isort: skip


@pytest.fixture(scope="module")
def sheet(chelsea):
    return kernels.compare(chelsea, side=120)


def test_the_lectures_comparison_is_all_there(sheet):
    titles = [panel.title for panel in sheet.panels]
    for title in ("edge right", "sobel right", "prewitt right", "kirsch right"):
        assert titles.count(title) == 1
    for title in ("blur 3", "blur 9", "sharpen 2", "sharpen 8", "sobel magnitude", "sobel direction"):
        assert titles.count(title) == 1
    assert [len(row.panels) for row in sheet.rows] == [4, 4, 4]
    assert sheet.rows[1].heading == "Edges: brighter on the right"
    assert sheet.picture.shape == (80, 120, 3)


def test_panels_hold_what_convolve_gives(sheet, chelsea):
    pixels, name = photograph(chelsea, 120)
    assert name == "chelsea.png"
    same = {"mode": "correlation", "padding": "same", "border": "replicate"}
    kirsch = kernels.convolve(brightness(pixels), kernels.kirsch("right"), **same)
    np.testing.assert_allclose(sheet.panel("kirsch right").values, kirsch / 15, atol=1e-6)
    sharp = kernels.convolve(pixels, kernels.sharpen(8), channels="last", **same)
    np.testing.assert_allclose(sheet.panel("sharpen 8").values, sharp, atol=1e-5)
    blurred = sheet.panel("blur 9").values
    np.testing.assert_allclose(blurred[10, 20], pixels[6:15, 16:25].mean(axis=(0, 1)), atol=1e-5)
    marks = sheet.panel("sobel right, found").values
    share = sheet.panel("sobel right").values
    np.testing.assert_array_equal(marks, np.where(share >= 0.1, 1, np.where(share <= -0.1, -1, 0)))


def test_signed_maps_of_a_row_share_one_scale_with_zero_on_paper(sheet):
    row = sheet.rows[1]
    highs = {row.high(panel) for panel in row.panels}
    assert len(highs) == 1
    drawn = {one.title: one for one in sheet.drawings()}
    for panel in row.panels:
        picture = drawn[panel.title]
        assert (picture.low, picture.high, picture.signed) == (-row.high(panel), row.high(panel), True)
        nothing = np.abs(panel.values) < 1e-4 * row.high(panel)
        assert (picture.pixels[nothing] == drawing.rgb(drawing.PAPER)).all()


def test_brighter_on_the_right_is_the_accent():
    step = np.zeros((20, 20))
    step[:, 10:] = 1
    sheet = kernels.look(step, kernels.sobel("right"))
    drawn = {one.title: one.pixels for one in sheet.drawings()}
    np.testing.assert_array_equal(drawn["sobel right"][5, 9], drawing.rgb(drawing.ACCENT))
    np.testing.assert_array_equal(drawn["sobel right, found"][5, 9], drawing.rgb(drawing.ACCENT))
    np.testing.assert_array_equal(drawn["sobel right"][5, 2], drawing.rgb(drawing.PAPER))
    opposite = kernels.look(1 - step, kernels.sobel("right")).drawings()
    np.testing.assert_array_equal(opposite[2].pixels[5, 9], drawing.rgb(drawing.PARTNER))


def test_all_directions_stand_beside_which_answers_most(chelsea):
    sheet = kernels.rotations(chelsea, side=120)
    titles = [f"kirsch {way}" for way in kernels.DIRECTIONS]
    assert [panel.title for panel in sheet.panels] == ["picture", "kirsch strongest", "kirsch direction", *titles]
    grey = brightness(photograph(chelsea, 120)[0])
    answers = np.stack(
        [
            kernels.convolve(grey, kernels.kirsch(way), mode="correlation", padding="same", border="replicate") / 15
            for way in kernels.DIRECTIONS
        ]
    )
    for title, values in zip(titles, answers, strict=True):
        np.testing.assert_allclose(sheet.panel(title).values, values, atol=1e-6)
    np.testing.assert_allclose(sheet.panel("kirsch strongest").values, answers.max(axis=0), atol=1e-6)
    drawn = {one.title: one for one in sheet.drawings()}
    assert len({(drawn[title].low, drawn[title].high) for title in titles}) == 1  # one scale for all eight
    assert drawn["kirsch up"].high == pytest.approx(max(np.percentile(np.abs(one), 99) for one in answers), rel=1e-4)


@pytest.mark.parametrize("kernel", ["kirsch", "sobel", "prewitt", "edge"])
def test_the_strongest_direction_is_that_of_the_edge(kernel):
    step = np.zeros((9, 9))
    step[:, 5:] = 1  # brighter on the right
    for turns, angle in enumerate((0, np.pi / 2, np.pi, -np.pi / 2)):  # rot90 turns against the clock
        sheet = kernels.rotations(np.rot90(step, turns).copy(), kernel)
        found, strength = sheet.panel(f"{kernel} direction").values[:, 4, 4]
        assert np.cos(found - angle) == pytest.approx(1)
        assert strength == pytest.approx(1)


def test_what_has_no_eight_directions_is_refused():
    with pytest.raises(OptionError, match=r"blur does not come in eight directions\. Take kirsch, sobel, prewitt or"):
        kernels.rotations(np.zeros((4, 4)), "blur")
    with pytest.raises(OptionError, match=r"no kernel is called 'kirch'. Did you mean kirsch\?"):
        kernels.rotations(np.zeros((4, 4)), "kirch")


def test_the_ring_of_directions_agrees_with_the_map():
    """A disc that is brightest in its middle gets brighter towards it: left of it to the right, and so on."""
    row, column = np.mgrid[-40:41, -40:41]
    cone = np.clip(1 - np.hypot(row, column) / 60, 0, 1)
    directions = kernels.slopes(cone).panel("sobel direction")
    assert directions.values[0, 40, 10] == pytest.approx(0, abs=0.02)
    assert directions.values[0, 70, 40] == pytest.approx(np.pi / 2, abs=0.02)  # below the middle: up
    ring = wheel(201)
    for place, (down, across) in {(40, 10): (100, 170), (70, 40): (30, 100), (40, 70): (100, 30)}.items():
        angle = float(directions.values[0][place])
        np.testing.assert_allclose(ring[down, across].astype(int), drawing.cyclic(np.array(angle)).astype(int), atol=6)


def test_recipes_and_files(sheet, tmp_path):
    path = sheet.save(tmp_path / "sheet.png")
    recipe = json.loads(png_text(path)["striate"])
    assert recipe["lens"] == "kernels.compare"
    assert recipe["options"] == {"picture": "chelsea.png", "direction": "right", "side": 120}
    with Image.open(path) as picture:
        assert picture.width == 2270  # 11.35 inches at 200 dots
    written = json.loads(sheet.save(tmp_path / "sheet.json").read_text())
    assert [one["title"] for one in written["maps"]] == [panel.title for panel in sheet.panels]
    arrays = np.load(sheet.save(tmp_path / "sheet.npz"))
    assert arrays["sobel_right"].shape == (80, 120)
    assert arrays["sobel_right_found"].shape == (80, 120)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (28, 28), (60, 60, 3), (20, 20, 4), (9, 9, 1)])
def test_pictures_of_any_shape(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sheets = (
        kernels.compare(pixels, direction="up-left"),
        kernels.look(pixels, kernels.difference("down"), threshold=0.5),
        kernels.slopes(pixels, "difference"),
        kernels.rotations(pixels),
    )
    for sheet in sheets:
        for drawn in sheet.drawings():
            assert drawn.pixels.shape == (*shape[:2], 3)
    sheets[1].save(tmp_path / "look.png")


def test_a_flat_picture_can_be_drawn(tmp_path):
    flat = kernels.compare(np.full((30, 30), 0.5))
    for one in flat.drawings():  # what is left after rounding is not blown up into a map
        if one.signed:
            assert (one.pixels == drawing.rgb(drawing.PAPER)).all()
    flat.save(tmp_path / "flat.png")
    kernels.rotations(np.full((30, 30), 0.5)).save(tmp_path / "flat.png")


def test_own_kernels_and_pillow_pictures(chelsea):
    with Image.open(chelsea) as picture:
        found = kernels.look(picture, np.array([[1, 0], [0, -1]]), side=60)
    assert [panel.title for panel in found.panels] == ["picture", "own", "own, found"]
    assert found.name == ""
    mean = kernels.look(np.zeros((9, 9)), np.ones((3, 3)) / 9)  # looks for nothing, so nothing is said to be found
    assert "answers to" not in mean.caption()
    assert "looks like" not in mean.caption() + mean.panels[1].caption
    with pytest.raises(OptionError, match=r"an array \(h, w\) of finite numbers, got shape \(3,\)"):
        kernels.look(np.zeros((9, 9)), np.ones(3))


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        ("gone.png", ImageError, r"gone.png does not exist"),
        (np.zeros((4, 4, 2)), ImageError, r"got shape \(4, 4, 2\)"),
        (np.full((4, 4), 255.0), ImageError, "from 255 to 255. Scale it first"),
        (np.full((4, 4), np.nan), ImageError, "Scale it first"),
        (np.zeros((4, 4), dtype=np.int64), ImageError, "got int64"),
        (np.zeros((0, 4)), ImageError, r"got shape \(0, 4\)"),
    ],
)
def test_what_is_no_picture_is_refused(picture, error, message):
    with pytest.raises(error, match=message):
        kernels.compare(picture)


def test_sides_and_directions_are_checked():
    with pytest.raises(OptionError, match="a whole number of pixels from 1, got 0"):
        kernels.compare(np.zeros((4, 4)), side=0)
    with pytest.raises(OptionError, match=r"Did you mean down-right\?"):
        kernels.compare(np.zeros((4, 4)), direction="downright")
    assert kernels.compare(np.zeros((4, 700)), side=None).picture.shape == (4, 700, 3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "5"),
        (-3, "−3"),
        (1 / 9, "1/9"),
        (1 / 81, "1/81"),
        (1 / 1681, "1/1681"),
        (0, "0"),
        (0.25, "1/4"),
        (0.37, "0.37"),
        (-0.5, "−1/2"),
    ],
)
def test_weights_are_written_short(value, words):
    assert weight(value) == words
