"""The card of a unit against every activation, kept and worked out by numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import tap
from striate.errors import AddressError
from striate.lenses import unit_card
from striate.lenses.unit_card import _rebinned

COUNT, SEED = 60, 2


@pytest.fixture(scope="module")
def maps(network, images):
    outputs = tap.activations(network, images, ["second", "second_relu", "first", "deep"]).outputs
    return {place: output.double().numpy() for place, output in outputs.items()}


def alive(maps, place):
    """The unit of a rectifier that fires in most pictures."""
    return int((maps[place].max((2, 3)) > 0).sum(0).argmax())


def test_statistics_classes_and_selectivity(network, atlas, maps):
    channel = alive(maps, "second_relu")
    card = unit_card(network, atlas, f"second_relu:{channel}", beside="none", top=3)
    own = maps["second_relu"][:, channel]
    assert (card.mean, card.std) == pytest.approx((own.mean(), own.std()), rel=1e-4)
    assert (card.smallest, card.largest) == pytest.approx((own.max((1, 2)).min(), own.max((1, 2)).max()), rel=1e-5)
    assert card.fires == pytest.approx((own.max((1, 2)) > 0).mean())
    by_class = np.array([own[label::3].mean() for label in range(3)])
    order = np.argsort(-by_class)
    assert [answer.name for answer in card.classes] == [("ant", "bee", "crane")[one] for one in order]
    np.testing.assert_allclose([answer.mean for answer in card.classes], by_class[order], rtol=1e-4)
    best, rest = by_class[order[0]], by_class[order[1:]].mean()
    assert card.selectivity == pytest.approx((best - rest) / (best + rest), rel=1e-3)
    assert f"class selectivity is {card.selectivity:.2f}" in card.selects()
    assert "that says little" not in card.selects()  # 20 pictures of each class
    assert [answer.pictures for answer in card.classes] == [20, 20, 20]


def test_means_below_zero_have_no_selectivity(network, atlas, maps):
    channel = int(maps["second"].mean((0, 2, 3)).argmin())
    card = unit_card(network, atlas, f"second:{channel}", beside="none", top=1)
    assert card.selectivity is None
    assert card.selects().endswith("Averages below 0 have no selectivity index.")


def test_it_says_above_which_value_the_unit_fires(network, atlas, maps):
    rising = [index for index, scale in enumerate(network.module.norm.weight.tolist()) if scale > 0]
    channel = max(rising, key=lambda one: (maps["second_relu"][:, one].max((1, 2)) > 0).sum())
    card = unit_card(network, atlas, f"second:{channel}", beside="none", top=1)
    at_border = torch.zeros(1, 6, 1, 1)
    at_border[0, channel] = card.border
    network.module.norm.eval()
    assert float(network.module.norm(at_border).detach()[0, channel]) == pytest.approx(0, abs=1e-5)
    assert "of which a batch normalisation makes 0) in " in card.answers()
    falling = next(index for index, scale in enumerate(network.module.norm.weight.tolist()) if scale < 0)
    if np.isnan((turned := unit_card(network, atlas, f"second:{falling}", beside="none", top=1)).fires):
        assert "turns its sign around" in turned.answers()


def test_the_histogram_holds_every_picture(network, atlas, maps):
    card = unit_card(network, atlas, "second:1", beside="none", top=1)
    values = maps["second"][:, 1].max((1, 2))
    assert card.counts.sum() == 60
    truth = np.histogram(values, bins=card.edges)[0]
    # a fine bin is an eighth of its values wide, so that a picture may move by that
    apart = np.abs(np.cumsum(card.counts) - np.cumsum(truth))
    slack = [np.sum(np.abs(values - edge) <= np.abs(edge) / 8 + 1e-3) for edge in card.edges[1:]]
    assert (apart <= np.array(slack) + 1).all()


def test_bins_by_hand():
    counts, edges = np.array([4, 0, 2]), np.array([0.0, 1.0, 2.0, 4.0])
    even, borders = _rebinned(counts, edges, 0.0, 4.0)
    assert borders[[0, -1]].tolist() == [0, 4]
    assert (even[:8].sum(), even[8:16].sum(), even[16:].sum()) == (4, 0, 2)
    assert _rebinned(np.array([0, 7]), np.array([-1.0, 0.0, 1.0]), 0.5, 0.5)[0].tolist() == [7]


def test_weights_are_those_of_the_unit(network, atlas):
    first = unit_card(network, atlas, "first:2", beside="none", top=1).kernel
    assert first.colour
    np.testing.assert_array_equal(first.weights, network.module.first.weight[2].detach().numpy())
    second = unit_card(network, atlas, "second_relu:3", beside="none", top=1).kernel
    assert (second.address, second.inputs, second.colour) == ("second", 5, False)  # of the layer before
    own = network.module.second.weight[3].detach().numpy()
    assert list(second.channels) == np.argsort(-np.linalg.norm(own.reshape(5, -1), axis=1)).tolist()
    np.testing.assert_array_equal(second.weights, own[list(second.channels)])
    head = unit_card(network, atlas, "class:bee", beside="none", top=1).kernel
    assert head.weights.shape == (7, 1, 1)
    assert head.largest == pytest.approx(float(network.module.head.weight.detach()[1].abs().max()))


def test_patches_and_likes_are_on_it(network, atlas, tmp_path):
    card = unit_card(network, atlas, "deep:1", top=4)
    assert [len(card.top), len(card.bottom), len(card.strip)] == [4, 4, 4]
    assert all(patch.signal is not None for patch in card.top)
    values = [patch.value for patch in card.strip]
    assert values == sorted(values)
    assert len(card.alike) == 5
    assert card.alike[0].patch.whole is not None
    recipe = json.loads(card.save(tmp_path / "card.json").read_text())["recipe"]
    again = unit_card(network, target=recipe["target"][0], **recipe["options"])
    for key, array in card.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[key], err_msg=key)
    assert card.drawings()[0].title == "deep:1"
    assert card.figure().get_figheight() < 14


def test_a_unit_without_labels_weights_or_life(tmp_path):
    network = make_network(seed=4)
    with torch.no_grad():
        network.module.first.weight[1] = 0
        network.module.first.bias[1] = -1
    atlas = small_atlas(tmp_path / "a", network, pictures_of(network, 12), labels=None)
    card = unit_card(network, atlas, "first_relu:1", top=2)
    assert card.answers() == "It answers 0 to every one of 12 pictures."
    assert card.classes == ()
    assert card.alike == ()
    assert card.figure() is not None
    with pytest.raises(AddressError, match="'first' is a whole layer"):
        unit_card(network, atlas, "first")


def test_without_pictures_it_says_the_same_and_reads_none(network, atlas, maps, monkeypatch):
    channel = alive(maps, "second_relu")
    seen = unit_card(network, atlas, f"second_relu:{channel}", beside="none", top=3)
    monkeypatch.setattr(type(atlas.pictures), "read", lambda *_: pytest.fail("a picture was read"))
    blind = unit_card(network, atlas, f"second_relu:{channel}", top=3, blind=True)
    assert blind.recipe.notes == ()
    assert all(patch.whole is None for patch in (*blind.top, *blind.bottom, *blind.strip))
    told, expected = blind.numbers(), seen.numbers()
    for row in ("top", "bottom", "strip"):
        assert [{**one, "read": True} for one in told.pop(row)] == expected.pop(row)
    assert json.dumps(told) == json.dumps(expected)
