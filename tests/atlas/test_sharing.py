"""Ranks, interruptions and extensions: however the work is cut, the atlas is the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from atlas.networks import awkward, pictures, pixels
from atlas.stopping import stopped_after
from striate import atlas, dataset, progress
from striate.atlas import building, merging
from striate.atlas.building import held
from striate.atlas.opened import Atlas
from striate.errors import AtlasError, DataError, OutputError
from striate.images import encode_png

COUNT = 300
SETTINGS = {"layers": "all", "sample": 30, "vectors": 40, "workers": 0, "logits": True}

SCRIPT = """
import sys
from atlas.networks import awkward, pictures
from striate import atlas
failing = len(sys.argv) > 2
if failing:
    import os
    from striate.atlas import scanning
    if os.environ["RANK"] == "1":
        def fail(*a, **k):
            raise ValueError("the second rank has a fault")
        scanning.write_share = fail
atlas.build(awkward(), pictures({count}), sys.argv[1], **{settings!r})
"""


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return atlas.build(awkward(), pictures(COUNT), tmp_path_factory.mktemp("whole") / "atlas", **SETTINGS)


def start(folder: Path, ranks: int, *more: str) -> subprocess.CompletedProcess[str]:
    script = folder / "build.py"
    script.write_text(SCRIPT.format(count=COUNT, settings=SETTINGS), encoding="utf-8")
    tests = str(Path(__file__).parents[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return subprocess.run(
        [*command, str(script), str(folder / "atlas"), *more],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])  # for three shares: one rank less, and one that has nothing to do
def test_ranks_under_torchrun_give_the_same_files_bit_for_bit(whole: Atlas, tmp_path: Path, ranks: int) -> None:
    done = start(tmp_path, ranks)
    assert done.returncode == 0, done.stderr[-2000:]
    assert files(tmp_path / "atlas") == files(whole.path)


@pytest.mark.slow
def test_no_rank_hangs_when_another_fails(whole: Atlas, tmp_path: Path) -> None:
    done = start(tmp_path, 2, "fail")
    assert done.returncode != 0
    assert "the second rank has a fault" in done.stderr
    assert "rank 1" in done.stderr
    # what was finished is kept, and the rest is done here
    atlas.build(awkward(), pictures(COUNT), tmp_path / "atlas", **SETTINGS)
    assert files(tmp_path / "atlas") == files(whole.path)


@pytest.mark.parametrize("after", [1, 9, 18])  # batches: within the first share, the second, before the last batch
def test_interrupted_and_started_again(whole: Atlas, tmp_path: Path, after: int) -> None:
    with stopped_after(after):
        atlas.build(awkward(), pictures(COUNT), tmp_path / "atlas", **SETTINGS)
    assert not (tmp_path / "atlas" / "lock").exists()
    with pytest.raises(AtlasError, match="is not finished"):
        atlas.open(tmp_path / "atlas")
    shares = len(list((tmp_path / "atlas" / "work").glob("share-*.npz")))
    heard: list[progress.Event] = []
    with progress.listen(heard.append):
        atlas.build(awkward(), pictures(COUNT), tmp_path / "atlas", **SETTINGS)
    assert heard[-1].done == COUNT - 112 * shares
    assert files(tmp_path / "atlas") == files(whole.path)


def test_interrupted_in_the_merge(whole: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(merging.store, "commit", fail)
        with pytest.raises(OutputError, match="the disk is full"):
            atlas.build(awkward(), pictures(COUNT), tmp_path / "atlas", **SETTINGS)
    assert sorted(found.name for found in (tmp_path / "atlas").iterdir()) == ["work"]
    atlas.build(awkward(), pictures(COUNT), tmp_path / "atlas", **SETTINGS)
    assert files(tmp_path / "atlas") == files(whole.path)


def test_killed_while_it_tidied_up(whole: Atlas, tmp_path: Path) -> None:
    network, folder = awkward(), tmp_path / "atlas"
    atlas.build(network, pictures(COUNT), folder, **SETTINGS)
    for plan in ('{"base": null}', None):
        (folder / "work").mkdir()
        (folder / "work" / "share-00000.npz").write_bytes(b"of what was merged already")
        if plan is not None:
            (folder / "work" / "plan.json").write_text(plan, encoding="utf-8")
        (folder / "data-0000").mkdir()
        (folder / ".manifest.json.part").touch()
        atlas.build(network, pictures(COUNT), folder, **SETTINGS)
        assert files(folder) == files(whole.path)
        assert not (folder / "work").exists()
    (folder / "work").mkdir()
    (folder / "work" / "share-00000.npz").write_bytes(b"of what was merged already")
    grown = atlas.build(network, pictures(COUNT), folder, layers="all", features=["dying"], workers=0)
    assert "dying" in grown.feature_places


def test_another_build_after_an_interrupted_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "merge", lambda *_: (_ for _ in ()).throw(OutputError("full")))
    with pytest.raises(OutputError):
        atlas.build(awkward(), pictures(40), tmp_path / "atlas", layers="first", workers=0)
    with pytest.raises(AtlasError, match=r"an interrupted build that differs in layers, options\. Start that one"):
        atlas.build(awkward(), pictures(40), tmp_path / "atlas", layers="wide", top=3, workers=0)


def test_a_second_build_is_refused_and_a_dead_ones_lock_is_not(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "elsewhere"}), encoding="utf-8")
    with held(tmp_path):
        child = multiprocessing.get_context("fork").Process(target=_held, args=(tmp_path,))
        child.start()
        child.join(30)
        assert child.exitcode == 7
    with held(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()


def _held(folder: Path) -> None:
    try:
        with held(folder):
            os._exit(0)
    except AtlasError as error:
        os._exit(7 if "another process (" in str(error) and "is building the atlas" in str(error) else 1)


EXACT = [
    *(f"{end}_{what}" for end in ("top", "bottom") for what in ("values", "pictures", "positions")),
    *("largest", "smallest", "fired", "histogram", "predictions", "labels", "class_counts", "features-0"),
    *("sample_pictures", "sample_values", "sample_positions", "samples-0-vectors", "samples-0-positions"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of pictures in files, 0000.png to 0199.png."""
    found = tmp_path / "pictures"
    found.mkdir()
    for index, values in enumerate(pixels(200)):
        (found / f"{index:04d}.png").write_bytes(encode_png(values[:, :, 0]))
    return found


