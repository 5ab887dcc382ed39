"""`striate train` from the shell's side: what is passed on, what is refused, a run from beginning to end."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import registry
from striate.cli import main
from striate.learn.descent.optimizers import OPTIMIZERS
from striate.learn.descent.schedules import SCHEDULES
from striate.learn.settings import Settings

SETTINGS = Path(registry.__file__).parent / "learn" / "settings.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bright squares on the left, or on the right: 20 grey pictures of 12 x 12 each."""
    place = tmp_path_factory.mktemp("sides")
    draw = np.random.default_rng(0)
    for label, column in (("left", 1), ("right", 7)):
        (place / label).mkdir()
        for index in range(20):
            values = draw.integers(0, 60, (12, 12)).astype(np.uint8)
            values[3:9, column : column + 4] += 180
            Image.fromarray(values).save(place / label / f"{index}.png")
    return place


def said(capsys):
    out, err = capsys.readouterr()
    return out, " ".join(err.split())


def test_every_setting_is_an_option_and_explained(capsys):
    assert main(["train", "--help"]) == 0
    words = capsys.readouterr().out
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in words, name
    assert "`" not in words
    assert "striate.learn" not in words
    plain = " ".join(words.split())
    for name in (*OPTIMIZERS, *SCHEDULES):
        assert name in plain, name


def test_a_new_field_appears_by_itself(tmp_path):
    source = SETTINGS.read_text().replace("    seed: int = 0\n", "    seed: int = 0\n    beans: int = 3\n")
    source = source.replace("        seed: of everything", "        beans: in the jar.\n        seed: of everything")
    (tmp_path / "settings.py").write_text(source)
    last = registry.fields_of(tmp_path / "settings.py", "Settings")[-1]
    assert (last.name, last.kinds, last.default, last.help) == ("beans", ("int",), 3, "in the jar.")


def test_fields_are_read_as_they_are():
    read = {option.name: option for option in registry.fields_of(SETTINGS, "Settings")}
    assert set(Settings.__dataclass_fields__) - set(read) == {"augment"}  # a record of its own
    for name, option in read.items():
        default = getattr(Settings(), name)
        assert option.many or option.default == default, name
    assert read["frozen"].many
    assert not read["rate"].required


