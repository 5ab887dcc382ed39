from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from learn.small_run import small_run, stripes
from report.test_look import Page
from striate.dataset import open as open_pictures
from striate.errors import Stopped
from striate.learn.judging.evaluate import evaluation_of
from striate.progress import stoppable
from striate.report import training
from striate.report.charts import HEIGHT, WIDTH, panel
from striate.results import decode_array


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Make pictures in a few steps: what a report says of them is tested here, not how good they are."""
    monkeypatch.setattr("striate.report.run_sections.growth.STEPS", 2)
    monkeypatch.setattr("striate.report.run_sections.growth.UNITS", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "run <b>&", epochs=2, names=("upright", "ris<i>ng", "猫 &amp;"))


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """One report with everything in it, for all that only read it."""
    from striate.report.run_sections import growth

    kept = growth.STEPS, growth.UNITS
    growth.STEPS, growth.UNITS = 2, 1
    (run.path / "skipped.csv").write_text("file,reason\nrising/b<r>oken.jpg,it is cut off\n", encoding="utf-8")
    out = tmp_path_factory.mktemp("reports") / "out"
    path = training(run, out, worst=2)
    growth.STEPS, growth.UNITS = kept
    return Page(path.read_text(encoding="utf-8")), json.loads((out / "report.json").read_text()), path


def test_one_page_says_all(made, run):
    page, numbers, path = made
    for heading in (
        "How it went",
        "How good it is",
        "How sure it is",
        "What it gets wrong",
        "First filters",
        "What units came to look for",
        "Skipped pictures",
        "How this was made",
    ):
        assert heading in page.text
    assert "run <b>&" in page.text  # escaped in the source, as it is on the page
    assert "ris<i>ng" in page.text
    assert "rising/b<r>oken.jpg" in page.text
    assert "Optimiser sgd with learning rate 0.02" in page.text
    assert "Trained on 100 pictures" in page.text
    assert numbers["refused"] == {}
    assert {"learning_curves", "evaluation", "grad_cam", "occlusion", "randomisation", "development"} <= set(
        numbers["results"]
    )
    assert sorted(one.name for one in path.parent.iterdir()) == ["report.html", "report.json"]


def test_the_page_needs_nothing_else(made):
    text = made[2].read_text(encoding="utf-8")
    without_pictures = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|url\(|@import|<link|<script", without_pictures)


def test_the_matrix_on_the_page_is_that_of_the_table(made):
    page, numbers, _ = made
    counts = decode_array(numbers["results"]["evaluation"]["confusion"])
    titles = [cell["title"] for cell in page.all("td") if "taken for" in (cell.get("title") or "")]
    assert [int(title.rpartition(": ")[2]) for title in titles] == counts.flatten().tolist()


def test_each_mistake_has_its_explanations_and_how_far_to_believe_them(made):
    page, numbers, _ = made
    alternatives = [image["alt"] for image in page.all("img") if " over " in (image["alt"] or "")]
    assert len(alternatives) == 3 * 2
    assert len([one for one in alternatives if one.startswith("Grad-CAM for class:")]) == 2 * 2
    assert page.text.count("Deletion 0.") + page.text.count("Deletion 1.") == 3 * 2
    assert page.text.count("the weights") >= 2 * 2  # Grad-CAM and occlusion of what it says
    assert page.text.count("It says") == 2
    # what it says and what it is are explained one after the other, the true class as well
    targets = [numbers["results"][key]["recipe"]["target"] for key in ("grad_cam", "grad_cam_true", "occlusion")]
    assert targets[0] == targets[2] != targets[1]


def test_table_is_taken_over_from_the_run(run, made, monkeypatch):
    assert (run.path / "predictions.npz").is_file()


def test_it_is_the_same_again(run, made, tmp_path):
    again = training(run, tmp_path, worst=2)
    timeless = [
        re.sub(r"Recipe, [^<]*|<td class=\"figure\">[\d.]+ m?s</td>", "", path.read_text()) for path in (again, made[2])
    ]
    assert timeless[0] == timeless[1]


def test_without_mistakes_and_trust(run, tmp_path):
    page = Page(training(run, tmp_path, worst=0, trust=False).read_text())
    assert "It says" not in page.text
    assert "How far to believe it" not in page.text
    assert re.search(r"\d+ mistakes? among 50 pictures", page.text)


def test_a_run_without_validation_pictures_still_has_a_report(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    object.__setattr__(run.split, "validation", None)
    run.history[0] = type(run.history[0])(
        **{**vars(run.history[0]), "validation_loss": None, "validation_accuracy": None}
    )
    page = Page(training(run).read_text())
    assert "Without validation pictures nobody can say whether it over-fits" in page.text
    assert "was trained without validation pictures" in page.text
    assert "First filters" in page.text


def test_networks_that_were_not_kept_are_said(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    run.kept.clear()
    page = Page(training(run, worst=1, trust=False).read_text())
    assert "The network before the training was not kept" in page.text
    assert "Fewer than two networks of the course were kept" in page.text


@pytest.mark.parametrize(
    ("channels", "size", "classes"), [(1, (28, 28), 2), (3, (16, 40), 3), (3, (12, 12), 45), (2, (20, 24), 3)]
)
def test_grey_oblong_many_classes_and_strange_channels(tmp_path, channels, size, classes):
    values, labels = stripes(6 * classes, classes=classes, size=size, channels=channels)
    pictures = open_pictures(values, labels=labels, channels=channels)
    names = tuple(f"ein langer Name der Klasse Nummer {index}" for index in range(classes))
    run = small_run(tmp_path / "run", pictures, names=names, epochs=1, size=size, channels=channels)
    page = Page(training(run, worst=1).read_text())
    assert "How sure it is" in page.text
    shown = [cell for cell in page.all("td") if "taken for" in (cell.get("title") or "")]
    chosen = len(evaluation_of(run).confusions().chosen(24))
    assert len(shown) == chosen**2
    assert (chosen == classes) == (classes <= 24)
    if classes > 24:
        assert f"Of {classes} classes the {chosen} that are confused most" in page.text


def test_a_network_without_maps_and_without_filters(tmp_path):
    def dense(channels, classes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Flatten(), nn.Linear(channels * 20 * 24, 8), nn.ReLU(), nn.Linear(8, classes)
            ).eval()

    run = small_run(tmp_path / "run", epochs=1, module=dense, rate=1e-6)  # so little that it is wrong now and then
    page = Page(training(run, worst=1).read_text())
    assert "Grad-CAM is missing: no layer of this network gives a feature map" in page.text
    assert "No layer of small has two-dimensional kernels" in page.text


def test_a_network_that_is_always_right(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    values, labels = run.split.validation_indices, run.split.validation_labels
    with torch.no_grad():
        images = torch.stack([run.split.validation.read(int(index), run.best_network.spec) for index in values])
        object.__setattr__(run.split, "validation_labels", run.best_network(images).argmax(1).numpy().astype(np.int64))
    assert not np.array_equal(run.split.validation_labels, labels)
    page = Page(training(run).read_text())
    assert "It is right about all of 50 pictures" in page.text
    assert "It confuses nothing" in page.text


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory):
    """A real training on arrays, wrong about some of them."""
    from striate import learn

    values, labels = stripes(60, size=(20, 24))
    pictures = open_pictures(values, labels=labels)
    network = learn.start("striate:sequential,3x20x24,conv 4 3x3 relu,pool 2,flatten,dense 3", classes=3)
    path = tmp_path_factory.mktemp("runs") / "run"
    return learn.fit(network, pictures, out=path, epochs=1, batch=16, rate=1e-5), pictures


def test_a_training_on_arrays_has_confusions_and_mistakes(in_memory, tmp_path):
    run, pictures = in_memory
    page = Page(training(run, tmp_path / "now", worst=2, trust=False).read_text())
    for words in ("What it takes for what", "It says", "Grad-CAM"):
        assert words in page.text
    # opened again, the folder knows the figures, and the pictures when they are given
    from striate.learn import Run

    again = Page(training(run.path, tmp_path / "later", worst=2, trust=False).read_text())
    assert "What it takes for what" in again.text
    assert "The pictures cannot be shown: the pictures of" in again.text
    assert "were in memory only" in again.text
    worst = evaluation_of(run).mistakes(2)
    assert all(f"loss {one.loss:.3g}" in again.text for one in worst)
    assert not again.all("article")
    given = Page(training(Run.open(run.path, train=pictures), tmp_path / "given", worst=2, trust=False).read_text())
    assert sum("mistake" in one.get("class", "") for one in given.all("article")) == 2


def test_without_pictures_and_table_it_says_what_to_give(in_memory, tmp_path):
    import shutil

    shutil.copytree(in_memory[0].path, tmp_path / "run")
    (tmp_path / "run" / "predictions.npz").unlink(missing_ok=True)
    page = Page(training(tmp_path / "run", tmp_path / "out", trust=False).read_text())
    assert "were in memory only" in page.text
    assert "Run.open(" in page.text


def test_a_run_that_may_not_be_written_into_has_its_report_here(in_memory, tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in in_memory[0].path.rglob("*")}
    monkeypatch.setattr("os.access", lambda _, mode, **__: not mode & os.W_OK)
    path = training(in_memory[0], worst=0, trust=False)
    assert path.resolve() == tmp_path / "striate-report" / "report.html"
    assert {file: file.stat().st_mtime_ns for file in in_memory[0].path.rglob("*")} == before


def test_it_can_be_stopped(run, tmp_path):
    with stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            training(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_chart_is_scaled_by_hand():
    chart = panel(
        "loss", np.array([1, 2, 3]), [("a", np.array([0.0, np.nan, 1.0])), ("b", np.array([1.0, 1.0, 1.0]))], best=3
    )
    # epochs stand in the middle of thirds; 4 % of the span are left free above (below, no loss is under 0)
    assert chart.lines[0][1] == f"{WIDTH / 6:g},{HEIGHT:g} {5 * WIDTH / 6:g},{round(HEIGHT * (1 - 1 / 1.04), 2):g}"
    assert chart.mark == round(5 * WIDTH / 6, 2)
    assert [words for _, words in chart.columns] == ["1", "2", "3"]
    bent = panel("loss", np.array([1, 2, 3]), [("a", np.array([1.0, 0.1, 0.01]))], logarithmic=True)
    assert bent.lines[0][1].split()[1].split(",")[1] == f"{HEIGHT / 2:g}"
