"""Heads fitted on features: what scikit-learn says of the same rows, settings by honest folds, mistakes said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from striate import learn, progress
from striate.errors import DataError, OptionError, Stopped
from striate.learn.seeds import number
from striate.learn.transferring.heads import HEADS, fit_head
from striate.learn.transferring.heads._folds import few, folds_of
from striate.learn.transferring.heads.forest import Forest


def rows(count=120, size=12, classes=3, seed=0, apart=1.5):
    """Gaussian classes whose means lie apart in a few features; every feature has another scale and shift."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    values = draw.normal(size=(count, size))
    values[np.arange(count), labels] += apart
    return (values * draw.uniform(0.1, 30, size) + draw.normal(size=size) * 5).astype(np.float32), labels


def plain(values):
    return (values - values.mean(0)) / values.std(0)


def logits(found, values):
    return found.module(torch.from_numpy(values)).numpy()


def shares(found, values):
    return torch.from_numpy(logits(found, values)).softmax(1).numpy()


# --- the same as scikit-learn


@pytest.mark.parametrize(("size", "classes"), [(12, 3), (12, 2), (300, 3), (300, 2)])
def test_logistic_gives_the_probabilities_of_scikit_learn(size, classes):
    values, labels = rows(size=size, classes=classes)  # 300 features of 120 rows are turned into 119
    found = fit_head("logistic", values, labels, classes=classes)
    truth = LogisticRegression(C=found.setting["C"], max_iter=2000, tol=1e-6).fit(plain(values), labels)
    np.testing.assert_allclose(shares(found, values), truth.predict_proba(plain(values)), atol=3e-3)
    new = rows(size=size, classes=classes, seed=5)[0]
    moved = (new - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(shares(found, new), truth.predict_proba(moved), atol=1e-2)
    assert found.module.kind == "linear"
    assert found.weights == classes * (size + 1)


@pytest.mark.parametrize(("size", "classes"), [(12, 3), (12, 2), (200, 4)])
def test_linear_svm_decides_as_liblinear(size, classes):
    values, labels = rows(size=size, classes=classes)
    found = fit_head("linear-svm", values, labels, classes=classes)
    truth = LinearSVC(C=found.setting["C"], dual=True, tol=1e-6, max_iter=100_000).fit(plain(values), labels)
    decided = truth.decision_function(plain(values))
    ours = logits(found, values)
    if classes == 2:
        np.testing.assert_allclose(ours[:, 0], -ours[:, 1], atol=1e-4)
        ours, decided = ours[:, 1] - ours[:, 0], decided
    np.testing.assert_allclose(ours, decided, atol=0.02)


@pytest.mark.parametrize("classes", [2, 3])
def test_rbf_svm_decides_as_one_against_the_rest(classes):
    values, labels = rows(classes=classes)
    found = fit_head("rbf-svm", values, labels, classes=classes)
    truth = OneVsRestClassifier(SVC(C=found.setting["C"], gamma=found.setting["gamma"])).fit(plain(values), labels)
    new = rows(classes=classes, seed=3)[0]
    for asked in (values, new):
        decided = truth.decision_function((asked - values.mean(0)) / values.std(0))
        ours = logits(found, asked)
        np.testing.assert_allclose(ours[:, 1] - ours[:, 0] if classes == 2 else ours, decided, atol=2e-2)
        assert (ours.argmax(1) == truth.predict((asked - values.mean(0)) / values.std(0))).mean() > 0.99


@pytest.mark.parametrize("classes", [2, 5])
def test_forest_gives_the_shares_of_scikit_learn_also_at_the_thresholds(classes):
    values, labels = rows(count=200, classes=classes)
    values = np.round(values)  # many rows lie exactly between two trees' halves
    problem = Forest(values, labels, classes, 0)
    (grown,) = problem.learn(np.arange(150), [{"trees": 30, "leaf": 1}])
    ours = torch.exp(grown.head()(torch.from_numpy(values))).numpy()
    np.testing.assert_allclose(ours, grown.forest.predict_proba(values), atol=2e-6)
    assert (ours.argmax(1) == grown.decide(np.arange(200))).mean() > 0.99  # but for ties


@pytest.mark.parametrize("classes", [2, 3])
def test_dense_gives_the_probabilities_of_scikit_learn(classes):
    values, labels = rows(classes=classes)
    found = fit_head("dense", values, labels, classes=classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = MLPClassifier(
            (128,), alpha=found.setting["alpha"], batch_size=30, max_iter=100, random_state=number(0, "dense") % 2**32
        ).fit(plain(values).astype(np.float32), labels)
    np.testing.assert_allclose(shares(found, values), truth.predict_proba(plain(values)), atol=1e-3)


def test_accuracy_and_spread_are_those_of_scikit_learn_on_the_same_folds():
    values, labels = rows(apart=1.0)
    found = fit_head("logistic", values, labels, classes=3, seed=7, folds=4)
    made = folds_of(labels, 4, 7, None)
    for setting, accuracy in found.tried:
        truth = LogisticRegression(C=setting["C"], max_iter=2000, tol=1e-6)
        scores = cross_val_score(truth, plain(values), labels, cv=made)
        assert accuracy == pytest.approx(scores.mean(), abs=0.02)  # two rows: searched less far
        if setting == found.setting:
            assert found.spread == pytest.approx(scores.std(ddof=1), abs=0.02)
    assert found.accuracy == max(accuracy for _, accuracy in found.tried)
    assert found.accuracy == pytest.approx(np.mean(found.folds), abs=1e-6)
    assert found.caption().startswith("Logistic regression (C = ")
    assert f"{found.accuracy:.1%} ± {found.spread:.1%} right in 4 folds." in found.caption()


# --- limits and invariances


@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_what_is_plain_and_not_what_is_noise(name):
    values, labels = rows(apart=6)
    assert fit_head(name, values, labels, classes=3, folds=3).accuracy > 0.95
    nothing = np.random.default_rng(1).permutation(labels)
    assert abs(fit_head(name, values, nothing, classes=3, folds=3).accuracy - 1 / 3) < 0.2


@pytest.mark.parametrize("name", HEADS)
def test_the_same_seed_gives_the_same_head_and_no_other_generator_is_touched(name):
    values, labels = rows(count=60)
    torch.manual_seed(0)
    np.random.seed(0)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (fit_head(name, values, labels, classes=3, folds=2, seed=3).module.state_dict() for _ in "ab")
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()


@pytest.mark.parametrize("name", ["logistic", "linear-svm", "rbf-svm"])
def test_features_that_do_not_vary_and_scales_do_not_matter(name):
    values, labels = rows(count=60)
    still = np.concatenate([values, np.full((60, 2), 3.0), 1 + np.random.default_rng(0).normal(size=(60, 1)) * 1e-7], 1)
    one, other = (fit_head(name, given, labels, classes=3, folds=2) for given in (values, still.astype(np.float32)))
    assert one.setting == other.setting
    np.testing.assert_allclose(logits(other, still.astype(np.float32)), logits(one, values), atol=1e-3)
    assert np.isfinite(logits(other, 100 * still.astype(np.float32))).all()


def test_folds_hold_every_class_in_proportion():
    labels = np.array([0] * 50 + [1] * 25 + [2] * 2)
    made = folds_of(labels, 5, 0, None)
    assert sorted(np.concatenate([asked for _, asked in made])) == list(range(77))
    for learned, asked in made:
        assert not set(learned) & set(asked)
        assert np.bincount(labels[asked], minlength=3)[:2].tolist() == [10, 5]
        assert set(labels[learned]) == {0, 1, 2}
    assert len(folds_of(np.array([0, 0, 1, 1]), 5, 0, None)) == 2


def test_groups_stay_together():
    labels = np.arange(60) % 3
    groups = np.arange(60) // 6  # of six rows, two of each class
    for learned, asked in folds_of(labels, 5, 0, groups):
        assert not set(groups[learned]) & set(groups[asked])
    # copies of a row in other folds would be found again; together they are not
    nothing = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32).repeat(6, 0)
    alike = np.random.default_rng(1).integers(0, 2, 20).repeat(6)
    apart = fit_head("rbf-svm", nothing, alike, classes=2)
    together = fit_head("rbf-svm", nothing, alike, classes=2, groups=np.arange(20).repeat(6))
    assert apart.accuracy > 0.95 > 0.8 > together.accuracy


def test_few_rows_stand_for_many():
    labels = np.array([0] * 1000 + [1] * 500 + [2] * 3)
    chosen = few(labels, 300, 0)
    counts = np.bincount(labels[chosen])
    assert len(chosen) == 300 == len(set(chosen))
    assert counts[2] >= 2
    assert counts[0] == pytest.approx(2 * counts[1], abs=3)


def test_more_rows_than_a_kernel_takes_are_left_out_and_that_is_said(monkeypatch):
    from dataclasses import replace

    from striate.learn.transferring.heads import fitting

    monkeypatch.setitem(fitting._RULES, "rbf-svm", replace(fitting._RULES["rbf-svm"], most=90))
    monkeypatch.setattr(fitting, "_MOST", 60)
    values, labels = rows(count=200, apart=4)
    found = fit_head("rbf-svm", values, labels, classes=3)
    assert found.module.vectors <= 90
    assert found.notes[0] == "Learned from 90 of 200 pictures: the time grows with their square."
    assert "accuracy estimated, on 60 of 90 pictures" in found.notes[1]
    assert found.accuracy > 0.9


# --- asked for wrongly


def test_mistakes_are_said():
    values, labels = rows(count=30)
    with pytest.raises(
        OptionError, match=r"no head 'logistics'\. Did you mean logistic\? There are logistic, linear-svm"
    ):
        fit_head("logistics", values, labels, classes=3)
    with pytest.raises(OptionError, match="folds must be at least 2, got 1"):
        fit_head("logistic", values, labels, classes=3, folds=1)
    with pytest.raises(DataError, match=r"1 of 4 classes have fewer than two pictures \(class 3 has 0\)"):
        fit_head("logistic", values, labels, classes=4)
    with pytest.raises(DataError, match=r"class 2 has 1\), where one is learned from"):
        fit_head("logistic", values, np.r_[np.zeros(20), np.ones(9), 2].astype(int), classes=3)
    with pytest.raises(DataError, match="1 class: there is nothing to tell apart"):
        fit_head("logistic", values, np.zeros(30, int), classes=1)
    with pytest.raises(DataError, match="whole numbers from 0 to 1"):
        fit_head("logistic", values, labels, classes=2)
    with pytest.raises(DataError, match=r"got 30 x 12 and 29"):
        fit_head("logistic", values, labels[:29], classes=3)
    with pytest.raises(DataError, match="all 12 features are the same for all 30 pictures"):
        fit_head("forest", np.ones_like(values), labels, classes=3)
    values[4, 2] = np.inf
    with pytest.raises(DataError, match=r"of 1 of 30 pictures are NaN or infinite \(first: row 4\)"):
        fit_head("logistic", values, labels, classes=3)
    values[4, 2] = 0
    with pytest.raises(DataError, match=r"all pictures of class \d are of one group"):
        fit_head("logistic", values, labels, classes=3, groups=labels)
    with pytest.raises(DataError, match="29 groups for 30 pictures"):
        fit_head("logistic", values, labels, classes=3, groups=labels[:29])


def test_says_how_far_it_is_and_can_be_stopped():
    values, labels = rows(count=60)
    heard = []
    with progress.listen(heard.append):
        fit_head("linear-svm", values, labels, classes=3, folds=2)
    assert [(event.done, event.total) for event in heard] == [(step, 11) for step in range(1, 12)]
    with progress.stoppable() as stop, progress.listen(lambda event: stop.stop()), pytest.raises(Stopped):
        fit_head("dense", values, labels, classes=3, folds=2)


def test_public_names():
    assert learn.HEADS == ("logistic", "linear-svm", "rbf-svm", "forest", "dense")
    assert learn.fit_head is fit_head
