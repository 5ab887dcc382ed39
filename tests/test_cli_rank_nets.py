"""`striate rank-nets` as it is typed: a table, a chart, and an error's text."""

from __future__ import annotations

import json

from learn.striped import write
from striate.cli import main


def test_a_ranking_from_the_command_line_and_again(tmp_path, capsys):
    row = "mean=conv 4 3x3 relu, global average, flatten, dense"
    words = [
        "rank-nets", str(write(tmp_path / "set.npz", 60)), "--nets", "tiny", "--net", row, "--size", "10",
        "--seeds", "1", "--train", "1", "--epochs", "1", "--batch", "16", "--pictures", "40",
        "--out", str(tmp_path / "out"), "--device", "cpu",
    ]  # fmt: skip
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny, random weights, seed 0: ")
    assert any(line.split()[:3] == ["architecture", "weights", "features"] for line in lines)
    assert lines[-2:] == [str(tmp_path / "out" / "ranking.png"), str(tmp_path / "out" / "ranking.json")]
    held = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert {one["name"] for one in held["nets"]} == {"tiny", "mean"}
    assert held["pictures"] == 40
    assert sum(one["trained"] is not None for one in held["nets"]) == 1
    assert main(words) == 0
    assert json.loads((tmp_path / "out" / "ranking.json").read_text())["nets"] == held["nets"]


def test_rows_of_layers_do_not_stand_between_commas(tmp_path, capsys):
    assert main(["rank-nets", str(tmp_path), "--nets", "tiny,conv 3 3x3,dense", "--out", str(tmp_path / "out")]) == 2
    assert "is given by --net, one for each" in capsys.readouterr().err


def test_train_takes_a_number_or_all(tmp_path, capsys):
    assert main(["rank-nets", str(tmp_path), "--train", "few", "--out", str(tmp_path / "out")]) == 2
    assert "'few' is neither a whole number nor all" in capsys.readouterr().err
