"""Penalised least squares against scikit-learn, against leaving each picture out by hand, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from striate.errors import DataError, OptionError
from striate.learn.untrained import ridge
from striate.learn.untrained.ridge import STRENGTHS, fit_ridge

SHAPES = [(120, 30), (50, 140)]  # more pictures than features, and fewer


def problem(count: int, width: int, *, noise: float = 3.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=draw) * torch.linspace(0.1, 5, width) + 3
    scores = features @ torch.randn(width, 3, generator=draw)
    scores = scores - scores.mean(0)
    noisy = scores + noise * scores.std() * torch.randn(count, 3, generator=draw)
    return features, noisy.argmax(1)


def given(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, bool, int]:
    """What the solver of a classifier with an intercept is given."""
    targets = torch.nn.functional.one_hot(labels, 3).double()
    return torch.from_numpy(standardised(features)).float(), targets - targets.mean(0), True, 4096


def standardised(features: torch.Tensor) -> np.ndarray:
    values = features.double().numpy()
    return (values - values.mean(0)) / values.std(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_the_scores_are_those_of_scikit_learn_but_for_one_factor(shape, strength):
    features, labels = problem(*shape)
    found = fit_ridge(features.clone(), labels, 3, strengths=[strength])
    values, truth = standardised(features), np.eye(3)[labels.numpy()]
    peer = Ridge(alpha=strength * (values**2).sum() / len(values)).fit(values, truth).predict(values)
    ours = (features.double() @ found.weight.double().T + found.bias.double()).numpy()
    factor = (ours * peer).sum() / (peer**2).sum()
    assert factor > 0
    np.testing.assert_allclose(ours, factor * peer, atol=2e-4 * factor)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("intercept", [True, False])
def test_pictures_left_out_are_judged_as_if_the_classifier_had_been_fitted_without_them(shape, intercept):
    features, labels = problem(*shape)
    values = features.double().numpy()
    mean = values.mean(0) * intercept
    values = (values - mean) / np.sqrt(((values - mean) ** 2).mean(0))
    truth = np.eye(3)[labels.numpy()]
    unit = (values**2).sum() / len(values)
    strengths = (1e-2, 1.0)
    errors, shares = [], []
    for strength in strengths:
        scores = np.empty_like(truth)
        for index in range(len(values)):
            rest = np.arange(len(values)) != index
            peer = Ridge(alpha=strength * unit, fit_intercept=intercept).fit(values[rest], truth[rest])
            scores[index] = peer.predict(values[index : index + 1])
        errors.append(((scores - truth) ** 2).mean())
        shares.append((scores.argmax(1) == labels.numpy()).mean())
    best = int(np.argmin(errors))
    found = fit_ridge(features.clone(), labels, 3, intercept=intercept, strengths=strengths)
    assert found.strength == strengths[best]
    assert found.left_out == pytest.approx(shares[best])
    for strength, share in zip(strengths, shares, strict=True):
        alone = fit_ridge(features.clone(), labels, 3, intercept=intercept, strengths=[strength])
        assert alone.left_out == pytest.approx(share)


def test_both_ways_give_the_same_where_there_are_as_many_features_as_pictures():
    features, labels = problem(40, 40)
    one = fit_ridge(features.clone(), labels, 3, strengths=[0.1])
    more = torch.cat([features, torch.full((40, 1), 7.0)], 1)  # a feature that never changes: the other way
    fewer = features[:, :39]
    other = fit_ridge(more, labels, 3, strengths=[0.1], chunk=7)
    torch.testing.assert_close(one.weight, other.weight[:, :40], rtol=1e-3, atol=1e-4)
    assert float(other.weight[:, 40].abs().max()) == 0
    assert fit_ridge(fewer.clone(), labels, 3).weight.shape == (3, 39)


def test_noise_asks_for_a_strong_penalty_and_clear_pictures_for_a_weak_one():
    clear, noisy = problem(200, 20, noise=0.0), problem(200, 20, noise=30.0)
    assert fit_ridge(*clear, 3).strength < fit_ridge(*noisy, 3).strength <= max(STRENGTHS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.0, 3.0, 30.0])
def test_the_walk_ends_where_trying_all_strengths_would(shape, noise, monkeypatch):
    features, labels = problem(*shape, noise=noise)
    tried: list[float] = []
    plain = ridge._Solver.solve
    monkeypatch.setattr(
        ridge._Solver, "solve", lambda solver, strength: tried.append(strength) or plain(solver, strength)
    )
    alone = {one: ridge._lowest([one], ridge._Solver(*given(features, labels)))[1].error for one in STRENGTHS}
    tried.clear()
    assert fit_ridge(features.clone(), labels, 3).strength == min(alone, key=alone.__getitem__)
    assert tried[0] == 1.0
    assert len(tried) == len(set(tried)) < len(STRENGTHS)


def test_probabilities_fit_the_pictures_left_out():
    features, labels = problem(3600, 10, noise=0.5)
    found = fit_ridge(features[:600].clone(), labels[:600], 3)
    new, truth = features[600:], labels[600:]
    logits = new @ found.weight.T + found.bias

    def loss(factor: float) -> float:
        return float(torch.nn.functional.cross_entropy(factor * logits, truth))

    assert loss(1.0) < min(loss(0.5), loss(2.0))  # least squares alone would want a factor of about 5


def test_without_an_intercept_nothing_is_centred():
    features, labels = problem(80, 12)
    found = fit_ridge(features.clone(), labels, 3, intercept=False)
    assert float(found.bias.abs().max()) == 0


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (torch.rand(5, 3), torch.zeros(5, dtype=torch.long), "at least two classes; there are 5 of one"),
        (torch.ones(4, 3), torch.tensor([0, 1, 0, 1]), "no feature of the network differs"),
        (torch.tensor([[1.0], [float("nan")], [2.0]]), torch.tensor([0, 1, 0]), "no finite numbers"),
    ],
)
def test_what_cannot_be_solved_is_said(features, labels, words):
    with pytest.raises(DataError, match=words):
        fit_ridge(features, labels, 2)


def test_strengths_are_above_zero():
    with pytest.raises(OptionError, match="above 0, at least one"):
        fit_ridge(*problem(20, 4), 3, strengths=[0.0])
