"""What a synthesis says and shows: verdicts by hand, failed pictures, sheets, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from striate.results import Made, Recipe, Synthesis, decode_array

PAPER = np.array([251, 251, 249])


def made(count=3, channels=3, **changes):
    """Three units: well above the best real picture, a little below it, and without a finite value."""
    levels = np.arange(count, dtype=np.uint8)[:, None, None, None] * 40 + 20
    values = {
        "title": "layer1",
        "labels": tuple(f"layer1:{index}" for index in range(count)),
        "numbers": tuple(str(index) for index in range(count)),
        "pictures": np.broadcast_to(levels, (count, channels, 6, 8)).copy(),
        "reached": np.array([4.0, 2.0, np.nan], dtype=np.float32),
        "peaks": np.array([9.0, 5.9, np.nan], dtype=np.float32),
        "start": np.array([-1.0, 0.0, 0.0], dtype=np.float32),
        "best_steps": np.array([10, 8, 0]),
        "curve": np.array([[-1.0, 4.0], [0.0, 2.0], [np.nan, np.nan]], dtype=np.float32),
        "curve_steps": (0, 10),
        "frames": np.zeros((count, 2, channels, 3, 4), dtype=np.uint8),
        "frame_steps": (0, 10),
        "real": np.array([6.0, 6.0, 6.0], dtype=np.float32),
        **changes,
    }
    return Made(**values)


def result(*parts, real_pictures=1000):
    return Synthesis(parts or (made(),), method="lucid", real_pictures=real_pictures, recipe=Recipe(lens="synthesize"))


def test_verdicts_say_how_far_to_believe_a_picture():
    one = made()
    assert one.verdict(0) == (
        "Reached 4, from -1 at the start. Its largest answer is 9: more than any real picture (6), 1.5 times."
    )
    assert one.verdict(1) == (
        "Reached 2, from 0 at the start. Its largest answer is 5.9: less than the best real picture (6): the picture "
        "failed."
    )
    assert one.verdict(2) == "No picture: the value is no finite number."
    assert one.failed.tolist() == [False, True, True]


def test_without_real_pictures_only_what_won_nothing_failed():
    none = np.full(3, np.nan, dtype=np.float32)
    one = made(real=none, start=np.array([-1.0, 2.0, 0.0], dtype=np.float32))
    assert one.failed.tolist() == [False, True, True]
    assert one.verdict(0) == "Reached 4, from -1 at the start."
    assert one.verdict(1) == "Reached 2, from 2 at the start. The picture failed: nothing was won."


def test_the_ceiling_of_a_relu6_is_not_a_failure():
    one = made(peaks=np.array([6.0, 6.0, 5.0], dtype=np.float32), reached=np.array([6.0, 4.0, 3.0], dtype=np.float32))
    assert one.failed.tolist() == [False, False, True]
    assert one.verdict(0) == "Reached 6, from -1 at the start. As much as the best real picture."
    assert "Its largest answer is 6: as much as" in one.verdict(1)


def test_few_pictures_stand_alone_and_failed_ones_are_pale():
    drawings = result().drawings()
    assert [drawing.title for drawing in drawings] == ["layer1:0", "layer1:1", "layer1:2"]
    assert drawings[0].pixels.shape == (6, 8, 3)
    assert (drawings[0].pixels == 20).all()
    assert (drawings[1].pixels == np.rint(60 * 0.35 + PAPER * 0.65)).all()
    assert "6 x 8 pixels" in drawings[0].caption


def test_a_whole_layer_is_a_sheet_with_numbers():
    (sheet,) = result(made(whole=True, size_note="A unit of layer1 sees 3 x 3 pixels.")).drawings()
    assert sheet.title == "layer1"
    assert [label.words for label in sheet.labels] == ["0", "1", "2"]
    assert sheet.caption == (
        "3 pictures of 6 x 8 pixels, the number of each below. A unit of layer1 sees 3 x 3 pixels. 1 of 3 reach the "
        "best real picture's value, 1.2 times as much in the median. Pale: failed (1, 2)."
    )
    assert sheet.pixels.shape[1] == 2 * 8 + 2


def test_several_layers_stand_on_one_sheet_in_their_order():
    deep = made(title="layer2", whole=True, depth=9, layers=12, layer_channels=30, sees="at most 7 x 7 pixels")
    first = made(title="layer1", whole=True, depth=2, layers=12, layer_channels=3)
    saved = result(deep, made(title="classes"), first)
    rows = saved.drawings()
    assert [row.title for row in rows] == ["layer1", "layer2", "classes"]
    assert all(row.pixels.shape[1] == 3 * 8 + 2 * 2 for row in rows)  # as many columns as pictures
    assert rows[1].caption.startswith(
        "3 pictures of 6 x 8 pixels, the number of each below. 3 of 30 channels. Layer 9 of 12; a unit sees at most "
        "7 x 7 pixels. 1 of 3 reach"
    )
    assert "channels" not in rows[0].caption
    assert "The layers stand in the order of the network." in saved.caption()
    written = [words.get_text() for words in saved.figure().texts]
    assert [words for words in written if words.startswith(("layer", "classes"))] == ["layer1", "layer2", "classes"]
    assert written.count("2") == 3  # the number below the last picture of each
    assert saved.numbers()["made"][0]["sees"] == "at most 7 x 7 pixels"


def test_one_picture_is_shown_with_the_way_to_it():
    parts = {
        name: getattr(made(), name)[:1] for name in ("labels", "numbers", "pictures", "reached", "peaks", "start",
        "best_steps", "curve", "frames", "real")
    }  # fmt: skip
    drawings = result(made(1, **parts)).drawings()
    assert len(drawings) == 2
    assert "steps made" in drawings[1].caption
    assert [label.words for label in drawings[1].labels] == ["0", "10"]


def test_captions_count_what_can_be_believed():
    assert result().caption() == (
        "3 pictures made by the recipe lucid. 1 of 3 make their unit answer as much as the best of 1,000 real "
        "pictures, or more. Pale: 2 pictures that failed."
    )
    assert result().failed == ("layer1:1", "layer1:2")
    assert len(result(made(), made())) == 6


@pytest.mark.parametrize(("channels", "expected"), [(1, (3, 5, 5, 5)), (4, (3, 5, 6, 7))])
def test_pictures_of_any_number_of_channels_are_shown(channels, expected):
    pictures = np.zeros((3, channels, 2, 2), dtype=np.uint8)
    pictures += np.arange(5, 5 + channels, dtype=np.uint8)[:, None, None]
    assert made(channels=channels, pictures=pictures).shown(0)[0, 0].tolist() == list(expected[1:])


def test_files_hold_everything(tmp_path):
    saved = result(made(), made(title="class/es"))
    plain = json.loads(saved.save(tmp_path / "made.json").read_text())
    assert plain["made"][0]["reached"] == [4.0, 2.0, None]
    assert plain["failed"] == ["layer1:1", "layer1:2"] * 2
    assert (decode_array(plain["made"][0]["pictures"]) == made().pictures).all()
    with np.load(saved.save(tmp_path / "made.npz"), allow_pickle=False) as arrays:
        assert (arrays["0-layer1-pictures"] == made().pictures).all()
        assert "1-class_es-reached" in arrays
    assert saved.save(tmp_path / "made.png").stat().st_size > 1000


def test_every_picture_can_be_written_by_itself(tmp_path):
    twice = made(labels=("layer1:0", "layer1:0", "class:tiger cat"))
    paths = result(twice).save_pictures(tmp_path / "all")
    assert [path.name for path in paths] == ["layer1_0.png", "layer1_0-2.png", "class_tiger_cat.png"]
    assert (np.asarray(Image.open(paths[1])) == 60).all()
    assert (result(twice).picture("class:tiger cat") == 100).all()
    with pytest.raises(KeyError, match="no picture of 'layer2:0'"):
        result(twice).picture("layer2:0")
