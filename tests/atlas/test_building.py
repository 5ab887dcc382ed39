"""The builder against brute force: every activation kept, everything worked out by numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from atlas.making import make_atlas, responses
from atlas.networks import SIZE, awkward, pictures
from striate import atlas, dataset
from striate.atlas import compiled
from striate.atlas.opened import Atlas
from striate.errors import AtlasError, DataError, NetworkError, OptionError

COUNT = 304  # whole batches of 16, in three shares
PLACES = ["first", "relu~1", "shared~1", "relu~2", "shared~2", "relu~3", "pool", "dying", "relu~4", "wide", "relu~5"]
PLACES += ["hidden", "last"]


@pytest.fixture(scope="module")
def network() -> striate.Network:
    return awkward()


@pytest.fixture(scope="module", params=["PyTorch", "numba"])
def built(
    network: striate.Network, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Atlas]:
    folder = tmp_path_factory.mktemp("built") / "atlas"
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "numba":
            pytest.importorskip("numba")
            patched.setattr(compiled, "WORTH", 0)
        yield atlas.build(
            network, pictures(COUNT), folder, layers=PLACES, features=["wide", "hidden"], sample=40, vectors=60,
            workers=0, dtype="float32", logits=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def truth(network: striate.Network, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    folder = tmp_path_factory.mktemp("truth") / "atlas"
    return make_atlas(folder, network, images, PLACES, labels=source.labels.tolist(), features=["wide", "hidden"])


EXACT = [
    *(f"{end}_{what}" for end in ("top", "bottom") for what in ("values", "pictures", "positions")),
    *("largest", "smallest", "fired", "histogram", "predictions", "labels", "class_counts", "pictures"),
]


@pytest.mark.parametrize("name", EXACT)
def test_values_positions_ties_and_histograms_are_exact(built: Atlas, truth: Atlas, name: str) -> None:
    assert built.arrays[name].dtype == truth.arrays[name].dtype
    np.testing.assert_array_equal(built.arrays[name], truth.arrays[name])


def test_equal_values_do_occur(truth: Atlas) -> None:
    # otherwise the test above says nothing of ties
    assert (np.diff(truth.arrays["top_values"], axis=1) == 0).any()
    assert (np.diff(truth.arrays["bottom_values"], axis=1) == 0).any()


def test_means_and_variances_to_a_millionth_of_the_mean_square(built: Atlas, network: striate.Network) -> None:
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    for place, maps in responses(network, images, PLACES).items():
        flat = maps.reshape(COUNT, maps.shape[1], -1).astype(np.float64)
        layer, scale = built.layer(place), np.sqrt((flat**2).mean((0, 2)))
        assert (np.abs(layer.mean - flat.mean((0, 2))) <= 1e-6 * scale).all(), place
        assert (np.abs(layer.std**2 - flat.var((0, 2))) <= 1e-6 * scale**2).all(), place
        assert layer.count == flat[:, 0].size


def test_the_layers_own_output_and_not_what_a_rectifier_in_place_makes_of_it(built: Atlas) -> None:
    assert (built.layer("first").mean < built.layer("relu~1").mean).all()
    assert (built.layer("first").bottom_values >= built.layer("relu~1").bottom_values - 1e-6).any()
    assert built.layer("dying").dead().tolist() == [2]
    assert (built.layer("dying").largest[2] < -50) & (built.layer("relu~4").largest[2] == 0)


def test_features_class_means_and_losses(built: Atlas, truth: Atlas) -> None:
    for place in ("wide", "hidden"):
        np.testing.assert_allclose(built.features(place), truth.features(place), rtol=1e-3, atol=1e-3)  # float16 there
        assert built.features(place).dtype == np.float32
    mine, right = built.layer("shared~1").class_mean, truth.layer("shared~1").class_mean
    assert mine is not None
    assert right is not None
    assert mine.shape == (6, 4)
    np.testing.assert_allclose(mine, right, rtol=1e-6)
    np.testing.assert_allclose(built.losses, truth.losses, rtol=1e-5)
    np.testing.assert_allclose(built.probabilities, truth.probabilities, rtol=1e-5)
    np.testing.assert_array_equal(built.logits, truth.logits)
    assert np.isnan(built.losses[::10]).all()


def test_the_sample_holds_every_unit_of_pictures_drawn_by_lot(built: Atlas, network: striate.Network) -> None:
    drawn = built.layer("first").sample_pictures
    assert len(drawn) == 40
    assert (np.diff(drawn) > 0).all()
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    maps = responses(network, images, ["first"])["first"][drawn]
    values, positions = built.layer("first").sample_values, built.layer("first").sample_positions
    np.testing.assert_array_equal(values, maps.max((2, 3)))
    rows, columns = positions[..., 0].astype(int), positions[..., 1].astype(int)
    at = maps[np.arange(40)[:, None], np.arange(6), rows, columns]
    np.testing.assert_array_equal(at, values)
    strip = values[built.layer("first").strip(3, 5), 3]
    assert (np.diff(strip) >= 0).all()
    assert (built.layer("last").sample_positions == -1).all()


def test_vectors_are_those_of_their_positions(built: Atlas, network: striate.Network) -> None:
    samples = built.samples("wide")
    assert samples.vectors.shape == (60, 150)
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    maps = responses(network, images, ["wide"])["wide"]
    rows, columns = samples.positions.T
    np.testing.assert_array_equal(samples.vectors, maps[samples.pictures, :, rows, columns])
    assert len(np.unique(columns)) > 3


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_within_a_sixteenth(built: Atlas, network: striate.Network, q: float) -> None:
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    for place in ("first", "relu~2", "last"):
        maps = responses(network, images, [place])[place]
        right = np.quantile(maps.reshape(COUNT, maps.shape[1], -1).max(2), q, axis=0, method="lower")
        assert (np.abs(built.layer(place).quantile(q) - right) <= np.abs(right) / 16 + 2**-17).all(), place


def test_pictures_in_memory_are_kept_and_read_again(built: Atlas, network: striate.Network) -> None:
    source = pictures(COUNT)
    np.testing.assert_array_equal(built.pictures.read(17, network), source.read(17, network.spec))
    assert built.pictures.shown(17).shape == (*SIZE, 3)
    assert built.pictures.shown(17, 40).shape == (24, 40, 3)
    assert built.pictures.path(17) is None


def test_fewer_pictures_than_are_kept(network: striate.Network, tmp_path: Path) -> None:
    made = atlas.build(network, pictures(4, labelled=False), tmp_path / "atlas", layers="first", workers=0)
    layer = made.layer("first")
    assert (layer.top_pictures[:, :4] >= 0).all()
    assert (layer.top_pictures[:, 4:] == -1).all()
    assert np.isnan(layer.top_values[:, 4:]).all()
    assert (layer.top_positions[:, 4:] == -1).all()
    assert made.labels is None
    assert made.losses is None
    assert layer.class_mean is None


def test_words_for_layers(network: striate.Network, tmp_path: Path) -> None:
    made = atlas.build(network, pictures(20), tmp_path / "a", workers=0)
    assert made.layers == ("first", "shared~1", "shared~2", "dying", "wide")
    assert made.feature_places == ("relu~5", "hidden") or made.feature_places[0] in ("wide", "relu~5")
    made = atlas.build(network, pictures(20), tmp_path / "b", layers=["rectifiers", "last"], features=[], workers=0)
    assert made.layers == ("relu~1", "relu~2", "relu~3", "relu~4", "relu~5", "last")
    assert made.feature_places == ()
    assert set(PLACES) <= set(atlas.build(network, pictures(20), tmp_path / "c", layers="all", workers=0).layers)


def test_a_layer_that_is_no_map_and_no_vector_is_refused_by_name(tmp_path: Path) -> None:
    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = torch.nn.Conv2d(1, 4, 4, stride=4)
            self.norm = torch.nn.LayerNorm(4)
            self.head = torch.nn.Linear(4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(self.patch(images).flatten(2).transpose(1, 2)).mean(1))

    network = striate.Network(Tokens(), striate.InputSpec(1, *SIZE))
    with pytest.raises(NetworkError, match=r"layer 'norm' gives 1 x 15 x 4 for one picture, neither a feature map"):
        atlas.build(network, pictures(4), tmp_path / "atlas", layers=["patch", "norm"], workers=0)
    assert not (tmp_path / "atlas").exists()
    assert atlas.build(network, pictures(4), tmp_path / "atlas", layers="all", workers=0).layers == ("patch", "head")


def test_values_that_cannot_be_ranked_are_refused_with_layer_and_picture(tmp_path: Path) -> None:
    network = awkward()
    with torch.no_grad():
        network.module.get_parameter("dying.bias")[1] = torch.nan
    with pytest.raises(NetworkError, match=r"0: layer 'dying' gives NaN, .* None of the first 4 pictures can be used"):
        atlas.build(network, pictures(4), tmp_path / "atlas", workers=0)


def test_options_that_make_no_sense(network: striate.Network, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="top must be at least 1, got 0"):
        atlas.build(network, pictures(4), tmp_path / "atlas", top=0)
    with pytest.raises(OptionError, match="dtype must be 'float16' or 'float32', got 'int8'"):
        atlas.build(network, pictures(4), tmp_path / "atlas", dtype="int8")
    assert list(tmp_path.iterdir()) == []


def test_real_photographs_from_their_files(photographs: Path, lite0: striate.Network, tmp_path: Path) -> None:
    files = [photographs / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]
    (tmp_path / "empty.png").touch()
    source = dataset.open([*files, tmp_path / "empty.png"])
    made = atlas.build(lite0, source, tmp_path / "atlas", layers=["conv_head"], batch=4, workers=1)
    assert len(made) == 4
    assert made.pictures.path(1) == files[1]
    assert [name for name, _ in made.broken] == [str(tmp_path / "empty.png")]
    assert "is empty (0 bytes)" in made.broken[0][1]
    cats = "Egyptian cat", "tabby", "tiger cat"
    assert lite0.class_name(int(made.predictions[1])) in cats
    np.testing.assert_array_equal(made.pictures.read(1, lite0), lite0.read(files[1])[0])
    maps = striate.tap.activations(lite0, lite0.batch(files), ["conv_head"]).outputs["conv_head"]
    np.testing.assert_allclose(made.layer("conv_head").largest, maps.amax((0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_no_picture_can_be_read(network: striate.Network, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(b"nothing")
    with pytest.raises((AtlasError, DataError), match="none of the pictures can be read"):
        atlas.build(network, [tmp_path / f"{index}.png" for index in range(3)], tmp_path / "atlas", workers=0)
