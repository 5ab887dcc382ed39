"""What holds for every result."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from striate.errors import OptionError, OutputError
from striate.results import Recipe, decode_array, encode_array, encode_json


def test_the_figure_carries_its_recipe(result, recipe, tmp_path):
    path = result.save(tmp_path / "deep" / "picture.png")
    with Image.open(path) as picture:
        assert Recipe.from_dict(json.loads(picture.text["striate"])) == recipe
        width = picture.width
    assert width == round(result.figure().get_figwidth() * 200)  # twice the density of a screen


def test_the_numbers_carry_their_recipe(result, recipe, tmp_path):
    written = json.loads(result.save(tmp_path / "numbers.json").read_text())
    assert Recipe.from_dict(written.pop("recipe")) == recipe
    assert written.keys() == result.numbers().keys()


def test_the_arrays_come_back_without_pickle(result, recipe, tmp_path):
    with np.load(result.save(tmp_path / "arrays.npz"), allow_pickle=False) as written:
        assert Recipe.from_dict(json.loads(str(written["recipe"]))) == recipe
        for name, array in result.arrays().items():
            np.testing.assert_array_equal(written[name], array)


def test_drawings_are_pictures_with_captions(result):
    drawings = result.drawings()
    assert drawings
    for drawing in drawings:
        assert drawing.pixels.dtype == np.uint8
        assert drawing.pixels.ndim == 3
        assert drawing.pixels.shape[2] == 3
        assert drawing.title
        assert drawing.caption.endswith((".", "..."))
        assert (drawing.low is None) == (drawing.high is None)


def test_a_notebook_shows_a_picture_and_the_recipe(result):
    shown = result._repr_html_()
    assert "data:image/png;base64," in shown
    assert "<details" in shown
    assert "&quot;lens&quot;: &quot;saliency&quot;" in shown


def test_figures_leave_pyplot_alone(result):
    result.figure()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_same_result_draws_the_same_file(result, tmp_path):
    one, other = result.save(tmp_path / "one.png"), result.save(tmp_path / "other.png")
    assert one.read_bytes() == other.read_bytes()


def test_an_unknown_suffix_is_named(result, tmp_path):
    with pytest.raises(OptionError, match=r"cannot save map\.jpg: '\.jpg' is not one of \.png, \.json, \.npz"):
        result.save(tmp_path / "map.jpg")
    with pytest.raises(OptionError, match="no suffix"):
        result.save(tmp_path / "map")


def test_what_cannot_be_written_is_an_output_error(heatmap, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        heatmap.save(tmp_path / "file" / "map.json")


def test_results_are_compared_by_identity(heatmap):
    assert heatmap == heatmap  # two tensors have no single truth, so no elementwise surprise here
    assert len({heatmap, heatmap}) == 1


def test_recipe_says_what_was_run(recipe):
    assert recipe.sentence() == "saliency(rule='gradient', steps=50) of toy, 41 ms on cpu"
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "|u1"])
def test_arrays_survive_json_bit_by_bit(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)[:, ::-1]
    back = decode_array(json.loads(json.dumps(encode_array(array))))
    np.testing.assert_array_equal(back, array)


def test_json_is_strict_and_rows_of_numbers_stay_on_one_line():
    text = encode_json({"row": [1.0, float("nan"), -2e-7], "text": "[\n1,\n2]", "pair": (np.float32(0.5), None)})
    assert json.loads(text) == {"row": [1.0, None, -2e-7], "text": "[\n1,\n2]", "pair": [0.5, None]}
    assert '"row": [ 1.0, null, -2e-07 ]' in text
