"""Neighbours on a small atlas against brute force, by features and by pixels, and what the messages say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import tap
from striate.atlas import pixels, searching
from striate.errors import AddressError, AtlasError, OptionError
from striate.lenses import neighbours

COUNT = 40


@pytest.fixture(scope="module")
def others(network):
    return pictures_of(network, 3, seed=9)


@pytest.fixture
def atlas(network, images, tmp_path):
    return small_atlas(tmp_path / "a", network, images, features=["second_relu", "head"])


def brute(queries, base, k):
    apart = np.sqrt(((queries.astype(np.float64)[:, None] - base.astype(np.float64)[None]) ** 2).sum(2))
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, 1), order


@pytest.mark.parametrize("layer", ["second_relu", "head"])
def test_neighbours_are_those_of_brute_force(network, images, others, atlas, layer):
    found = neighbours(network, others, atlas, layer=layer, top=5)

    def features(batch):
        output = tap.activations(network, batch, [layer]).outputs[layer].numpy()
        return (output.mean((2, 3)) if output.ndim == 4 else output).astype(np.float16)

    distances, indices = brute(features(others), features(images), 5)
    space = found.spaces[0]
    assert space.name == layer
    np.testing.assert_array_equal(space.indices, indices)
    np.testing.assert_allclose(space.distances, distances, rtol=1e-9)
    shown = network.spec.pixels(others), network.spec.pixels(images)  # 26 x 22: not made smaller
    distances, indices = brute(*(one.reshape(len(one), -1) for one in shown), 5)
    np.testing.assert_array_equal(found.spaces[1].indices, indices)
    np.testing.assert_allclose(found.spaces[1].distances, distances, rtol=1e-9)


def test_the_deepest_features_unless_a_layer_is_named(network, others, atlas):
    assert neighbours(network, others, atlas, pixels=False).spaces[0].name == "head"


def test_a_picture_of_the_atlas_is_none_of_its_own_neighbours(network, images, atlas):
    found = neighbours(network, images[4:6], atlas, layer="second_relu", top=COUNT - 1)
    for space in found.spaces:
        for row, own in zip(space.indices, (4, 5), strict=True):
            assert sorted(row) == [index for index in range(COUNT) if index != own]
    assert "2 pictures are in the atlas, and left out of their own neighbours." in found.recipe.notes


def test_how_far_to_believe_it_is_counted_among_the_atlas_itself(network, images, others, atlas):
    found = neighbours(network, others, atlas, layer="second_relu")
    base = np.asarray(atlas.features("second_relu")).astype(np.float64)
    apart = ((base[:, None] - base[None]) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    labels = np.asarray(atlas.labels)
    share = (labels[apart.argmin(1)] == labels).mean()
    assert found.spaces[0].agreement == pytest.approx(share)
    assert f"in second_relu for {100 * share:.1f} % of 40 pictures" in found.belief()


def test_nothing_is_believed_where_no_class_is_known(network, images, others, tmp_path):
    plain = small_atlas(tmp_path / "b", network, images, features=["head"], labels=None)
    found = neighbours(network, others, plain)
    assert found.belief() == ""
    assert np.isnan(found.spaces[0].agreement)


def test_pixels_are_read_once_and_go_with_the_data(network, others, atlas, monkeypatch):
    first = neighbours(network, others, atlas)
    assert (atlas.path / atlas.manifest["data"] / pixels.NAME).is_file()
    monkeypatch.setattr(pixels, "_read", None)  # would be called to read them again
    again = neighbours(network, others, atlas)
    np.testing.assert_array_equal(first.spaces[1].indices, again.spaces[1].indices)
    pixels_file = atlas.path / atlas.manifest["data"] / pixels.NAME
    monkeypatch.undo()
    pixels_file.write_bytes(pixels_file.read_bytes()[:-100])  # cut short
    assert len(pixels.of_atlas(network, atlas)) == COUNT


def test_large_pictures_are_compared_small(network):
    import striate

    wide = striate.Network(network.module, striate.InputSpec(3, 64, 128), name="wide")
    image = torch.zeros(1, 3, 64, 128)
    image[..., :4] = 1  # a column of 4 x 4 blocks becomes one column of pixels
    small = pixels.of_images(wide, image).reshape(16, 32, 3)
    assert (small[:, 0] == 255).all()
    assert (small[:, 1:] == 0).all()


def test_pictures_that_are_gone_leave_the_features(network, images, others, tmp_path):
    gone = small_atlas(tmp_path / "c", network, images, features=["head"], keep=False)
    found = neighbours(network, others, gone)
    assert [space.name for space in found.spaces] == ["head"]
    assert any(note.startswith("By pixels there is nothing to be compared: ") for note in found.recipe.notes)
    assert all(one.pixels is None for one in found.found.values())
    found.figure()


def test_what_is_said_and_drawn(network, others, atlas, tmp_path):
    found = neighbours(network, others, atlas, top=4)
    assert len(found.drawings()) == 3
    words, times = found.agreement(0, found.spaces[0])
    assert f"{times} of the 4 nearest in head: {words}" in found.sentence(0)
    for suffix in ("png", "json", "npz"):
        assert found.save(tmp_path / f"found.{suffix}").stat().st_size > 0
    with np.load(tmp_path / "found.npz") as arrays:
        np.testing.assert_array_equal(arrays["head-indices"], found.spaces[0].indices)


def test_cosine_turns_lengths_away(network, others, atlas):
    found = neighbours(network, others, atlas, metric="cosine", pixels=False, layer="second_relu", top=6)
    base = np.asarray(atlas.features("second_relu")).astype(np.float64)
    output = (
        tap.activations(network, others, ["second_relu"]).outputs["second_relu"].mean((2, 3)).half().double().numpy()
    )
    cosine = (output @ base.T) / np.linalg.norm(output, axis=1)[:, None] / np.linalg.norm(base, axis=1)
    np.testing.assert_array_equal(found.spaces[0].indices, np.argsort(1 - cosine, axis=1, kind="stable")[:, :6])


def test_an_approximate_index_says_how_many_it_finds(network, others, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "FEW", 10)
    many = small_atlas(tmp_path / "m", network, pictures_of(network, 400), features=["second_relu"])
    exact = neighbours(network, others, many, top=5)
    found = neighbours(network, others, many, top=5, index="approximate")
    for true, space in zip(exact.spaces, found.spaces, strict=True):
        assert (space.indices == true.indices).mean() > 0.8
        held = (
            searching.over_pixels(network, many, way="approximate")
            if space.name == "pixels"
            else searching.over_features(many, space.name, way="approximate")
        )
        assert (space.recall, space.recalled) == (held.recall(5), 12)
        assert space.agreement == pytest.approx(true.agreement, abs=0.05)
    said = " and ".join(
        f"{100 * space.recall:.1f} % {where}"
        for space, where in zip(found.spaces, ("in second_relu", "by pixels"), strict=True)
    )
    sentence = f"They were searched by an approximate index, which finds {said} of the 5 true nearest (counted on 12 "
    assert sentence in found.caption()
    assert "index" not in exact.caption()
    assert found.recipe.options["index"] == "approximate"
    assert "The index of second_relu was made, and kept in the atlas." in found.recipe.notes
    assert found.numbers()["search"]["pixels"] == {"exact": False, "recall": found.spaces[1].recall, "recalled": 12}
    again = neighbours(network, others, many, top=5, index="approximate")
    assert not again.recipe.notes
    np.testing.assert_array_equal(again.spaces[0].indices, found.spaces[0].indices)
    own = neighbours(network, pictures_of(network, 400)[7:8], many, top=5, index="approximate", metric="cosine")
    assert 7 not in own.spaces[0].indices


def test_what_cannot_be_asked(network, others, atlas):
    with pytest.raises(OptionError, match="top lies from 1 to 40, the pictures of the atlas, got 41"):
        neighbours(network, others, atlas, top=41)
    with pytest.raises(AddressError, match="no features of 'first'"):
        neighbours(network, others, atlas, layer="first")
    with pytest.raises(AddressError, match="secnd"):
        neighbours(network, others, atlas, layer="secnd_relu")
    with pytest.raises(AtlasError, match="was built with"):
        neighbours(make_network(seed=5), others, atlas)
    with pytest.raises(OptionError, match="no index 'quick'; there are exact, approximate"):
        neighbours(network, others, atlas, index="quick")


def test_names_come_from_the_labels_where_the_network_has_none(network, images, tmp_path):
    unnamed = make_network()
    unnamed.class_names = None
    said = network(images).argmax(1).tolist()
    made = small_atlas(tmp_path / "a", unnamed, images, features=["head"], labels=said)
    made.label_names, made.labels_are_classes = ("ape", "bear", "cat"), True
    found = neighbours(unnamed, images[:4], made, top=3, pixels=False)
    assert found.said == tuple(("ape", "bear", "cat")[index] for index in said[:4])
    for picture in range(4):
        for index in found.spaces[0].indices[picture].tolist():
            assert found.is_other(picture, index) == (said[index] != said[picture])


def test_a_picture_of_the_atlas_is_never_its_own_neighbour(network, images, atlas):
    found = neighbours(network, images[:1], atlas, top=COUNT - 1, pixels=False)
    assert 0 not in found.spaces[0].indices
    with pytest.raises(OptionError, match="40 neighbours of a picture that is in the atlas itself, which holds 39 oth"):
        neighbours(network, images[:1], atlas, top=COUNT, pixels=False)
