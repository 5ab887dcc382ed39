"""The parts of an atlas: bins, ranks, shares, reductions, files. Worked by hand, by limits, by the text of errors."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import striate
from atlas.making import make_atlas, ranked, values_of
from atlas.networks import awkward, pictures
from striate import atlas, dataset
from striate.atlas import histogram, reducing, store
from striate.atlas.planning import find_labels
from striate.atlas.ranking import Ranking, pictures_of
from striate.atlas.ranking import values_of as values_in
from striate.atlas.shares import cut, drawn, lots
from striate.errors import AddressError, AtlasError, ImageError, OutputError

# --- bins


def test_bins_are_eighths_of_octaves_by_hand() -> None:
    assert histogram.BINS == 513
    assert len(histogram.EDGES) == 514
    found = histogram.bin_of(torch.tensor([1.0, 1.12, 1.125, 1.99, 2.0, -1.0, 0.0, -0.0, 1e-9, 1e9, -1e9]))
    one = 256 + 16 * 8 + 1
    assert found.tolist() == [one, one, one + 1, one + 7, one + 8, 512 - one, 256, 256, 256, 512, 0]


@given(st.floats(-60000, 60000, width=32))
def test_a_value_lies_within_the_edges_of_its_bin(value: float) -> None:
    found = int(histogram.bin_of(torch.tensor([value]))[0])
    assert histogram.EDGES[found] <= value <= histogram.EDGES[found + 1]


# --- ranks


@settings(deadline=None)
@given(st.lists(st.sampled_from([-2.5, -1.0, -0.0, 0.0, 1e-30, 3.0, 3.5]), min_size=1, max_size=40), st.integers(1, 7))
def test_ranks_batch_by_batch_are_those_of_a_stable_sort(values: list[float], top: int) -> None:
    column = np.array(values, np.float32)[:, None] + 0
    places = np.arange(len(values), dtype=np.int32)[:, None]
    ranking = Ranking(1, top, torch.device("cpu"))
    for start in range(0, len(values), 3):
        part = slice(start, min(start + 3, len(values)))
        ranking.enter(
            torch.from_numpy(column[part]), torch.arange(part.start, part.stop), torch.from_numpy(places[part])
        )
    keys, kept = ranking.since(0)
    best, who, _ = ranked(column, np.zeros((len(values), 1, 2), np.int32), top, largest=True)
    np.testing.assert_array_equal(pictures_of(keys), who)
    np.testing.assert_array_equal(values_in(keys), best)
    np.testing.assert_array_equal(kept, who.astype(np.int32))
    later = pictures_of(ranking.since(len(values) // 2)[0])
    assert set(later[later >= 0].tolist()) == {number for number in who[0].tolist() if number >= len(values) // 2}


# --- reductions


@pytest.mark.parametrize("block", [1, 100, 1 << 19])  # rows, parts of a picture, several pictures
@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (2, 1, 1, 3), (4, 9, 2, 1)])
def test_reductions_against_numpy(shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducing, "_BLOCK", block)
    maps = torch.from_numpy(np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32))
    columns, sums, squares = reducing.reduce_map(maps, reducing.new_scratch())
    np.testing.assert_array_equal(columns, maps.numpy().max(1))
    np.testing.assert_array_equal(sums, maps.numpy().sum((1, 2)))
    np.testing.assert_array_equal(squares, (maps.numpy() ** 2).sum((1, 2)))
    for whole, part in zip(reducing.reduce_whole(maps), (columns, sums, squares), strict=True):  # as on a GPU
        np.testing.assert_allclose(whole, part, rtol=1e-6)
    everything = torch.ones(shape[0], shape[3]).nonzero(as_tuple=True)
    found = reducing.first_maximum(maps, columns, *everything).reshape(shape[0], shape[3]).numpy()
    right = values_of(maps.permute(0, 3, 1, 2).numpy())[1]  # whole numbers: many are equal
    np.testing.assert_array_equal(np.stack(np.divmod(found, shape[2]), 2), right)


# --- shares


@pytest.mark.parametrize(
    ("count", "batch"), [(1, 16), (128, 16), (129, 16), (1000, 16), (60_000, 16), (1_281_167, 128)]
)
def test_shares_cover_all_pictures_in_whole_batches(count: int, batch: int) -> None:
    shares = cut(count, batch)
    assert [share.start for share in shares] == [0, *(share.stop for share in shares[:-1])]
    assert shares[-1].stop == count
    assert all((share.stop - share.start) % batch == 0 for share in shares[:-1])
    assert len(shares) <= min(64, max(-(-count // 128), 1))


def test_lots_depend_on_the_name_alone() -> None:
    names = [f"{index}.png" for index in range(2000)]
    first = lots(names, 0, "sample")
    np.testing.assert_array_equal(lots(names[500:700], 0, "sample"), first[500:700])
    assert (lots(names, 1, "sample") != first).all()
    assert (lots(names, 0, "vectors") != first).all()
    assert drawn(first, 100).sum() == 100
    halves = drawn(first, 1000).reshape(2, 1000).sum(1)
    assert abs(int(halves[0]) - 500) < 60  # 4 standard deviations


# --- labels


@pytest.mark.parametrize(
    ("names", "labels", "expected", "are"),
    [
        (["dog", "great cat"], [0, 1, 1], [3, 1, 1], True),  # names of the network's: its numbers
        (None, [0, 4, 2], [0, 4, 2], True),
        (None, [0, 9, 2], [0, 9, 2], False),  # more classes than it has
        (["a", "b", "c", "d", "e"], [0, 4, 2], [0, 4, 2], True),  # as many as it has
        (["a", "b"], [0, 1, 1], [0, 1, 1], False),
        # by the alphabet, where one that is called otherwise (bull for cow) stands elsewhere than with the network
        (["bird", "bull", "dog", "fish", "great cat"], [0, 1, 2], [0, 1, 2], False),
        (
            ["bird", "kitty", "fish", "dog", "cow"],
            [0, 1, 2],
            [0, 1, 2],
            True,
        ),  # numbered otherwise than by the alphabet
    ],
)
def test_when_labels_are_the_networks_classes(
    names: list[str] | None, labels: list[int], expected: list[int], are: bool
) -> None:
    network = awkward()
    network.class_names = ("bird", "Great_Cat, a big one", "fish", "dog", "cow")
    source = dataset.open(np.zeros((3, 12, 20), np.uint8), labels=labels)
    source.class_names = None if names is None else tuple(names)
    found = find_labels(network, source)
    assert found is not None
    assert found.values.tolist() == expected
    assert found.are_classes is are


def test_folders_that_differ_behind_a_comma_are_two_classes() -> None:
    network = awkward()
    network.class_names = ("dogs, big", "dogs, small", "fish", "cow", "cat")
    source = dataset.open(np.zeros((2, 12, 20), np.uint8), labels=[0, 1])
    source.class_names = ("dogs, small", "fish")
    found = find_labels(network, source)
    assert found is not None
    assert (found.values.tolist(), found.are_classes) == ([1, 2], True)


# --- files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> atlas.Atlas:
    network, source = awkward(), pictures(20)
    images = torch.stack([source.read(index, network.spec) for index in range(20)])
    return make_atlas(tmp_path_factory.mktemp("made") / "atlas", network, images, ["first", "shared~1", "last"])


def test_layers_are_found_by_address_and_by_name(made: atlas.Atlas) -> None:
    assert made.layer("shared").address == "shared~1"
    assert made.layer("first").shape == (6, 12, 20)
    assert made.layer("last").shape == (5,)
    with pytest.raises(AddressError, match=r"layer 'frist' is not in the atlas .* Did you mean first\? It holds 3"):
        made.layer("frist")
    with pytest.raises(AddressError, match="built without features"):
        made.features("first")


def test_receptive_fields_come_back_whole(made: atlas.Atlas) -> None:
    graph = awkward().graph()
    for place in made.layers:
        assert made.layer(place).field == graph.layer(place).field


def test_what_is_no_atlas_is_told_apart(made: atlas.Atlas, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="does not exist"):
        atlas.open(tmp_path / "nowhere")
    with pytest.raises(AtlasError, match="is no atlas"):
        atlas.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(AtlasError, match="is a file; an atlas is a folder"):
        atlas.open(tmp_path / "file")
    manifest = json.loads((made.path / "manifest.json").read_text("utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"format": "striate-atlas-9"}), encoding="utf-8")
    with pytest.raises(AtlasError, match=r"format 'striate-atlas-9', where this version of Striate reads"):
        atlas.open(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(AtlasError, match=r"is not whole: .*\.npy is missing"):
        atlas.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(AtlasError, match=r"manifest\.json cannot be read"):
        atlas.open(tmp_path)


def test_an_array_that_was_cut_off_is_named(made: atlas.Atlas, tmp_path: Path) -> None:
    file = tmp_path / "histogram.npy"
    file.write_bytes((made.folder / "histogram.npy").read_bytes()[:5000])
    with pytest.raises(AtlasError, match=r"histogram\.npy is broken"):
        store.array(tmp_path, "histogram")


def test_data_that_do_not_reach_the_disk_leave_the_atlas_as_it_was(
    made: atlas.Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "manifest.json").write_bytes((made.path / "manifest.json").read_bytes())
    data = store.new_data(tmp_path)
    store.write_array(data, "sums", (2,), np.float64, [np.ones(2)])
    entries = {name: value for name, value in made.manifest.items() if name not in ("format", "data")}
    with monkeypatch.context() as patched:
        patched.setattr(store.os, "fsync", fail)  # where blocks are found only when they are written
        with pytest.raises(OutputError, match=r"Cannot write .*sums\.npy.*: No space left on device\. What was there"):
            store.commit(tmp_path, data, entries)
    assert store.manifest(tmp_path) == made.manifest
    store.commit(tmp_path, data, entries)
    assert store.manifest(tmp_path) == made.manifest | {"data": data.name}


def test_arrays_can_be_mapped_and_hold_nothing_pickled(made: atlas.Atlas) -> None:
    for file in made.folder.glob("*.npy"):
        assert not np.load(file, mmap_mode="r", allow_pickle=False).dtype.hasobject


def test_another_specification_is_refused(made: atlas.Atlas) -> None:
    network = awkward()
    network.spec = network.spec.changed(mean=(0.5,))
    with pytest.raises(AtlasError, match=r"another specification of the input: mean was \[0\.45\], is \[0\.5\]"):
        made.check(network)


def test_pictures_from_memory_without_copies_say_so(tmp_path: Path) -> None:
    network = awkward()
    found = atlas.build(network, pictures(5), tmp_path / "atlas", layers="first", keep=False, workers=0)
    with pytest.raises(ImageError, match="came from memory, and the atlas was built without copies"):
        found.pictures.read(0, network)


def test_pictures_of_an_archive_are_read_from_it_again(tmp_path: Path) -> None:
    network, source = awkward(), pictures(5)
    np.savez(tmp_path / "set.npz", images=source.pieces[0], labels=source.labels.clip(0))
    found = atlas.build(network, tmp_path / "set.npz", tmp_path / "atlas", layers="first", workers=0)
    assert "pictures" not in found.arrays
    assert isinstance(found, atlas.Atlas)
    np.testing.assert_array_equal(found.pictures.read(3, network), source.read(3, network.spec))


def test_the_room_is_fetched_by_name() -> None:
    assert striate.atlas.open is atlas.open
