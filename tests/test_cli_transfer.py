"""`striate transfer` from the shell's side: a whole transfer, its report, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import striate
from striate import learn
from striate.cli import main
from striate.cli.transfer import _HEADS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bright squares on the left, or on the right: 24 pictures of 16 x 16 each."""
    place = tmp_path_factory.mktemp("sides")
    draw = np.random.default_rng(0)
    for label, column in (("left", 1), ("right", 9)):
        (place / label).mkdir()
        for index in range(24):
            values = draw.integers(0, 60, (16, 16, 3)).astype(np.uint8)
            values[4:12, column : column + 5] += 180
            Image.fromarray(values).save(place / label / f"{index}.png")
    return place


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network with weights, of other classes."""
    made = learn.start(
        "striate:sequential,3x16x16,conv 6 3x3 bn relu,pool 2,conv 8 3x3 bn relu,flatten,dense 5", classes=5
    )
    return made.save(tmp_path_factory.mktemp("network") / "small.safetensors")


def test_heads_are_those_of_the_library():
    assert _HEADS == learn.HEADS


def test_a_whole_transfer_and_its_report(folder, network, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["transfer", str(folder), "--net", str(network), "--out", str(out), "--head", "logistic", "--no-tune"]
    assert main(words) == 0
    said, told = capsys.readouterr()
    lines = said.splitlines()
    assert lines[0].split() == ["way", "right", "±", "s.e.", "time", "weights", "learned"]
    assert sum(line.startswith("* ") for line in lines) == 1
    assert lines[-1] == str(out)
    assert "38 pictures of 2 classes to train on, 10 to validate on." in told
    assert "Little to learn from (38 pictures of 2 classes)" in told
    assert (out / "transfer.png").stat().st_size > 5_000
    assert json.loads((out / "transfer.json").read_text())["amount"]["classes"] == 2
    assert striate.load(out).class_names == ("left", "right")
    assert main(["evaluate", str(out)]) == 0
    assert "Right about" in capsys.readouterr().out
    assert main(["report", str(out), "--worst", "0"]) == 0
    page = (out / "report.html").read_text()
    assert "What was tried" in page
    assert "logistic on" in page
    assert main(words) == 0  # once more: all of it is there


def test_nothing_is_said_twice(folder, network, tmp_path, capsys):
    words = ["transfer", str(folder), "--net", str(network), "--out", str(tmp_path / "run"), "--head", "logistic"]
    assert main([*words, "--tune", "--epochs", "1"]) == 0
    told = [
        line for line in capsys.readouterr().err.splitlines() if "fine-tuning ended" in line or "All stages" in line
    ]
    assert len(told) == 1


def test_what_is_refused(folder, network, tmp_path, capsys):
    assert main(["transfer", str(folder), "--net", str(network)]) == 2
    assert "Missing option '--out'" in capsys.readouterr().err
    assert main(["transfer", str(folder), "--net", str(network), "--out", str(tmp_path / "a"), "--head", "magic"]) == 2
    assert "logistic" in capsys.readouterr().err
    words = ["transfer", str(folder), "--net", str(network), "--out", str(tmp_path / "a"), "--layer", "convx"]
    assert main(words) == 2
    assert "convx" in capsys.readouterr().err
    assert main(["transfer", str(tmp_path / "none"), "--net", str(network), "--out", str(tmp_path / "a")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
