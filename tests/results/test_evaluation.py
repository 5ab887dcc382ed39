from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from sklearn import metrics

from striate.errors import DataError
from striate.results import Evaluation, PerClass, Recipe


def table(count=300, classes=7, seed=0, names=None, unknown=0, **changes):
    """Predictions that are better than chance; classes 0 is rare, and nothing is tied."""
    random = np.random.default_rng(seed)
    labels = np.maximum(random.integers(-1, classes, count), 0) if classes > 2 else random.integers(0, classes, count)
    logits = random.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += 1.2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(probabilities[np.arange(count), labels])
    if unknown:
        labels[:unknown], losses[:unknown] = -1, np.nan
    held = {
        "names": tuple(f"folder/{index}.png" for index in range(count)),
        "labels": labels.astype(np.int64),
        "probabilities": probabilities.astype(np.float32),
        "losses": losses.astype(np.float32),
        "indices": np.arange(count)[::-1].copy(),
        "class_names": names,
        "pictures": "0123456789abcdef",
        "recipe": Recipe(lens="evaluate", network="small", weights="fedcba9876543210"),
    }
    return Evaluation(**{**held, **changes})


@pytest.mark.parametrize(("classes", "unknown"), [(2, 0), (7, 0), (7, 40), (30, 0)])
def test_figures_are_those_of_scikit_learn(classes, unknown):
    held = table(classes=classes, unknown=unknown)
    rows = held.labels >= 0
    truth, said, chances = held.labels[rows], held.predictions[rows], held.probabilities[rows].astype(np.float64)
    every = list(range(classes))
    assert (held.confusion == metrics.confusion_matrix(truth, said, labels=every)).all()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, said, labels=every, zero_division=np.nan
    )
    figures = held.per_class
    np.testing.assert_allclose(figures.precision, precision)
    np.testing.assert_allclose(figures.recall, recall)
    np.testing.assert_allclose(figures.f1, f1)
    assert (figures.support == support).all()
    assert held.accuracy == pytest.approx(metrics.accuracy_score(truth, said))
    assert figures.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    assert figures.macro_f1 == pytest.approx(metrics.f1_score(truth, said, labels=np.unique(truth), average="macro"))
    assert held.loss == pytest.approx(metrics.log_loss(truth, chances / chances.sum(1, keepdims=True), labels=every))
    if classes > 2:
        found = metrics.top_k_accuracy_score(truth, chances, k=2, labels=every)
        assert held.top_accuracy(2) == pytest.approx(found)
    assert held.top_accuracy(1) == held.accuracy


def test_a_class_without_pictures_and_one_that_is_never_said():
    # rows are what is, columns what is said: nothing is of class 1, nothing is called class 2
    figures = PerClass(counts=np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]]), class_names=("a", "b", "c"))
    np.testing.assert_allclose(figures.recall, [0.75, np.nan, 0])
    np.testing.assert_allclose(figures.precision, [0.6, 0, np.nan])
    np.testing.assert_allclose(figures.f1, [2 / 3, 0, 0])
    assert figures.macro_f1 == pytest.approx(1 / 3)  # of the two that have pictures
    assert figures.weakest().tolist() == [2, 0]
    assert "1 class has no pictures" in figures.caption()


def test_the_worst_mistake_comes_first():
    held = table()
    order = held.worst()
    wrong = (held.predictions != held.labels).sum()
    assert len(order) == wrong
    assert (np.diff(held.losses[order]) <= 0).all()
    assert held.losses[order[0]] == held.losses[held.predictions != held.labels].max()
    first = held.mistakes(1)[0]
    assert (first.name, first.picture) == (held.names[order[0]], held.indices[order[0]])
    assert [one.name for one in held.confusions(3).mistakes] == [held.names[row] for row in order[:3]]


