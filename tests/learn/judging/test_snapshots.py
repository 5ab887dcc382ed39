from __future__ import annotations

import numpy as np
import pytest
import torch

from learn.small_run import small_run
from striate.errors import AddressError, DataError, OptionError
from striate.learn.judging.snapshots import develop
from striate.results import FilterBank, FilterChange
from striate.tap import activations


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "run", epochs=2)


@pytest.fixture(scope="module")
def made(run):
    return develop(run, units=2, pictures=30, steps=3)


def test_answers_are_those_of_each_network(run, made):
    indices = run.split.validation_indices
    chosen = indices[np.unique(np.linspace(0, len(indices) - 1, 30).round().astype(int))]
    assert made.epochs == (0, 1, 2)
    assert made.pictures == 30
    for unit in made.units:
        place, channel = unit.address.split(":")
        for epoch, one in zip(made.epochs, unit.snapshots, strict=True):
            network = run.network(epoch)
            images = torch.stack([run.split.validation.read(int(index), network.spec) for index in chosen])
            maps = activations(network, network.batch(images), [place]).outputs[place][:, int(channel)]
            values = maps.flatten(1).amax(1)
            assert one.value == pytest.approx(float(values.max()), rel=1e-6)
            assert one.picture == run.split.validation.name(int(chosen[int(values.argmax())]))
            assert one.fires == pytest.approx(float((values > 0).float().mean()))
            truth = run.split.validation_labels[np.searchsorted(indices, chosen[values.argsort(descending=True)[:9]])]
            assert one.share == pytest.approx(np.bincount(truth).max() / 9)
            assert one.common == run.split.class_names[int(np.bincount(truth).argmax())] or one.share <= 0.5


def test_the_patch_is_what_the_unit_sees(run, made):
    unit = made.units[0]
    place = unit.address.split(":")[0]
    field = run.network(0).graph().layer(place).field
    assert unit.sees == field.size
    height, width = unit.snapshots[0].patch.shape[:2]
    assert height <= field.size[0]
    assert width <= field.size[1]


def test_the_same_again_and_made_pictures_start_from_the_same_noise(run, made):
    again = develop(run, units=2, pictures=30, steps=3)
    for first, second in zip(made.units, again.units, strict=True):
        for one, other in zip(first.snapshots, second.snapshots, strict=True):
            np.testing.assert_array_equal(one.made, other.made)
            assert one.reached == other.reached
    assert not np.array_equal(made.units[0].snapshots[0].made, made.units[0].snapshots[-1].made)


def test_it_is_drawn_and_kept(made, tmp_path):
    for suffix in ("png", "json", "npz"):
        made.save(tmp_path / f"development.{suffix}")
    assert len(made.drawings()) == len(made.units) == 4
    with np.load(tmp_path / "development.npz") as file:
        assert file["value"].shape == (4, 3)
        assert file["made_0"].shape[0] == 3


def test_without_pictures_made(run):
    made = develop(run, units=1, pictures=4, steps=0)
    assert made.units[0].snapshots[0].made is None
    assert "made for the unit" not in made.caption()
    made.figure()


def test_layers_can_be_named(run):
    assert [unit.address.split(":")[0] for unit in develop(run, layers=["0"], units=1, pictures=2, steps=0).units] == [
        "0"
    ]
    with pytest.raises(AddressError):
        develop(run, layers=["none"])


def test_bad_options_and_too_few_networks_are_refused(run, tmp_path):
    with pytest.raises(OptionError, match="at least 1"):
        develop(run, units=0)
    alone = small_run(tmp_path / "alone", epochs=1)
    del alone.kept[1]
    with pytest.raises(DataError, match="fewer than two networks"):
        develop(alone)


def bank(values):
    return torch.tensor(values, dtype=torch.float32).reshape(len(values), 1, 1, 2)


def test_how_far_filters_moved_by_hand(tmp_path):
    # turned by a right angle; the same direction and twice as long; 0 before
    change = FilterChange(bank([[1, 0], [1, 1], [0, 0]]), bank([[0, 3], [2, 2], [1, 0]]), "conv", False, (0, 4))
    np.testing.assert_allclose(change.cosines, [0, 1, np.nan], atol=1e-12)
    np.testing.assert_allclose(change.growth, [3, 2, np.nan])
    assert "before training and after epoch 4" in change.caption()
    change.save(tmp_path / "change.png")
    change.save(tmp_path / "change.json")


def test_both_are_drawn_on_one_scale():
    change = FilterChange(bank([[0.1, 0.1]]), bank([[1.0, -1.0]]), "conv", False, (0, 1))
    together = change.together()
    alone = FilterBank(weights=change.before, layer="conv", colour=False)
    assert together.largest == 1
    assert not np.array_equal(together.picture(0), alone.picture(0))  # pale beside those that it grew to


def test_a_layer_that_did_not_learn_is_said():
    same = bank([[1, 2], [3, 4]])
    assert "did not learn" in FilterChange(same, same.clone(), "conv", False, (0, 1)).caption()
