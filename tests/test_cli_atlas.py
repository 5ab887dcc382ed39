"""`striate atlas` and --atlas, from the words typed to what is printed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from atlas.small import network, picture, pictures
from striate import atlas
from striate.cli import main

FACTORY = """
import sys

sys.path.insert(0, {tests!r})
from atlas.small import network

def make():
    return network().module
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> list[str]:
    """The words that name the small network."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("network")
    (folder / "small.py").write_text(FACTORY.format(tests=str(Path(__file__).parent)))
    (folder / "names.txt").write_text("ant\nbee\ncat\n")
    save_file(network().module.state_dict(), folder / "small.safetensors")
    words = f"--factory {folder}/small.py:make --class-names {folder}/names.txt --height 16 --width 20"
    return [f"{folder}/small.safetensors", *words.split(), "--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two hundred pictures of three classes, two of them broken, and a file that is none."""
    folder = pictures(tmp_path_factory.mktemp("data") / "insects", 200)
    (folder / "ant" / "00003.png").write_bytes(b"")
    (folder / "cat" / "00008.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory, source, folder) -> Path:
    out = tmp_path_factory.mktemp("atlas") / "insects.atlas"
    assert main(["atlas", "build", source[0], str(folder), *source[1:], "--out", str(out), "--top", "4"]) == 0
    return out


def test_build_says_what_it_made(source, folder, tmp_path, capsys):
    out = tmp_path / "made"
    words = ["atlas", "build", source[0], str(folder), *source[1:], "--out", str(out)]
    assert main([*words, "--layers", "0", "--layers", "2", "--batch", "7", "--workers", "2"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "small on 200 pictures of 3 classes in the folder insects."
    assert lines[1].startswith("198 pictures, 20 units in 2 layers, of which 0 are above 0 in no picture. ")
    assert lines[1].endswith("kB on disk.")
    assert lines[2].startswith("Built in ")
    assert lines[3] == str(out)
    assert "1 file with other endings left out (1 .txt)." in said.err
    assert "2 pictures could not be used and were left out (the first: " in said.err
    assert f"striate atlas show {out} --broken" in said.err
    made = atlas.open(out)
    assert made.layers == ("0", "2")
    assert len(made) == 198


def test_show_says_what_is_in_it(built, capsys):
    assert main(["atlas", "show", str(built)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[1].startswith("198 pictures, ")
    assert lines[3].split() == ["layer", "kind", "map", "never", "fires"]
    assert lines[4].split()[:2] == ["0", "Conv2d"]
    assert "8 x 8 x 10" in lines[4]


def test_show_lists_what_was_left_out(built, capsys):
    assert main(["atlas", "show", str(built), "--broken"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["ant/00003.png", "cat/00008.png"]
    assert "is empty (0 bytes)" in lines[0]


def test_show_as_json(built, capsys):
    assert main(["atlas", "show", str(built), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    made = atlas.open(built)
    assert [layer["address"] for layer in said["units"]] == list(made.layers)
    assert said["units"][0]["fires"] == made.layer("0").fires.tolist()
    assert [name for name, _ in said["broken"]] == ["ant/00003.png", "cat/00008.png"]
    assert said["network"]["weights_hash"] == network().weights_hash


def test_a_lens_finds_the_atlas(source, built, tmp_path, capsys):
    out = tmp_path / "patches.json"
    words = ["lens", "patches", source[0], "2:5", *source[1:], "--atlas", str(built), "--top", "2"]
    assert main([*words, "--out", str(out)]) == 0, capsys.readouterr().err
    assert json.loads(out.read_text())["recipe"]["options"]["atlas"] == str(built)


def test_pictures_that_were_moved_are_found_again(source, folder, built, tmp_path, capsys):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    held = shutil.copytree(built, tmp_path / "held")
    rows = next(held.glob("data-*/pictures.jsonl"))
    rows.write_text(rows.read_text().replace(str(folder), str(tmp_path / "gone")))  # as if it had been moved
    words = ["lens", "patches", source[0], "2:5", *source[1:], "--atlas", str(held), "--top", "4"]
    words += ["--out", str(tmp_path / "p.npz")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "4 pictures of the atlas cannot be read" in said
    assert "say where they are: --atlas-pictures PATH on the command line" in said
    assert main([*words, "--atlas-pictures", str(moved)]) == 0
    said = capsys.readouterr().out
    assert "cannot be read" not in said
    with np.load(tmp_path / "p.npz") as arrays:
        there = {name: arrays[name] for name in arrays.files}
    words[words.index(str(held))] = str(built)
    assert main(words) == 0
    with np.load(tmp_path / "p.npz") as arrays:  # the same as from where they always were
        for name in set(arrays.files) - {"recipe"}:
            np.testing.assert_array_equal(arrays[name], there[name])
    capsys.readouterr()
    words[words.index(str(built))] = str(held)
    for value, message in ((str(built), "the pictures of the atlas are not in"), ("nowhere", "does not exist")):
        assert main([*words, "--atlas-pictures", value]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_result_is_made_again_with_pictures_that_were_moved(source, folder, built, tmp_path, capsys):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    out = tmp_path / "p.npz"
    words = ["lens", "patches", source[0], "2:5", *source[1:], "--atlas", str(built), "--top", "2"]
    assert main([*words, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["again", str(out), *source, "--atlas-pictures", str(moved)]) == 0
    assert "bit for bit" in capsys.readouterr().out
    plain = tmp_path / "f.npz"
    assert main(["lens", "filters", *source, "--out", str(plain)]) == 0
    assert main(["again", str(plain), *source, "--atlas-pictures", str(moved)]) == 2
    assert "was made without an atlas" in capsys.readouterr().err


def test_pictures_of_no_atlas_are_refused(source, folder, capsys):
    picture = str(next(folder.glob("ant/*.png")))
    assert main(["look", source[0], picture, *source[1:], "--atlas-pictures", str(folder)]) == 2
    assert "name the atlas with --atlas" in capsys.readouterr().err


def test_indexes_are_made_shown_and_removed(built, tmp_path, capsys, monkeypatch):
    held = shutil.copytree(built, tmp_path / "held")
    assert main(["atlas", "index", str(held)]) == 0
    said = capsys.readouterr()
    assert "198 pictures need no index: every one was compared." in said.err
    monkeypatch.setattr("striate.atlas.searching.FEW", 10)
    place = atlas.open(held).feature_places[-1]
    assert main(["atlas", "index", str(held), "--layer", place, "--metric", "cosine"]) == 0
    said = capsys.readouterr()
    assert f"The index of {place} was made, and kept in the atlas." in said.err
    assert re.match(rf"{place}  198 x \d+  finds \d+\.\d % of the 8 nearest\n", said.out)
    assert len(list(held.glob("data-*/*-cosine.index.npz"))) == 1
    assert main(["atlas", "index", str(held), "--remove"]) == 0
    assert capsys.readouterr().out == "1 index removed.\n"
    assert not list(held.glob("data-*/*.index.npz"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["atlas", "build", "SOURCE", "gone", "--out", "o"], r"gone does not exist. Give a folder of pictures"),
        (["atlas", "build", "SOURCE", "FOLDER"], "Missing option '--out'"),
        (["atlas", "build", "SOURCE", "FOLDER", "--out", "o", "--part", "test"], "has no part 'test'"),
        (["atlas", "build", "SOURCE", "FOLDER", "--out", "o", "--labels", "no.csv"], "no.csv does not exist"),
        (["atlas", "build", "SOURCE", "FOLDER", "--out", "o", "--layers", "conv7"], "conv7"),
        (["atlas", "build", "SOURCE", "FOLDER", "--out", "o", "--top", "0"], "0 is not in the range"),
        (["atlas", "show", "gone"], "gone does not exist. `striate atlas build` makes one"),
        (["atlas", "show", "FOLDER"], "is no atlas"),
        (["lens", "patches", "SOURCE", "2:5"], "Missing option '--atlas'"),
        (["lens", "patches", "SOURCE", "2:5", "--atlas", "FOLDER"], "is no atlas"),
        (["lens", "patches", "SOURCE", "2:5", "--atlas", "ATLAS", "--width", "24"], "width was 20, is 24"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said(words, message, source, folder, built, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    named = {"FOLDER": [str(folder)], "ATLAS": [str(built)], "SOURCE": source}
    assert main([part for word in words for part in named.get(word, [word])]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_control_c_says_how_to_go_on(source, tmp_path, capsys):
    many = tmp_path / "many"
    for index in range(300):
        picture(many / f"{index:05}.png", index)
    out = tmp_path / "atlas"
    words = ["atlas", "build", source[0], many, *source[1:], "--out", out]
    child = subprocess.Popen(
        [sys.executable, "-m", "striate", *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (out / "work" / "plan.json").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    said, complained = child.communicate(timeout=60)
    assert child.returncode == 130, complained
    assert said == ""
    kept = f"What is finished is kept in {out}: the same command goes on where this one stopped."
    assert [line for line in complained.splitlines() if line] == [kept, "stopped"]
    assert main(["atlas", "show", str(out)]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "small on 300 pictures in the folder many."
