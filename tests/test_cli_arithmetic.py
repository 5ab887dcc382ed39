"""`striate size` and `striate cost` as they print the lecture's numbers, and addresses typed after the pictures."""

from __future__ import annotations

import json
import re

import pytest

from striate.cli import main
from striate.cli.cost import memory


def lines(capsys, *words: str) -> list[str]:
    assert main(words) == 0
    return capsys.readouterr().out.splitlines()


def columns(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_valid_and_same_side_by_side(capsys):
    sentence, headings, *rows = lines(capsys, "size", "13", "--kernel", "6", "--stride", "5")
    assert sentence.startswith("A 6-wide kernel at stride 5 does not fit a 13-wide input: 2.4 positions; pad 3 more")
    table = {name: dict(zip(columns(headings)[1:], numbers, strict=True)) for name, *numbers in map(columns, rows)}
    assert (table["valid"]["outputs"], table["valid"]["used"], table["valid"]["dropped"]) == ("2", "11", "2")
    assert (table["same"]["outputs"], table["same"]["padded before"], table["same"]["after"]) == ("3", "1", "2")
    assert (table["padding 0, ceil"]["outputs"], table["padding 0, ceil"]["hangs over"]) == ("3", "3")


def test_a_size_that_needs_its_padding(capsys):
    *_, valid, _, floor, _ = lines(capsys, "size", "2", "--kernel", "3", "--padding", "1")
    assert columns(valid) == ["valid", "0", "0", "0"]
    assert columns(floor) == ["padding 1, floor", "2", "1", "1", "4", "0", "0"]


def test_sizes_as_json(capsys):
    table = json.loads(
        "\n".join(lines(capsys, "size", "224", "--kernel", "7", "--stride", "2", "--padding", "3", "--json"))
    )
    assert table["padding 3, floor"]["outputs"] == 112
    assert table["padding 3, floor"]["positions"] == 112.5


def test_the_edge_filter_of_the_lecture(capsys):
    words = ["cost", "1x280x320", "--filters", "1", "--kernel", "1x2", "--no-bias", "--bytes", "8"]
    _, headings, shared, _, dense = lines(capsys, *words)
    row = dict(zip(columns(headings), columns(shared), strict=True))
    assert (row["weights"], row["operations"]) == ("2", "267,960")
    assert row["zeros in its matrix"] == "99.998 %"  # two in each row of 89,600 are not: nearly all, and not all
    row = dict(zip(columns(headings), columns(dense), strict=True))
    assert (row["weights"], row["memory"], row["times"]) == ("8,003,072,000", "59.6 GiB", "59,733")


def test_down_sampling_after_the_work_is_said(capsys):
    words = ["cost", "64x56x56", "--filters", "128", "--kernel", "3", "--padding", "1"]
    assert lines(capsys, *words, "--stride", "2")[-1].endswith("take 231 M mult-adds: 4 times as many.")
    assert "down-sampled" not in "".join(lines(capsys, *words))
    table = json.loads("\n".join(lines(capsys, *words, "--stride", "2", "--json")))
    assert table["layers"][0]["multiply_adds"] * 4 == table["multiply_adds_before_down_sampling"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "0.977 KiB"), (2**20, "1 MiB"), (2**30 * 60, "60 GiB")],
)
def test_bytes_in_words(count, text):
    assert memory(count) == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["size", "32x32", "--kernel", "3"], r"'32x32' is no whole number\. Take one axis at a time\."),
        (["size", "2", "--kernel", "3"], r"a 3-wide kernel does not fit a 2-wide input, not even once\. Pad 1 more"),
        (["size", "7", "--kernel", "0"], r"kernel must be at least 1, got 0"),
        (["cost", "3x32", "--filters", "6", "--kernel", "5"], r"'3x32' is no shape\. Write channels x height x width"),
        (["cost", "3xax3", "--filters", "6", "--kernel", "5"], r"'3xax3' is no size"),
        (["cost", "3x9x9", "--filters", "6", "--kernel", "5x5x5"], r"is no size of a kernel"),
        (["cost", "3x9x9", "--filters", "6", "--kernel", "5", "--groups", "2"], r"2 groups do not divide 3 channels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense(words, message, capsys):
    assert main(words) == 2
    assert re.search(message, capsys.readouterr().err)


FACTORY = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> tuple[list[str], list[str]]:
    """The words that name a small network, and those of two pictures."""
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("typed")
    (folder / "small.py").write_text(FACTORY)
    space: dict[str, object] = {}
    exec(FACTORY, space)
    torch.manual_seed(0)
    save_file(space["make"]().state_dict(), folder / "small.safetensors")
    for name, step in (("a", 3), ("b", 7)):
        Image.frombytes("L", (12, 12), bytes(step * index % 256 for index in range(144))).save(folder / f"{name}.png")
    words = f"--factory {folder}/small.py:make --channels 1 --height 12 --mean 0.5 --std 0.25"
    return [f"{folder}/small.safetensors", *words.split()], [f"{folder}/a.png", f"{folder}/b.png"]


def test_an_address_may_stand_after_the_pictures(typed, tmp_path, capsys):
    network, pictures = typed
    out = str(tmp_path / "sum.json")
    after = lines(capsys, "lens", "arithmetic", *network, *pictures, "0:1@2,3", "--out", out)
    assert [line.split()[:2] for line in after[1:3]] == [["a.png", "0:1@2,3"], ["b.png", "0:1@2,3"]]
    assert lines(capsys, "lens", "arithmetic", *network, *pictures, "--target", "0:1@2,3", "--out", out) == after
    (_, *fields, _) = lines(capsys, "lens", "receptive_field", *network, *pictures, "0:1@2,3", "--out", out)
    assert all("rows 2 to 4, columns 3 to 5" in line for line in fields)
    each = lines(capsys, "lens", "arithmetic", *network, *pictures, "0:1@2,3", "0:0@4,4", "--out", out)
    assert [line.split()[:2] for line in each[1:3]] == [["a.png", "0:1@2,3"], ["b.png", "0:0@4,4"]]


@pytest.mark.parametrize(
    ("lens", "words", "message"),
    [
        ("receptive_field", ["0:1@2,3", "0:1@2,4"], r"receptive_field takes one address, got 2: 0:1@2,3, 0:1@2,4"),
        ("receptive_field", [], r"receptive_field needs an ADDRESS.*\nHelp: striate lens receptive_field --help"),
        ("arithmetic", ["gone.png"], r"gone\.png"),
        ("arithmetic", ["0:1@2,3,4"], r"0:1@2,3,4"),
        ("filters", ["0:1@2,3"], r"[Uu]nexpected extra argument"),
    ],
)
def test_addresses_that_cannot_stand_there(typed, lens, words, message, capsys):
    network, pictures = typed
    given = [] if lens == "filters" else pictures
    assert main(["lens", lens, *network, *given, *words]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_an_address_without_a_picture(typed, capsys):
    assert main(["lens", "arithmetic", *typed[0], "0:1@2,3"]) == 2
    assert "0:1@2,3 is an address, and there is no picture beside it" in capsys.readouterr().err


def test_options_of_several_values_show_how_they_are_given(capsys):
    said = " ".join(" ".join(lines(capsys, "lens", "equivariance", "--help")).split())
    assert "Factors of enlargement about the middle. Several times for several values. [default: 0.7, 0.75," in said