def test_extended_by_pictures_like_a_fresh_build(folder: Path, tmp_path: Path) -> None:
    # a matrix product rounds rows of a batch in ways of their own, a convolution does not
    settings = SETTINGS | {"sample": 20, "vectors": 25, "layers": ["rectifiers", "convolutions"], "features": "wide"}
    names = sorted(folder.iterdir())
    network = awkward()
    fresh = atlas.build(network, dataset.open(names, labels=np.arange(200) % 3), tmp_path / "fresh", **settings)
    grown = atlas.build(network, dataset.open(names[:70], labels=np.arange(70) % 3), tmp_path / "grown", **settings)
    assert len(grown) == 70
    grown = atlas.build(network, dataset.open(names, labels=np.arange(200) % 3), tmp_path / "grown")
    assert len(grown) == 200
    assert grown.manifest["data"] == "data-0002"
    assert not (tmp_path / "grown" / "data-0001").exists()
    for name in EXACT:
        np.testing.assert_array_equal(grown.arrays[name], fresh.arrays[name], err_msg=name)
    for name in ("logits", "losses", "probabilities"):
        np.testing.assert_allclose(grown.arrays[name], fresh.arrays[name], rtol=1e-3, atol=1e-5, err_msg=name)
    for name in ("sums", "squares", "class_sums"):  # added up in another order
        np.testing.assert_allclose(grown.arrays[name], fresh.arrays[name], rtol=1e-12, atol=1e-12, err_msg=name)
    assert list(grown.pictures.rows) == list(fresh.pictures.rows)
    before = files(tmp_path / "grown")
    atlas.build(network, dataset.open(names, labels=np.arange(200) % 3), tmp_path / "grown")
    assert files(tmp_path / "grown") == before  # nothing is new


