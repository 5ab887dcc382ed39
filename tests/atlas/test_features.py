"""Features on disk and in memory against `tap`, however the work was cut; and what such an atlas cannot answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import striate
from atlas.making import responses
from atlas.networks import awkward, pictures, pixels
from atlas.small import pictures as small_pictures
from atlas.stopping import stopped_after
from striate import atlas, dataset, progress
from striate.atlas import extracting, merging, shares, store
from striate.atlas.opened import Atlas
from striate.errors import AddressError, AtlasError, DataError, NetworkError, OptionError, OutputError
from striate.lenses.confusions import confusions
from striate.lenses.dead_units import dead_units
from striate.lenses.embedding import embedding
from striate.lenses.neighbours import neighbours
from striate.lenses.patches import patches
from striate.web.house import House

COUNT = 300
PLACES = ["shared~1", "wide", "hidden"]
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def network() -> striate.Network:
    return awkward()


@pytest.fixture(scope="module")
def truth(network: striate.Network) -> dict[str, np.ndarray]:
    source = pictures(COUNT)
    images = torch.stack([source.read(index, network.spec) for index in range(COUNT)])
    return responses(network, images, [*PLACES, "first"])


@pytest.fixture(scope="module")
def whole(network: striate.Network, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("whole") / "features"
    return atlas.features(network, pictures(COUNT), folder, layers=PLACES, pool="whole", dtype="float32", workers=0)


@pytest.fixture(scope="module")
def averaged(network: striate.Network, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("averaged") / "features"
    return atlas.features(network, pictures(COUNT), folder, layers=PLACES, workers=2)


# --- what they are


def test_whole_maps_are_those_of_the_tap(whole: Atlas, truth: dict[str, np.ndarray]) -> None:
    assert whole.feature_places == ("shared~1", "wide", "hidden")
    assert whole.layers == ()
    for place in PLACES:
        found = whole.features(place)
        assert (found.shape, found.dtype) == (truth[place].shape, np.dtype("float32"))
        np.testing.assert_allclose(found, truth[place], **ROUNDING)
    assert isinstance(whole.features("wide"), np.memmap)


def test_averages_are_those_of_the_taps_maps(averaged: Atlas, truth: dict[str, np.ndarray]) -> None:
    for place in PLACES:
        maps = truth[place]
        right = maps.mean((2, 3)) if maps.ndim == 4 else maps
        assert averaged.features(place).dtype == np.float16
        np.testing.assert_allclose(averaged.features(place), right, rtol=2**-10, atol=1e-4)
    assert averaged.features("shared").shape == (COUNT, 6)  # the name alone is the last of the calls that are kept


def test_whole_maps_average_to_the_averages(whole: Atlas, averaged: Atlas) -> None:
    for place in PLACES:
        assert whole.averaged(place).shape == averaged.features(place).shape
        np.testing.assert_allclose(whole.averaged(place), averaged.averaged(place), rtol=2**-10, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_in_memory_they_are_the_same_bit_for_bit(network: striate.Network, tmp_path: Path, dtype: str) -> None:
    kept = atlas.features(network, pictures(70), tmp_path / "a", layers=["relu", "wide"], dtype=dtype, workers=0)  # type: ignore[arg-type]
    found = atlas.pooled(network, pictures(70), ["wide", "relu"], workers=1)
    assert list(found) == ["wide", "relu~5"]
    for place, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values.astype(dtype), kept.features(place))


def test_some_pictures_in_memory_in_any_order(network: striate.Network, truth: dict[str, np.ndarray]) -> None:
    chosen = [7, 250, 3, 7]
    found = atlas.pooled(network, pictures(COUNT), "hidden", indices=chosen, batch=3)
    np.testing.assert_allclose(found["hidden"], truth["hidden"][chosen], **ROUNDING)


def test_the_network_is_run_no_further_than_the_deepest_layer(network: striate.Network, tmp_path: Path) -> None:
    runs: list[str] = []
    parts = {name: network.module.get_submodule(name) for name in ("dying", "wide", "hidden", "last")}
    handles = [part.register_forward_pre_hook(lambda *_, name=name: runs.append(name)) for name, part in parts.items()]
    atlas.features(network, pictures(40), tmp_path / "a", layers=["shared", "dying"], workers=0)
    atlas.pooled(network, pictures(40), ["dying", "first"], workers=0)
    # new layers of an atlas with units need not go further either
    atlas.build(network, pictures(40), tmp_path / "b", layers=["first"], features=[], workers=0)
    before = runs.count("last")
    atlas.build(network, pictures(40), tmp_path / "b", layers=["dying"], workers=0)
    for handle in handles:
        handle.remove()
    assert before == 3
    assert runs == ["dying"] * 6 + ["dying", "wide", "hidden", "last"] * 3 + ["dying"] * 3


def test_the_usual_layers_and_the_words_for_several(network: striate.Network, tmp_path: Path) -> None:
    usual = atlas.features(network, pictures(20), tmp_path / "a", workers=0)
    full = atlas.build(network, pictures(20), tmp_path / "b", layers="first", workers=0)
    assert usual.feature_places == full.feature_places
    np.testing.assert_array_equal(usual.features(), full.features())
    found = atlas.features(network, pictures(20), tmp_path / "c", layers=["convolutions", "last"], workers=0)
    assert found.feature_places == ("first", "shared~1", "shared~2", "dying", "wide", "last")


def test_size_on_the_disk_is_known_before(network: striate.Network, whole: Atlas, averaged: Atlas) -> None:
    for made, pool, dtype in ((whole, "whole", "float32"), (averaged, "average", "float16")):
        said = atlas.features_bytes(network, COUNT, layers=PLACES, pool=pool, dtype=dtype)  # type: ignore[arg-type]
        assert said == sum(made.features(place).nbytes for place in PLACES)


# --- X and y


def test_x_and_y_stand_side_by_side_where_there_are_labels(averaged: Atlas, whole: Atlas) -> None:
    labels = pictures(COUNT).labels
    known = np.flatnonzero(labels >= 0)
    assert 0 < len(known) < COUNT
    x, y = averaged.xy(["wide", "hidden"])
    assert (x.dtype, y.dtype, x.shape) == (np.float32, np.int64, (len(known), 157))
    np.testing.assert_array_equal(x[:, :150], averaged.features("wide")[known])
    np.testing.assert_array_equal(x[:, 150:], averaged.features("hidden")[known])
    np.testing.assert_array_equal(y, labels[known])
    np.testing.assert_array_equal(averaged.xy()[0], averaged.xy("hidden")[0])
    x, _ = whole.xy("wide")
    np.testing.assert_array_equal(x, whole.features("wide")[known].reshape(len(known), -1))


def test_x_and_y_of_some_rows_in_their_order(averaged: Atlas) -> None:
    labels = pictures(COUNT).labels
    rows = np.array([5, 10, 2, 299])  # 10 has no label
    x, y = averaged.xy("wide", rows=rows)
    np.testing.assert_array_equal(y, labels[[5, 2, 299]])
    np.testing.assert_array_equal(x, averaged.features("wide")[[5, 2, 299]])
    np.testing.assert_array_equal(averaged.xy("wide", rows=labels == 3)[1], np.full((labels == 3).sum(), 3))
    with pytest.raises(OptionError, match=r"rows lie from 0 to 299, the pictures of the atlas, got 300"):
        averaged.xy("wide", rows=[3, 300])
    with pytest.raises(DataError, match=r"none of these 2 pictures of .* has a label, so there is no y\. Give labels"):
        averaged.xy("wide", rows=[0, 10])


def test_without_labels_there_is_no_y(network: striate.Network, tmp_path: Path) -> None:
    made = atlas.features(network, pictures(20, labelled=False), tmp_path / "a", layers="wide", workers=0)
    with pytest.raises(DataError, match=r"no picture of .*/a has a label, so there is no y"):
        made.xy()


# --- however the work is cut


@pytest.mark.parametrize("pool", ["average", "whole"])
@pytest.mark.parametrize("after", [1, 13])  # batches: within the first share, within the second
def test_stopped_and_started_again(
    network: striate.Network, tmp_path: Path, averaged: Atlas, whole: Atlas, pool: str, after: int
) -> None:
    right, dtype = (averaged, "float16") if pool == "average" else (whole, "float32")

    def start() -> Atlas:
        return atlas.features(
            network, pictures(COUNT), tmp_path / "a", layers=PLACES, pool=pool, dtype=dtype, workers=0  # type: ignore[arg-type]
        )  # fmt: skip

    with stopped_after(after):
        start()
    done = len(list((tmp_path / "a" / "work").glob("share-*.npz")))
    heard: list[progress.Event] = []
    with progress.listen(heard.append):
        start()
    assert heard[-1].done == COUNT - 112 * done
    assert done == (after > 8)
    assert files(tmp_path / "a") == files(right.path)


def test_killed_and_started_again(tmp_path: Path) -> None:
    folder = small_pictures(tmp_path / "pictures", 300)
    command = [sys.executable, str(Path(__file__).parent / "killing.py"), folder, tmp_path / "out", 2, 7, "maps"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["wrong"] == []
    assert len(said["kept"]) == 2


@pytest.mark.parametrize("pool", ["average", "whole"])
def test_extended_by_pictures_and_layers_like_a_fresh_one(network: striate.Network, tmp_path: Path, pool: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, values in enumerate(pixels(200)):
        (folder / f"{index:04d}.png").write_bytes(striate.images.encode_png(values[:, :, 0]))
    names = sorted(folder.iterdir())
    labels = np.arange(200) % 3

    def start(name: str, count: int, **options: object) -> Atlas:
        return atlas.features(network, dataset.open(names[:count], labels=labels[:count]), tmp_path / name, **options)  # type: ignore[arg-type]

    fresh = start("fresh", 200, layers=["shared~1", "wide"], pool=pool, dtype="float32")
    start("grown", 70, layers=["wide"], pool=pool, dtype="float32")
    grown = start("grown", 200)
    assert (len(grown), grown.feature_places) == (200, ("wide",))
    grown = start("grown", 200, layers=["shared~1", "wide"])
    assert grown.feature_places == fresh.feature_places
    for place in fresh.feature_places:
        np.testing.assert_array_equal(grown.features(place), fresh.features(place))
    np.testing.assert_array_equal(np.asarray(grown.labels), np.asarray(fresh.labels))
    assert list(grown.pictures.rows) == list(fresh.pictures.rows)
    before = files(tmp_path / "grown")
    start("grown", 200, layers="wide")
    assert files(tmp_path / "grown") == before  # nothing is new


def test_an_atlas_with_units_is_extended_by_features(network: striate.Network, tmp_path: Path) -> None:
    full = atlas.build(network, pictures(40), tmp_path / "a", layers="first", features=[], workers=0)
    assert full.feature_places == ()
    more = atlas.features(network, pictures(40), tmp_path / "a", layers=["wide"], workers=0)
    assert (more.layers, more.feature_places, more.predicts) == (("first",), ("wide",), True)
    np.testing.assert_array_equal(more.features().shape, (40, 150))


def test_whole_maps_never_lie_in_memory_whole(
    network: striate.Network, tmp_path: Path, whole: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = atlas.features_bytes(network, 1, layers=PLACES, pool="whole", dtype="float32")
    monkeypatch.setattr(shares, "HEAVIEST", 40 * each)
    monkeypatch.setattr(merging, "_PIECE", 10 * each)
    largest: list[int] = []

    def write(folder: Path, name: str, shape: object, dtype: object, parts: object) -> None:
        def noted() -> object:
            for part in parts:  # type: ignore[attr-defined]
                largest.append(part.nbytes)
                yield part

        write_array(folder, name, shape, dtype, noted())  # type: ignore[arg-type]

    write_array = store.write_array
    monkeypatch.setattr(merging.store, "write_array", write)
    start: Callable[[int], Atlas] = lambda count: atlas.features(  # noqa: E731
        network, pictures(count), tmp_path / "a", layers=PLACES, pool="whole", dtype="float32", workers=0
    )
    start(COUNT)
    found = start(COUNT + 1)
    assert max(largest) <= 48 * each  # a share is of whole batches of 16
    assert found.features("wide").shape[0] == COUNT + 1
    np.testing.assert_array_equal(found.features("wide")[:COUNT], whole.features("wide"))


# --- what does not go


def test_features_of_another_network_or_kind_are_refused(
    network: striate.Network, averaged: Atlas, tmp_path: Path
) -> None:
    with pytest.raises(AtlasError, match=r"was built with awkward \(weights .*Give the same network, or build another"):
        atlas.features(awkward(1), pictures(COUNT), averaged.path, layers=PLACES, workers=0)
    with pytest.raises(AtlasError, match=r"begun with other options \(pool was 'average', is 'whole'\)"):
        atlas.features(network, pictures(COUNT), averaged.path, pool="whole", workers=0)
    with pytest.raises(AtlasError, match=r"keeps features only \(shared~1, wide, hidden\), and nothing of any unit"):
        atlas.build(network, pictures(COUNT), averaged.path, layers="first", workers=0)
    assert atlas.open(averaged.path).feature_places == tuple(PLACES)


def test_options_that_make_no_sense(network: striate.Network, tmp_path: Path) -> None:
    for options, message in (
        ({"pool": "max"}, "pool must be 'average' or 'whole', got 'max'"),
        ({"dtype": "int8"}, "dtype must be 'float16' or 'float32', got 'int8'"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"layers": []}, "no layers were named"),
    ):
        with pytest.raises(OptionError, match=message):
            atlas.features(network, pictures(4), tmp_path / "a", **options)  # type: ignore[arg-type]
    with pytest.raises(AddressError, match="no layer 'wode'"):
        atlas.features(network, pictures(4), tmp_path / "a", layers="wode")
    with pytest.raises(OptionError, match="indices lie from 0 to 3 in 4 pictures in an array, got 9"):
        atlas.pooled(network, pictures(4), "wide", indices=[9])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_seen_before_anything_is_done(
    network: striate.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = atlas.features_bytes(network, COUNT, layers="wide", pool="whole")
    free = [2 * final - 1]
    monkeypatch.setattr(extracting.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    message = r"features of 300 pictures take 4\.3 MB, and up to 8\.6 MB while .* has 8\.6 MB left\. Make room there"
    with pytest.raises(OutputError, match=message):
        atlas.features(network, pictures(COUNT), tmp_path / "a", layers="wide", pool="whole", workers=0)
    assert not (tmp_path / "a").exists()
    free[0] += 1
    made = atlas.features(network, pictures(COUNT), tmp_path / "a", layers="wide", pool="whole", workers=0)
    assert made.features().nbytes == final


def test_pictures_that_cannot_be_used_are_left_out_on_disk_and_refused_in_memory(
    network: striate.Network, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, values in enumerate(pixels(20)):
        (folder / f"{index:04d}.png").write_bytes(striate.images.encode_png(values[:, :, 0]))
    for index in (3, 11):
        (folder / f"{index:04d}.png").write_bytes(b"")
    made = atlas.features(network, folder, tmp_path / "a", layers="wide", dtype="float32", workers=0)
    assert [name for name, _ in made.broken] == ["0003.png", "0011.png"]
    good = [index for index in range(20) if index not in (3, 11)]
    with pytest.raises(DataError, match=r"2 of 20 pictures cannot be read: .*0003\.png is empty.*0011\.png.*indices="):
        atlas.pooled(network, folder, "wide", workers=0)
    found = atlas.pooled(network, folder, "wide", indices=good, workers=0)["wide"]
    np.testing.assert_allclose(made.features("wide"), found, **ROUNDING)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    network = awkward()
    with torch.no_grad():
        network.module.get_parameter("wide.weight").mul_(1e6)
    made = atlas.features(network, pictures(40), tmp_path / "a", layers="wide", pool="whole", dtype="float32")
    assert len(made) == 40
    with pytest.raises(NetworkError, match=r"features for it that are not finite as float16\. float16 ends at 65,504"):
        atlas.features(network, pictures(40), tmp_path / "b", layers="wide", pool="whole")
    with torch.no_grad():
        network.module.get_parameter("wide.bias")[3] = torch.nan
    with pytest.raises(DataError, match=r"layer 'wide' gives NaN or infinite numbers for 40 of 40 .* first: 0, 1, 2\)"):
        atlas.pooled(network, pictures(40), "wide")


# --- who reads them


def test_what_needs_units_or_predictions_says_so(network: striate.Network, averaged: Atlas) -> None:
    assert not averaged.predicts
    with pytest.raises(
        AtlasError, match=r"keeps features only: the network was stopped before its classes, so .* no p"
    ):
        _ = averaged.predictions
    with pytest.raises(AtlasError, match="so there are no probabilities"):
        _ = averaged.probabilities
    for ask in (
        lambda: averaged.layer("wide"),
        lambda: patches(network, averaged, "wide:3"),
        lambda: dead_units(network, averaged),
        lambda: House(network, atlas=averaged),
    ):
        with pytest.raises(AtlasError, match=r"keeps features only .* Build an atlas in another folder to have that"):
            ask()
    with pytest.raises(AtlasError, match="keeps features only"):
        confusions(network, averaged)


@pytest.mark.parametrize("kept", ["averaged", "whole"])
def test_neighbours_and_maps_of_the_set_need_neither(
    network: striate.Network, kept: str, request: pytest.FixtureRequest
) -> None:
    made: Atlas = request.getfixturevalue(kept)
    source = pictures(COUNT)
    images = source.read(17, network.spec)[None]
    found = neighbours(network, images, made, layer="wide", top=3, pixels=False)
    near = made.averaged("wide").astype(np.float64)
    distances = np.linalg.norm(near - near[17], axis=1)
    distances[np.flatnonzero(distances < 1e-9)[0]] = np.inf  # the earliest of those that are the same picture
    np.testing.assert_allclose(found.spaces[0].distances[0], np.sort(distances)[:3], rtol=1e-3, atol=1e-3)
    assert all(one.said == "" for one in found.found.values())
    drawn = embedding(network, made, layer="wide", pictures=50)
    assert drawn.places.shape == (50, 2)
    assert drawn.labelled


def test_real_photographs(photographs: Path, lite0: striate.Network, tmp_path: Path) -> None:
    names = [photographs / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]
    places = ["blocks.2", "conv_head"]
    made = atlas.features(lite0, names, tmp_path / "a", layers=places, pool="whole", batch=4, workers=1)
    outputs = striate.tap.activations(lite0, lite0.batch(names), places).outputs
    for place in places:
        np.testing.assert_allclose(made.features(place), outputs[place].numpy(), rtol=2**-10, atol=1e-3)
    pooled = atlas.pooled(lite0, names, "conv_head", batch=4)["conv_head"]
    np.testing.assert_allclose(pooled, outputs["conv_head"].mean((2, 3)).numpy(), **ROUNDING)
