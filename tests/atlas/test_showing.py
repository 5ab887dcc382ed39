"""Thumbnails, names and regions of an atlas against its pictures and numbers themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import drawing
from striate.atlas import naming, pixels
from striate.atlas.regions import common
from striate.atlas.selecting import selectivity
from striate.atlas.thumbnails import thumbnails
from striate.errors import AddressError, OptionError

COUNT = 30


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def images(network):
    return pictures_of(network, COUNT)


@pytest.fixture
def atlas(tmp_path, network, images):
    return small_atlas(tmp_path / "atlas", network, images, features=["deep"])


# --- thumbnails


def test_a_thumbnail_as_large_as_the_picture_is_the_picture_in_the_middle_of_grey(atlas, network, images):
    made = thumbnails(atlas, [4, 2], 26)  # pictures are 26 high and 22 wide
    assert made.shape == (2, 26, 26, 3)
    np.testing.assert_array_equal(made[:, :, 2:24], network.spec.pixels(images[[4, 2]]))
    assert (made[:, :, :2] == drawing.rgb(drawing.MISSING)).all()
    assert (made[:, :, 24:] == drawing.rgb(drawing.MISSING)).all()


def test_those_kept_beside_the_atlas_are_the_same(atlas, network):
    assert pixels.kept(atlas) is None
    read = thumbnails(atlas, range(COUNT), 26)
    pixels.of_atlas(network, atlas)
    kept = pixels.kept(atlas)
    assert kept is not None
    assert kept.shape == (COUNT, 26, 22, 3)
    np.testing.assert_array_equal(thumbnails(atlas, range(COUNT), 26), read)


def test_small_thumbnails_keep_the_mean_colour(atlas, network, images):
    made = thumbnails(atlas, [0], 13)[0, :, 1:12]
    assert abs(made.mean() - network.spec.pixels(images[:1]).mean()) < 3


def test_what_is_no_thumbnail_is_said(atlas):
    with pytest.raises(OptionError, match="no picture 30 in the atlas: it has 30, 0 to 29"):
        thumbnails(atlas, [3, 30])
    with pytest.raises(OptionError, match="from 1 to 512 pixels, got 513"):
        thumbnails(atlas, [3], 513)


# --- names


def test_labels_and_predictions_have_the_names_of_their_classes(atlas):
    said = ("ant", "bee", "crane")[int(atlas.predictions[4])]
    assert naming.words(atlas, 4) == ("bee", said)  # labels go in turn
    assert naming.label_word(atlas, -1) == ""
    assert naming.said_word(atlas, 9) == "class 9"


# --- regions


def test_classes_of_a_region_are_counted_against_all(atlas):
    found = common(atlas, [0, 3, 6, 1, 1])
    assert (found.pictures, found.of) == (4, COUNT)
    assert [(one.index, one.count, one.share, one.everywhere) for one in found.labels] == [
        (0, 3, 0.75, 1 / 3),
        (1, 1, 0.25, 1 / 3),
    ]
    said = atlas.predictions[[0, 3, 6, 1]]
    assert found.predictions[0].count == np.bincount(said).max()
    assert found.sentence("ant", "") == "4 pictures of 30. 3 are of ant (75 %, 33 % of all)."


def test_effects_are_differences_of_means_in_deviations(atlas):
    features = np.asarray(atlas.features("deep"), dtype=np.float64)
    chosen = [2, 5, 7, 11]
    inside = np.isin(np.arange(COUNT), chosen)
    effects = (features[inside].mean(0) - features[~inside].mean(0)) / features.std(0)
    found = common(atlas, chosen, most=3)
    assert found.layer == "deep"
    order = np.argsort(-effects)[:3]
    assert [one.channel for one in found.stronger] == [int(one) for one in order if effects[one] > 0]
    for one in found.stronger:
        assert one.effect == pytest.approx(effects[one.channel], rel=1e-6)
        assert one.inside == pytest.approx(features[inside, one.channel].mean(), rel=1e-6)
        assert one.outside == pytest.approx(features[~inside, one.channel].mean(), rel=1e-6)


def test_all_pictures_have_no_others_to_be_compared_with(atlas):
    assert common(atlas, range(COUNT)).stronger == ()


def test_what_is_no_region_is_said(atlas):
    with pytest.raises(OptionError, match="no pictures were chosen"):
        common(atlas, [])
    with pytest.raises(OptionError, match="no picture 30 in the atlas"):
        common(atlas, [2, 30])
    with pytest.raises(OptionError, match="no picture -1 in the atlas"):
        common(atlas, [2, -1])
    with pytest.raises(AddressError, match="no features of 'first'"):
        common(atlas, [2], layer="first")


# --- selectivity


def test_selectivity_by_hand():
    means = np.array(
        [
            [1.0, 1.0, 1.0],  # alike to all
            [2.0, 0.0, 0.0],  # to one alone
            [3.0, 1.0, np.nan],  # of two known classes
            [3.0, -1.0, 0.0],  # below 0
            [0.0, 0.0, 0.0],  # dead
            [5.0, np.nan, np.nan],  # one class
        ]
    )
    np.testing.assert_allclose(selectivity(means), [0, 1, 0.5, np.nan, np.nan, np.nan])


def test_selectivity_does_not_change_with_the_unit_of_the_answers():
    means = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(selectivity(means * 64), selectivity(means))
