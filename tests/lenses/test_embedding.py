"""Layouts of a small atlas: places against PCA, the draw, what is drawn where, and what the messages say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from lenses.small_atlas import pictures_of, small_atlas
from striate.errors import OptionError
from striate.lenses import embedding
from striate.results._map import grid_picture, map_picture


@pytest.fixture(scope="module")
def atlas(network, tmp_path_factory):
    images = pictures_of(network, 60)
    return small_atlas(tmp_path_factory.mktemp("atlas") / "a", network, images, features=["second_relu", "deep"])


def test_pca_is_that_of_scikit_learn(network, atlas):
    found = embedding(network, atlas)
    features = np.asarray(atlas.features("deep"), dtype=np.float64)
    model = PCA(2, svd_solver="full").fit(features)
    np.testing.assert_allclose(found.places, model.transform(features), atol=1e-9)
    assert found.share == pytest.approx(tuple(model.explained_variance_ratio_))
    assert found.trust == pytest.approx(trustworthiness(features, found.places), abs=1e-9)
    assert f"Trustworthiness {found.trust:.3f}" in found.belief()
    assert found.layer == "deep"


def test_some_of_many_are_drawn_by_lot_and_by_seed(network, atlas):
    first, again, other = (embedding(network, atlas, pictures=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.indices, again.indices)
    assert (first.indices != other.indices).any()
    assert len(np.unique(first.indices)) == 20
    np.testing.assert_array_equal(first.classes, np.asarray(atlas.labels)[first.indices])
    assert "20 pictures of 60" in first.caption()


@pytest.mark.parametrize("show", ["points", "pictures", "grid"])
def test_what_is_seen_can_be_kept(network, atlas, show, tmp_path):
    found = embedding(network, atlas, layer="second_relu", show=show)
    for suffix in ("png", "json", "npz"):
        assert found.save(tmp_path / f"map.{suffix}").stat().st_size > 0
    assert len(found.drawings()) == 1
    assert (found.cells is not None) == (show == "grid")
    if show == "grid":
        assert len(np.unique(found.cells, axis=0)) == 60
        # what is judged is the grid that is seen
        features = np.asarray(atlas.features("second_relu"), dtype=np.float64)
        assert found.trust <= trustworthiness(features, embedding(network, atlas, layer="second_relu").places) + 0.05


def test_tsne_says_what_not_to_read(network, atlas):
    found = embedding(network, atlas, method="tsne")
    assert "Distances between groups, and their sizes, mean little." in found.belief()


def test_pictures_stand_at_their_places():
    red, green, blue = (np.full((10, 10, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    shown = map_picture([red, green, blue], np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    corner = shown.shape[0] - 5, 5
    assert tuple(shown[corner]) == (255, 0, 0)  # the origin is at the bottom left
    assert tuple(shown[corner[0], shown.shape[1] - 5]) == (0, 255, 0)
    assert tuple(shown[5, 5]) == (0, 0, 255)


def test_pictures_on_a_grid_do_not_overlap_and_gaps_stay_paper():
    cells = np.array([[0, 0], [0, 1], [1, 0]])
    tall = np.zeros((20, 10, 3), np.uint8)
    shown = grid_picture([tall, None, tall], cells)
    side = (shown.shape[0] - 2) // 2
    assert (shown[side // 2, side // 2] == 0).all()
    assert (shown[side // 2, side + 2 :] == (251, 251, 249)).all()  # gone
    assert (shown[:side, : side // 4 - 1] == (251, 251, 249)).all()  # beside a tall one, undistorted


def test_classes_that_nobody_can_count_are_named_where_there_is_room(network, tmp_path):
    images = pictures_of(network, 90)
    names = [f"kind number {index}" for index in range(45)]
    many = small_atlas(
        tmp_path / "b",
        network,
        images,
        features=["deep"],
        labels=[index // 2 for index in range(90)],
        label_names=names,
    )
    found = embedding(network, many)
    found.save(tmp_path / "many.png")
    assert found.class_names == tuple(names)


def test_what_cannot_be_laid_out(network, atlas):
    with pytest.raises(OptionError, match="pictures lies from 3 to 20,000 where pictures are shown, got 30,000"):
        embedding(network, atlas, show="grid", pictures=30_000)
    with pytest.raises(OptionError, match="pictures lies from 3"):
        embedding(network, atlas, pictures=2)


def test_three_pictures_that_are_gone(network, tmp_path):
    files = [tmp_path / f"{index}.png" for index in range(3)]
    few = small_atlas(tmp_path / "a", network, pictures_of(network, 3), features=["deep"], paths=files)
    found = embedding(network, few, method="tsne", show="pictures")
    assert np.isfinite(found.places).all()
    assert "Too few pictures" in found.belief()
    assert found.recipe.notes[0].startswith("3 pictures cannot be read any more, and their places stay empty.")


def test_colours_are_spoken_of_only_where_there_are_as_many(network, atlas):
    found = embedding(network, atlas)
    assert "Colours are classes." in found.caption()
    many = replace(found, classes=np.arange(60) % 40)
    assert "Colours" not in many.caption()
    assert "The names that there is room for are classes." in many.caption()