def test_extended_by_layers_like_a_fresh_build(tmp_path: Path) -> None:
    network, source = awkward(), pictures(200)
    settings = SETTINGS | {"sample": 20, "vectors": 25}
    fresh = atlas.build(
        network,
        source,
        tmp_path / "fresh",
        **settings | {"layers": ["first", "dying", "last"], "features": ["dying", "hidden"]},
    )
    grown = atlas.build(network, source, tmp_path / "grown", **settings | {"layers": ["dying"], "features": ["hidden"]})
    grown = atlas.build(network, source, tmp_path / "grown", layers=["last", "first"], features=["dying"])
    assert grown.layers == fresh.layers == ("first", "dying", "last")
    assert grown.feature_places == fresh.feature_places == ("dying", "hidden")
    for name in fresh.arrays:
        if not name.startswith(("features", "samples")):
            np.testing.assert_array_equal(grown.arrays[name], fresh.arrays[name], err_msg=name)
    for place in ("dying", "hidden"):
        np.testing.assert_array_equal(grown.features(place), fresh.features(place))
        np.testing.assert_array_equal(grown.samples(place).vectors, fresh.samples(place).vectors)
    assert not (tmp_path / "grown" / "work").exists()


def test_what_does_not_go_with_the_atlas_that_is_there(folder: Path, tmp_path: Path) -> None:
    network = awkward()
    atlas.build(network, folder, tmp_path / "atlas", layers="first", workers=0)
    with pytest.raises(AtlasError, match=r"was built with awkward \(weights .*Give the same network"):
        atlas.build(awkward(1), folder, tmp_path / "atlas", workers=0)
    with pytest.raises(AtlasError, match=r"begun with other options \(top was 9, is 5\)"):
        atlas.build(network, folder, tmp_path / "atlas", top=5, workers=0)
    first = folder / "0000.png"
    os.utime(first, (1, 1))
    with pytest.raises(AtlasError, match=r"0000\.png was changed since the atlas"):
        atlas.build(network, folder, tmp_path / "atlas", workers=0)
    first.unlink()
    with pytest.raises(DataError, match=r"1 of 200 are not in .* \(the first: 0000\.png\)"):
        atlas.build(network, folder, tmp_path / "atlas", layers="wide", workers=0)
    other = tmp_path / "moved"
    folder.rename(other)
    moved = atlas.open(tmp_path / "atlas", source=other)
    np.testing.assert_array_equal(moved.pictures.shown(3), moved.pictures.shown(3, 20))


def test_broken_pictures_leave_no_gap(folder: Path, tmp_path: Path) -> None:
    network = awkward()
    for index in (0, 50, 130, 199):
        (folder / f"{index:04d}.png").write_bytes(b"")
    made = atlas.build(network, folder, tmp_path / "atlas", layers=["first"], sample=50, workers=2)
    assert len(made) == 196
    assert [name for name, _ in made.broken] == ["0000.png", "0050.png", "0130.png", "0199.png"]
    layer = made.layer("first")
    assert layer.pictures == 196
    for picture in np.unique(layer.top_pictures):
        name = made.pictures.name(int(picture))
        value = (pixels(200)[int(name[:4])] / np.float32(255) - np.float32(0.45)) / np.float32(0.3)
        read = made.pictures.read(int(picture), network)[0].numpy()
        np.testing.assert_allclose(read, value[:, :, 0], atol=1e-6)
    # they are not tried again as long as they are the same
    again = atlas.build(network, folder, tmp_path / "atlas")
    assert again.manifest["data"] == "data-0001"
