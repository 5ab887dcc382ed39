"""The words after a command: lenses as commands, pictures told from addresses, `again`."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import striate
from striate import registry
from striate.cli import main
from striate.cli import striate as group
from striate.cli.words import check_layers, sort_words
from striate.errors import AddressError, OptionError
from striate.registry import LensInfo


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return striate.Network(module, striate.InputSpec(3, 24, 20), ["ant", "bee", "crane", "dove"])


def lens(needs: str, required: str = "", many: bool = True) -> LensInfo:
    """A lens that takes so much; its target is that of a lens that exists."""
    from dataclasses import replace

    option = registry.describe("saliency").target
    assert option is not None
    target = replace(option, many=many, required="target" in required) if "target" in needs else None
    return LensInfo("probe", "", "", frozenset(needs.split()), frozenset(required.split()), target, ())


@pytest.mark.parametrize("name", registry.names())
def test_every_lens_is_a_command(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: striate {name} ")
    assert main(["lens", name, "--help"]) == 0
    assert capsys.readouterr().out.replace("striate lens ", "striate ").split() == shown.split()


def test_no_lens_has_the_name_of_a_command():
    assert not set(group.commands) & set(registry.names())


def test_help_stays_short(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) < 55
    for name, found in group.commands.items():  # a line for each
        assert re.search(rf"^  {name} +{re.escape(found.get_short_help_str(100))}$", shown, re.MULTILINE), name
    assert "striate lens --help" in shown
    assert "grad_cam" not in shown


def test_files_are_pictures_and_the_rest_addresses(tmp_path):
    picture, folder = tmp_path / "cat.jpg", tmp_path / "class:bee"
    picture.touch()
    folder.mkdir()  # whatever it is called, it is there
    words = [str(picture), "0", str(folder), "class:bee", "1:3", "0:2@max", "0:1 + 0:2"]
    found = sort_words(lens("images target"), words)
    assert found.pictures == (picture, folder)
    assert found.addresses == ("0", "class:bee", "1:3", "0:2@max", "0:1 + 0:2")
    assert found.layers == ("0",)


@pytest.mark.parametrize("word", ["gone.png", "gone.JPG", "folder/gone", "./gone"])
def test_what_looks_like_a_file_is_a_missing_picture(word):
    found = sort_words(lens("images target"), [word, "class:bee"])
    assert list(map(str, found.pictures)) == [word.removeprefix("./")]
    assert found.addresses == ("class:bee",)


def test_a_lens_without_targets_takes_every_word_as_a_picture():
    assert sort_words(lens("images"), ["class:bee"]).addresses == ()


def test_pictures_where_none_are_taken_or_missing(tmp_path):
    picture = tmp_path / "cat.jpg"
    picture.touch()
    with pytest.raises(OptionError, match=r"probe takes no pictures, and .*cat\.jpg is one"):
        sort_words(lens("target", "target"), [str(picture), "class:bee"])
    with pytest.raises(OptionError, match="class:bee is an address, and there is no picture beside it"):
        sort_words(lens("images target", "images"), ["class:bee"])
    with pytest.raises(OptionError, match="bee is no file, and there is no picture beside it"):
        sort_words(lens("images target", "images"), ["bee"])
    assert sort_words(lens("images target"), ["class:bee"]).pictures == ()  # they are optional


def test_a_word_that_is_nothing(network):
    check_layers(network, ["0", "4", "stages", "all"])
    with pytest.raises(AddressError, match=r"'01' is no file and no address: no layer '01' in this network"):
        check_layers(network, ["01"])
    with pytest.raises(AddressError, match=r"There is a class of that name: class:bee"):
        check_layers(network, ["bee"])


def test_a_word_for_several_layers(tmp_path, capsys):
    out = tmp_path / "sheet.png"
    words = [
        "synthesize",
        "striate:lenet-5,size=32",
        "convolutions",
        "--per-layer",
        "2",
        "--steps",
        "1",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 pictures made by the recipe lucid. The layers stand in the order of the network.")
    assert [line.split()[0] for line in lines[1:4]] == ["c1", "c3", "c5"]
    assert lines[-1] == str(out)
    picture = tmp_path / "cat.png"
    picture.touch()
    assert main(["saliency", "striate:lenet-5,size=32", str(picture), "stages"]) == 2
    assert capsys.readouterr().err


def test_pictures_that_may_be_left_out_are_said_so(capsys):
    assert main(["synthesize", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Several times for several; pictures are one for all of them, or one for each." in shown
    assert "[lucid|yosinski-1|yosinski-2|" in shown
    assert main(["saliency", "--help"]) == 0
    assert "Once for all pictures, or once for each." in " ".join(capsys.readouterr().out.split())


def test_two_addresses_for_one(chelsea, capsys):
    words = ["receptive_field", "striate:lenet-5", str(chelsea), "features.0:1@max", "features.0:2@max"]
    assert main(words) == 2
    assert "receptive_field takes one address, got 2: features.0:1@max, features.0:2@max." in capsys.readouterr().err


def test_again_makes_the_same_file(chelsea, astronaut, tmp_path, capsys):
    source = ["striate:lenet-5,size=32", str(chelsea), str(astronaut)]
    first = tmp_path / "map.npz"
    assert main(["saliency", *source, "class:3", "--rule", "gradient", "--out", str(first)]) == 0
    capsys.readouterr()
    assert main(["again", str(first), *source]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "The same numbers as in map.npz, bit for bit." in lines
    assert lines[-1] == str(tmp_path / "map-again.npz")
    assert main(["again", str(first), source[0], str(chelsea)]) == 2
    assert "made from 2 pictures, and 1 were given" in capsys.readouterr().err
    assert main(["again", str(chelsea), *source]) == 2
    assert "holds no recipe" in capsys.readouterr().err
    (tmp_path / "cat.jpg").write_bytes(b"")  # what is wrong is the file, not the name of one that was not asked for
    assert main(["again", str(tmp_path / "cat.jpg"), *source]) == 2
    assert "cat.jpg cannot be read" in (said := capsys.readouterr().err)
    assert "--out" not in said
