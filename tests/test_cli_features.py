"""`striate features`, from the words typed to what is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from atlas.small import pictures
from striate import atlas, nets
from striate.cli import main


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    module = nets.create("lenet-5", generator=torch.Generator().manual_seed(0))
    network = striate.Network(module, striate.InputSpec(1, 32, 32), name="lenet")
    return network.save(tmp_path_factory.mktemp("network") / "lenet.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sixty pictures of three classes, one of them broken."""
    folder = pictures(tmp_path_factory.mktemp("data") / "insects", 60)
    (folder / "ant" / "00003.png").write_bytes(b"")
    return folder


def test_it_says_how_large_they_are_and_how_they_are_read(source, folder, tmp_path, capsys):
    out = tmp_path / "made"
    places = striate.load(source).graph().names[-2:]
    words = ["features", str(source), str(folder), "--out", str(out), "--dtype", "float32", "--workers", "0"]
    assert main([*words, *(word for place in places for word in ("--layer", place))]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    made = atlas.open(out)
    widths = [made.features(place).shape[1] for place in places]
    assert made.feature_places == tuple(places)
    assert (
        f"Features of 60 pictures of 3 classes in the folder insects: {60 * 4 * sum(widths) / 1000:.0f} kB" in said.err
    )
    assert lines[0] == (f"59 pictures, features of 2 layers: {places[0]} ({widths[0]:,}), {places[1]} ({widths[1]:,}).")
    assert lines[1].startswith("float32, ")
    assert "1 picture could not be used and was left out" in said.err
    assert f"striate atlas show {out} --broken" in said.err
    assert lines[2].startswith("Done in ")
    assert lines[-1] == str(out)
    # what is printed to be typed can be typed
    typed = {}
    exec("\n".join(line.strip() for line in lines[4:7]), typed)
    np.testing.assert_array_equal(typed["features"], made.features())
    assert typed["X"].shape == (59, widths[1])
    assert np.bincount(typed["y"]).tolist() == [19, 20, 20]


def test_show_lists_whose_features_are_kept(source, folder, tmp_path, capsys):
    out = tmp_path / "maps"
    assert main(["features", str(source), str(folder), "--out", str(out), "--layer", "stages", "--whole"]) == 0
    made = atlas.open(out)
    capsys.readouterr()
    assert main(["atlas", "show", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(
        f"59 pictures, features of {len(made.feature_places)} layers and nothing of their units."
    )
    shape = " x ".join(map(str, made.features(made.feature_places[0]).shape[1:]))
    assert lines[4].split(maxsplit=2) == [made.feature_places[0], "float16", shape]
    assert main(["atlas", "show", str(out), "--json"]) == 0
    assert '"units": []' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SOURCE", "gone", "--out", "o"], "gone does not exist. Give a folder of pictures"),
        (["SOURCE", "FOLDER"], "Missing option '--out'"),
        (["SOURCE", "FOLDER", "--out", "o", "--layer", "conv7"], "no layer 'conv7'"),
        (["SOURCE", "FOLDER", "--out", "FOLDER"], "is no atlas, and not empty"),
        (["SOURCE", "FOLDER", "--out", "MADE", "--whole"], "pool was 'average', is 'whole'"),
        (["SOURCE", "FOLDER", "--out", "MADE", "--mean", "0.3"], "another specification of the input"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said(words, message, source, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "MADE" in words:
        assert main(["features", str(source), str(folder), "--out", "made", "--workers", "0"]) == 0
        capsys.readouterr()
    named = {"FOLDER": str(folder), "SOURCE": str(source), "MADE": "made"}
    assert main(["features", *(named.get(word, word) for word in words)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