def test_it_is_kept_bit_for_bit(tmp_path):
    names = ("a\nb.png", "c\\n.png", "猫/ö.png", "\udcff.png", "\\", "", " \r ")
    held = table(count=7, names=tuple(f"klasse {index} ä, {index}" for index in range(7)), unknown=1)
    held = Evaluation(
        **{
            **{key: getattr(held, key) for key in ("labels", "probabilities", "losses", "indices", "class_names")},
            "names": names,
            "pictures": held.pictures,
            "skipped": (("broken.jpg", "is cut off\nhere"),),
            "recipe": held.recipe,
        }
    )
    path = held.save(tmp_path / "predictions.npz")
    again = Evaluation.load(path, weights="fedcba9876543210", pictures="0123456789abcdef")
    for key in ("labels", "probabilities", "losses", "indices"):
        np.testing.assert_array_equal(getattr(again, key), getattr(held, key))
        assert getattr(again, key).dtype == getattr(held, key).dtype
    assert (again.names, again.class_names, again.skipped) == (names, held.class_names, held.skipped)
    assert again.recipe == held.recipe
    with np.load(path, allow_pickle=False) as file:  # a pickled entry could not be read
        assert {file[key].dtype.kind for key in file.files} <= {"u", "i", "f", "U"}


@pytest.mark.parametrize(
    ("asked", "text"),
    [({"weights": "0" * 16}, "another network"), ({"pictures": "0" * 16}, "other pictures or labels")],
)
def test_that_of_another_network_or_other_pictures_is_refused(tmp_path, asked, text):
    path = table().save(tmp_path / "predictions.npz")
    with pytest.raises(DataError, match=text):
        Evaluation.load(path, **asked)


def with_entry(path, name, values):
    """Replace one array of an archive, pickled where it has to be."""
    with np.load(path) as file:
        held = {key: file[key] for key in file.files}
    held[name] = values
    np.savez(path, **held)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("labels", np.array([99] * 300)),
        ("labels", np.arange(5)),
        ("labels", np.zeros(300)),
        ("probabilities", np.zeros(300, dtype=np.float32)),
        ("names", np.array([{"a": 1}], dtype=object)),
        ("names", np.frombuffer(b"no end", dtype=np.uint8)),
        ("names", np.frombuffer(b"\n" * 299, dtype=np.uint8)),
        ("class_names", np.frombuffer(b"a\nb\n", dtype=np.uint8)),
        ("format", np.frombuffer(b"other\n", dtype=np.uint8)),
        ("recipe", np.array("{")),
        ("skipped", np.frombuffer(b"alone\n", dtype=np.uint8)),
    ],
)
def test_a_table_that_was_tampered_with_is_refused(tmp_path, name, values):
    path = table().save(tmp_path / "predictions.npz")
    with_entry(path, name, values)
    with pytest.raises(DataError, match="no table of predictions"):
        Evaluation.load(path)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        Evaluation.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    whole = table().save(tmp_path / "predictions.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.npy", b"no array")
    (tmp_path / "other.npz").write_bytes(buffer.getvalue())
    for name in ("text", "half", "other"):
        with pytest.raises(DataError, match="no table of predictions"):
            Evaluation.load(tmp_path / f"{name}.npz")


def test_without_any_label_nothing_is_right_or_wrong(tmp_path):
    held = table(count=20, unknown=20)
    assert np.isnan(held.accuracy)
    assert np.isnan(held.loss)
    assert held.drawings() == []
    assert held.caption() == "The class of 20 pictures is not known."
    with pytest.raises(DataError, match="no picture's class is known"):
        held.confusions()
    assert Evaluation.load(held.save(tmp_path / "predictions.npz")).labels.tolist() == [-1] * 20
    held.save(tmp_path / "evaluation.json")
    held.save(tmp_path / "evaluation.png")


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (2, ("a" * 300, "b")),
        (10, None),
        (45, tuple(f"ein sehr langer Name einer Klasse, {index}" for index in range(45))),
        (1000, tuple(f"猫 ตัว class_{index} $x_1$" for index in range(1000))),
    ],
)
def test_it_is_drawn_with_any_number_of_classes(tmp_path, classes, names):
    held = table(count=1200, classes=classes, names=names)
    held.save(tmp_path / "evaluation.png")  # warnings are errors: a letter that no font has is none
    confusions = held.confusions()
    assert len(confusions.chosen()) == min(classes, 20 if classes > 60 else classes)
    listed = held.per_class.listed()
    assert len(listed) == (classes if classes <= 40 else 30)
    if classes == 1000:  # what is drawn is what is confused most, and the weakest of those that have pictures
        pair = confusions.pairs()[0]
        assert {pair.true, pair.said} <= set(confusions.chosen().tolist())
        assert (held.per_class.support[listed] > 0).all()