def test_a_run_from_beginning_to_end(folder, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", str(folder), "--net", "tiny", "--out", str(run), "--epochs", "3", "--seed", "1", "--batch", "8"]
    assert main([*words, "--rate", "0.003", "--groups", "dense2=0.5", "--time-limit", "10min"]) == 0
    out, err = said(capsys)
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["epoch 1", "epoch 2", "epoch 3"]
    assert "pictures/s" in lines[0]
    assert lines[3].startswith("3 of 3 epochs; best is epoch ")
    assert lines[-1] == str(run)
    assert f"striate look {run} PICTURE..." in out
    assert "The pictures are 12 x 12 with 1 channel." in err
    assert "tiny, input 1 x 12 x 12" in err
    kept = json.loads((run / "settings.json").read_text())["settings"]
    assert (kept["epochs"], kept["seed"], kept["batch"], kept["rate"], kept["time_limit"]) == (3, 1, 8, 0.003, 600)
    assert kept["groups"] == {"dense2": 0.5}
    assert kept["standardize"] == "channel"  # of a new network
    # it goes on with nothing but the folder
    assert main(["train", "--resume", "--out", str(run)]) == 0
    out, err = said(capsys)
    assert "had come to its end before" in err
    assert main(["train", "--resume", "--out", str(run), "--epochs", "9", "--rate", "1"]) == 2
    assert "--epochs, --rate: a run goes on with the settings that it has" in said(capsys)[1]
    # what it left is a network for everything else
    assert (
        main(["lens", "predictions", str(run), str(folder / "left" / "0.png"), "--out", str(tmp_path / "p.json")]) == 0
    )
    capsys.readouterr()
    # and the beginning of another, which takes what the network was trained with
    other = tmp_path / "other"
    assert main(["train", str(folder), "--net", str(run), "--out", str(other), "--epochs", "1", "--batch", "8"]) == 0
    assert json.loads((other / "settings.json").read_text())["settings"]["standardize"] == "model"


def test_notes_are_told_once_and_broken_pictures_named(folder, tmp_path, capsys):
    place = tmp_path / "pictures"
    shutil.copytree(folder, place)
    shutil.copy(place / "left" / "0.png", place / "left" / "copy.png")
    (place / "left" / "1.png").write_bytes(b"no picture")
    words = ["--net", "tiny", "--out", str(tmp_path / "run"), "--epochs", "1", "--batch", "8"]
    assert main(["train", str(place), *words, "--schedule", "step", "--schedule-options", "at=0.5"]) == 0
    _, err = said(capsys)
    assert err.count("on the same side") == 1
    assert "1 picture could not be read (left/1.png); why is in" in err


def test_finding_a_rate_trains_nothing(folder, tmp_path, capsys):
    out = tmp_path / "rate.json"
    words = ["train", str(folder), "--net", "tiny", "--find-rate", "--batch", "8", "--optimizer", "momentum"]
    assert main([*words, "--out", str(out)]) == 0
    assert json.loads(out.read_text())
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert main([*words, "--epochs", "3"]) == 2
    assert "--epochs would be ignored by --find-rate" in said(capsys)[1]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert "with --find-rate it is a file" in said(capsys)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "FOLDER", "--out", "run"], "Missing option '--net'"),
        (["train", "--net", "tiny", "--out", "run"], "Missing argument 'FOLDER'"),
        (["train", "FOLDER", "--net", "tiny"], "Missing option '--out'"),
        (["train", "--resume"], "Missing option '--out'"),
        (["train", "--resume", "--out", "gone"], "gone"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--resume", "--find-rate"], "nothing to --resume"),
        (["train", "FOLDER", "--net", "timm:resnet18,channels=1", "--out", "run"], "channels=1 would be ignored"),
        (["train", "gone", "--net", "tiny", "--out", "run"], "gone does not exist"),
        (["train", "FOLDER", "--net", "tinny", "--out", "run"], "Did you mean tiny"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--optimizer", "adamm"], "adam"),
        (
            ["train", "FOLDER", "--net", "tiny", "--out", "run", "--epochs", "0"],
            "epochs must be a whole number from 1 on",
        ),
        (
            ["train", "FOLDER", "--net", "tiny", "--out", "run", "--epochs", "many"],
            "epochs is a whole number, got 'many'",
        ),
        (
            ["train", "FOLDER", "--net", "tiny", "--out", "run", "--groups", "fc"],
            "write NAME=NUMBER, such as layer1=0.1",
        ),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--time-limit", "soon"], "'soon' is no time"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--size", "0"], "'0' is no size"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--size", "6"], "cannot be built for pictures of 6 x 6"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--augment", "spin"], "no augmentation 'spin'"),
        (["train", "FOLDER", "--recipe", "fast-cider", "--out", "run"], "Did you mean fast-cifar"),
        (["train", "FOLDER", "--net", "tiny", "--out", "FOLDER"], "FOLDER"),
        (["train", "FOLDER", "--net", "tiny", "--pretrained", "--out", "run"], "neither torchvision nor timm"),
        (["train", "FOLDER", "--net", "tiny", "--out", "run", "--share", "0", "--monitor", "accuracy"], "monitor"),
    ],
    ids=lambda value: " ".join(value)[6:70] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said(words, message, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(folder) if word == "FOLDER" else word for word in words]) == 2
    assert message.replace("FOLDER", folder.name if message == "FOLDER" else "FOLDER") in said(capsys)[1]
    assert not (tmp_path / "run").exists()


def test_a_recipe_gives_what_is_not_said(folder, tmp_path, monkeypatch, capsys):
    """Without training: what reaches `fit`."""
    module = importlib.import_module("striate.learn.loop")
    given = {}

    def record(network, parts, **settings):
        given.update(settings, network=network)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", record)
    words = ["train", str(folder), "--recipe", "fast-mnist", "--epochs", "2", "--out", str(tmp_path / "run")]
    assert main(words) == 130
    from striate.learn.recipes import recipe

    expected = recipe("fast-mnist").settings
    assert given["epochs"] == 2
    assert given["schedule"] == expected.schedule
    assert given["optimizer"] == expected.optimizer
    assert given["network"].graph().classes == 2
    assert capsys.readouterr().err.endswith("stopped\n")


