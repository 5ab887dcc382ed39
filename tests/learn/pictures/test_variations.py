"""The sheet of what augmentation does: what is on it is what training sees, and its words are right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from striate import dataset
from striate.cli.augment import augment
from striate.errors import DataError, OptionError
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.variations import variations
from striate.results.variations import Variations
from striate.spec import InputSpec


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(0)
    return dataset.open(rng.integers(0, 256, (30, 14, 12), dtype=np.uint8), labels=np.arange(30) % 10)


@pytest.fixture(scope="module")
def sheet(digits) -> Variations:
    return variations(digits, Augment.parse("pad=2,flip=alternating,brightness=0.5"), count=3, epochs=4)


def test_the_pictures_are_spread_over_the_set_and_shown_as_they_are(digits, sheet):
    assert sheet.names == ("0", "14", "29")
    assert sheet.classes == ("class 0", "class 4", "class 9")
    for row, index in enumerate((0, 14, 29)):
        assert np.array_equal(sheet.pictures[row], digits.pixels(index).repeat(3, axis=2))


def test_each_option_alone_does_only_that(sheet):
    assert sheet.options == ("flip=alternating", "pad=2", "brightness=0.5")
    plain = sheet.pictures[0].astype(int)
    flipped = [np.array_equal(one, plain[:, ::-1]) for one in sheet.alone[0]]
    assert flipped in ([True, False, True, False], [False, True, False, True])
    middle = [one[4:-4, 4:-4] for one in sheet.alone[1]]
    for one in middle:  # moved by whole pixels
        places = [(down, across) for down in range(5) for across in range(5)]
        assert any(np.array_equal(one, plain[2 + d : 8 + d, 2 + a : 6 + a]) for d, a in places)
    for one in sheet.alone[2]:
        dark = plain > 20
        ratio = (one / np.maximum(plain, 1))[dark & (one < 250)]
        assert 0.45 < ratio.mean() < 1.55
        assert ratio.std() < 0.02


def test_words_and_numbers(sheet):
    assert sheet.caption() == (
        "3 pictures at 14 x 12 pixels, as they are (left) and as 4 epochs of training would show them: "
        "flip=alternating,pad=2,brightness=0.5."
    )
    assert variations(dataset.open(np.zeros((2, 8, 8), np.uint8)), Augment()).caption().endswith("augment=none.")
    assert json.loads(json.dumps(sheet.numbers()))["options"] == list(sheet.options)
    assert sheet.arrays()["varied"].shape == (3, 4, 14, 12, 3)
    assert sheet.recipe.options["augment"] == sheet.words


def test_drawings_are_a_sheet_and_a_row_for_each_option(sheet):
    whole, *rows = sheet.drawings()
    assert [row.title for row in rows] == list(sheet.options)
    assert whole.pixels.shape[1] == rows[0].pixels.shape[1]
    assert whole.sharp
    figure = sheet.figure()
    assert len(figure.axes) == 2 * (3 + 3)
    assert {"class 4", "pad=2", "One at a time, on 0"} <= {words.get_text() for words in figure.texts}


def test_one_option_has_no_rows_of_its_own(digits):
    single = variations(digits, Augment(rotation=20), count=2, epochs=2)
    assert len(single.drawings()) == 1
    assert len(single.figure().axes) == 4


def test_photographs_are_shown_at_the_usual_size(astronaut):
    found = variations(dataset.open(astronaut), Augment.parse("photos"), count=1, epochs=1)
    assert found.pictures.shape == (1, 224, 224, 3)


def test_a_network_s_input_and_many_channels():
    values = np.random.default_rng(0).random((4, 9, 9, 5), dtype=np.float32)
    found = variations(dataset.open(values), Augment.parse("flip"), InputSpec(5, 9, 9, mean=(0.1,)), count=4, epochs=2)
    assert np.array_equal(found.pictures, (values[..., :3] * 255 + 0.5).astype(np.uint8))


def test_broken_pictures_are_said(tmp_path):
    for index in range(3):
        Image.new("RGB", (20, 20), (200, 90, 30)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    found = variations(dataset.open(tmp_path), Augment(rotation=5))
    assert found.names == ("0.png", "2.png")
    assert found.recipe.notes == ("1 picture cannot be read, and is not shown.",)
    for index in (0, 2):
        (tmp_path / f"{index}.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="None of the first pictures of 3 pictures in the folder"):
        variations(dataset.open(tmp_path), Augment())


def test_what_cannot_be_shown_is_said(digits):
    with pytest.raises(OptionError, match="at least 1 picture and 1 epoch are shown, got 0 and 7"):
        variations(digits, Augment(), count=0)
    with pytest.raises(OptionError, match="prepared pictures are normalised already"):
        variations(dataset.open([(np.zeros((4, 4, 3)), 0)], prepared=True), Augment())


class TestCommand:
    def run(self, *words):
        return CliRunner().invoke(augment, list(map(str, words)), catch_exceptions=True)

    def test_a_sheet_of_a_folder(self, tmp_path, astronaut):
        out = tmp_path / "sheet.png"
        done = self.run(astronaut, "--augment", "lecture,flip", "--size", "40x60", "--count", 1, "--out", out)
        assert done.exit_code == 0, done.output
        assert "1 picture at 40 x 60 pixels" in done.stdout
        assert "flip=horizontal,rotation=10,shift=0.1:0.1" in done.stdout
        assert done.stdout.splitlines()[-1] == str(out)
        with Image.open(out) as picture:
            assert picture.size[0] > 1000
            assert "striate" in picture.info

    def test_in_grey(self, tmp_path, astronaut):
        out = tmp_path / "sheet.npz"
        assert self.run(astronaut, "--channels", 1, "--epochs", 2, "--out", out).exit_code == 0
        with np.load(out) as arrays:
            pictures = arrays["pictures"]
        assert pictures.shape == (1, 224, 224, 3)
        assert np.array_equal(pictures[..., 0], pictures[..., 2])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--augment", "rotate=3"], "no augmentation 'rotate'"),
            (["--out", "sheet.txt"], "must end in one of"),
            (["--size", "large"], "is no size: write it as 64 or as 64x48"),
            (["--augment", "patch=500"], "patch=500x500 is larger than the pictures"),
        ],
    )
    def test_what_is_wrong_is_said(self, astronaut, words, said, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        done = self.run(astronaut, *words)
        assert said in (done.output + str(done.exception))
        assert list(tmp_path.iterdir()) == []
