"""The strongest units of pictures against values and shares worked out from every activation."""

from __future__ import annotations

import numpy as np
import pytest

from lenses.small_atlas import pictures_of
from striate import tap
from striate.errors import OptionError
from striate.lenses import strongest_units

COUNT = 80


@pytest.mark.parametrize("layer", ["first_relu", "second_relu"])
def test_values_places_and_shares(network, images, atlas, layer):
    others = pictures_of(network, 4, seed=7)
    found = strongest_units(network, others, atlas, layer=layer, units=3, top=4)
    every = tap.activations(network, images, [layer]).outputs[layer].amax((2, 3)).numpy()
    maps = tap.activations(network, others, [layer]).outputs[layer].numpy()
    field = network.graph().layer(layer).field
    for picture, units in enumerate(found.strongest):
        assert units
        for one in units:
            channel = int(one.row.address.partition(":")[2])
            assert one.value == maps[picture, channel].max()
            assert maps[(picture, channel, *one.position)] == one.value
            assert one.box == field.box(*one.position, own=True)
            share = (every[:, channel] < one.value).mean()
            # the histogram knows the bin: a value is told from one an eighth smaller
            assert (every[:, channel] < one.value / 1.125).mean() <= one.below + 1e-9 <= share + 2e-9
            best = np.argsort(-every[:, channel], kind="stable")[:4]
            assert [patch.picture for patch in one.row.patches] == best.tolist()


def test_the_most_unusual_comes_first_and_silent_units_never(network, images, atlas):
    found = strongest_units(network, images[:6], atlas, layer="second_relu", units=6)
    for units in found.strongest:
        assert all(one.value > 0 for one in units)
        strong = [one.below for one in units if one.value >= 0.25 * one.row.patches[0].value]
        assert strong == sorted(strong, reverse=True)


def test_the_deepest_map_unless_a_layer_is_named(network, images, atlas, tmp_path):
    found = strongest_units(network, images[:2], atlas)
    assert found.layer == "deep"
    for suffix in ("png", "json", "npz"):
        assert found.save(tmp_path / f"found.{suffix}").stat().st_size > 0
    assert len(found.drawings()) == 2


def test_a_layer_of_vectors(network, images, atlas):
    found = strongest_units(network, images[:2], atlas, layer="head", units=1)
    logits = network(images[:2]).numpy()
    for row, units in zip(logits, found.strongest, strict=True):
        for one in units:
            assert one.position is None
            assert one.value == pytest.approx(row[int(one.row.address.partition(":")[2])])
    found.figure()


def test_too_few_units(network, images, atlas):
    with pytest.raises(OptionError, match="units must be at least 1, got 0"):
        strongest_units(network, images[:1], atlas, units=0)