def test_a_recipes_rate_belongs_to_its_optimiser(folder, tmp_path, monkeypatch, capsys):
    module = importlib.import_module("striate.learn.loop")
    given = {}

    def record(network, parts, **settings):
        given.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", record)
    words = ["train", str(folder), "--recipe", "fast-mnist", "--optimizer", "adam", "--out", str(tmp_path / "run")]
    assert main(words) == 130
    assert (given["optimizer"], given["rate"], given["momentum"]) == ("adam", None, None)
    assert "of the recipe are for muon; for adam its usual ones are taken (rate 0.001" in said(capsys)[1]
    assert main([*words, "--rate", "0.02"]) == 130
    assert given["rate"] == 0.02
    assert main([*words[:-4], "--net", "tiny", *words[-2:]]) == 130
    assert given["frozen"] == []
    assert "whiten.weight, which the recipe keeps as it is, is a weight of swift-grey, not of tiny" in said(capsys)[1]


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.conv(images).relu().amax((2, 3)))
"""


def test_a_network_of_ones_own_is_trained_and_never_run_by_itself(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    words = ["train", str(folder), "--net", "mine.py:Net", "--out", "run", "--batch", "8", "--time-limit", "0.001"]
    assert main(words) == 0
    out, err = said(capsys)
    assert "striate look run PICTURE... --factory mine.py:Net" in out
    assert "striate report run --factory mine.py:Net" in out
    assert "striate train --resume --out run --factory mine.py:Net" in out
    assert "Net, input 1 x 12 x 12" in err
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["network"]["factory"] == "mine.py:Net"
    (tmp_path / "mine.py").write_text("raise SystemExit('run by itself')")
    assert main(["layers", "run"]) == 2
    assert "Code named by a file is not run" in said(capsys)[1]
    assert main(["train", "--resume", "--out", "run"]) == 2
    assert "--factory mine.py:Net" in said(capsys)[1]
    (tmp_path / "mine.py").write_text(OWN)
    assert main(["layers", "run", "--factory", "mine.py:Net"]) == 0
    assert "head" in said(capsys)[0]
    assert main(["train", "--resume", "--out", "run", "--factory", "mine.py:Net", "--time-limit", "0.001"]) == 0
    assert "epoch 2:" in capsys.readouterr().out
    assert main(["train", str(folder), "--net", "run", "--factory", "mine.py:Net", "--epochs", "1", "--out", "on"]) == 0
    assert main(["train", str(folder), "--net", "tiny", "--factory", "mine.py:Net", "--out", "no"]) == 2
    assert "factory would be ignored: striate:tiny says by itself how it is made" in said(capsys)[1]


def test_a_run_that_is_there_is_said_before_pictures_are_looked_at(folder, tmp_path, monkeypatch, capsys):
    words = ["train", str(folder), "--net", "tiny", "--out", str(tmp_path / "run"), "--epochs", "1", "--batch", "8"]
    assert main(words) == 0
    monkeypatch.setattr("striate.learn.pictures.split.split", lambda *_, **__: pytest.fail("looked at"))
    capsys.readouterr()
    assert main(words) == 2
    assert "run already; it is not overwritten" in said(capsys)[1]


def test_a_share_is_refused_where_validation_pictures_are_given(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "both" / "train")
    for place in sorted((tmp_path / "both" / "train").rglob("1*.png")):
        target = tmp_path / "both" / "val" / place.parent.name / place.name
        target.parent.mkdir(parents=True, exist_ok=True)
        place.rename(target)
    words = ["train", str(tmp_path / "both"), "--net", "tiny", "--out", str(tmp_path / "run")]
    for more, name in ((["--share", "0.3"], "share"), (["--together", "copies"], "together")):
        assert main([*words, *more]) == 2
        assert f"{name} would be ignored: the pictures to validate on are given" in said(capsys)[1]
