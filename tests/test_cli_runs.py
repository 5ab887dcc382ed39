"""`striate curves`, `evaluate` and `report`, on a run that `fit` left."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from learn.small_run import stripes
from striate.cli import main
from striate.learn import fit, start
from striate.learn.run import Run
from striate.results import Evaluation

NAMES = ("falling", "rising", "upright")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders, one picture of them broken."""
    place = tmp_path_factory.mktemp("pictures") / "stripes"
    values, labels = stripes(60, size=(16, 16))
    for index, (picture, label) in enumerate(zip(values, labels, strict=True)):
        path = place / NAMES[label] / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return place


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    network = start("cnn2", classes=3, channels=3, size=16)
    return fit(network, folder, out=tmp_path_factory.mktemp("runs") / "run", epochs=2, batch=12, keep=2)


def test_curves(run, tmp_path, capsys):
    assert main(["curves", str(run.path)]) == 0
    words, path = capsys.readouterr().out.strip().splitlines()
    assert words.startswith("Best of 2 epochs is epoch")
    assert path == str(run.path / "curves.png")
    assert (run.path / "curves.png").is_file()
    assert main(["curves", str(run.path), "--out", str(tmp_path / "c.json")]) == 0
    held = json.loads((tmp_path / "c.json").read_text())["curves"][0]
    np.testing.assert_allclose(held["train_loss"], [row.train_loss for row in Run.open(run.path).history], rtol=1e-5)


def test_curves_of_several(run, folder, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "history.csv").write_text((run.path / "history.csv").read_text())
    assert main(["curves", str(run.path), str(other), "--out", str(tmp_path / "both.png")]) == 0
    assert "other: best of 2 epochs" in capsys.readouterr().out
    assert main(["curves", str(run.path), str(run.path)]) == 2
    assert main(["curves", str(folder)]) == 2
    assert main(["curves", str(run.path), "--out", "curves.pdf"]) == 2
    errors = capsys.readouterr().err
    assert "a RUN is given twice" in errors
    assert "striate train makes one" in errors
    assert "--out curves.pdf" in errors


def test_evaluate_a_run(run, capsys):
    assert main(["evaluate", str(run.path)]) == 0
    out = capsys.readouterr().out
    held = Evaluation.load(run.path / "predictions.npz", weights=run.network("best").weights_hash)
    assert f"Right about {int(held.right.sum())} of {len(held)} pictures" in out
    assert held.accuracy == pytest.approx(run.best.validation_accuracy, abs=0.1)  # the same, but for its precision
    assert out.strip().splitlines()[-1] == str(run.path / "predictions.npz")
    for name in ("evaluation.json", "confusions.png", "classes.png", "calibration.png"):
        assert (run.path / "evaluation" / name).stat().st_size > 1000


def test_evaluate_other_pictures(run, folder, tmp_path, capsys):
    (broken := folder / "rising" / "zzz.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    try:
        assert main(["evaluate", str(run.path), str(folder), "--out", str(tmp_path / "out")]) == 0
    finally:
        broken.unlink()
    said = capsys.readouterr()
    assert "of 60 pictures" in said.out
    assert "zzz.png" in said.err
    held = Evaluation.load(tmp_path / "out" / "predictions.npz")
    assert held.class_names == NAMES
    assert len(held.skipped) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["evaluate", "PICTURES"], "is no run of `striate train`"),
        (["evaluate", "RUN", "--part", "test"], "go with a FOLDER"),
        (["evaluate", "RUN", "PICTURES", "--again"], "--again goes with a RUN alone"),
        (["evaluate", "RUN", "nowhere"], "nowhere does not exist"),
        (["report", "PICTURES"], "is no run"),
        (["report", "nowhere"], "nowhere does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(run, folder, capsys, words, text):
    places = {"RUN": str(run.path), "PICTURES": str(folder)}
    assert main([places.get(word, word) for word in words]) == 2
    assert text in capsys.readouterr().err


def test_report(run, monkeypatch, capsys):
    monkeypatch.setattr("striate.report.run_sections.growth.STEPS", 2)
    assert main(["report", str(run.path), "--worst", "1"]) == 0
    assert capsys.readouterr().out.strip() == str(run.path / "report.html")
    page = (run.path / "report.html").read_text()
    assert "What units came to look for" in page
    assert "Trained on 48 pictures" in page
    json.loads((run.path / "report.json").read_text())


def test_what_is_made_of_a_run_that_may_not_be_written_into_goes_here(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("striate.report.run_sections.growth.STEPS", 0)
    # whoever runs this may be root, who may write anywhere
    monkeypatch.setattr("os.access", lambda _, mode, **__: not mode & os.W_OK)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(run.path)]) == 0
    assert main(["report", str(run.path), "--worst", "0"]) == 0
    assert main(["curves", str(run.path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"striate-evaluation", "striate-report", "curves.png"}
    assert (tmp_path / "striate-report" / "report.html").is_file()
    assert f"{run.path} may not be written into: what is made goes to striate-report here" in capsys.readouterr().err
