"""The first maps of a run made for a few pictures at a time, against the whole batch at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import striate
from atlas.networks import SIZE, pictures
from atlas.stopping import stopped_after
from striate import atlas
from striate.atlas import compiled, passing, piecing
from striate.atlas.opened import Atlas
from striate.atlas.piecing import Cut, cut_of, parted
from striate.fusing import can_fuse
from striate.program import Program
from striate.recording import record
from striate.running import undisturbed

COUNT = 150
LARGE = 6 * 12 * 20 * 4  # bytes of a map before the pooling
SMALL = LARGE // 4  # and behind it


class Narrowing(nn.Module):
    """Large maps, then small ones; the first are read twice, and batch norm and rectifiers stand behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(inplace=True))
        self.aside = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.third = nn.Conv2d(6, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        x = self.pool(x + self.aside(x))
        return self.third(x + self.second(x)).mean((2, 3))


class Seeing(Narrowing):
    """Looks at the picture once more at its end."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + images.mean((1, 2, 3))[:, None]


def made(kind: type[nn.Module] = Narrowing) -> striate.Network:
    torch.manual_seed(0)
    return striate.Network(kind().eval(), striate.InputSpec(1, *SIZE, mean=(0.45,), std=(0.3,)), name="narrowing")


def written(kind: type[nn.Module] = Narrowing) -> Program:
    network, one = made(kind), torch.rand((2, 1, *SIZE), generator=torch.Generator().manual_seed(0))
    with undisturbed(network.module), torch.no_grad():
        return record(network.module, one[:1], one[1:], ["pool~1", "first.2~1"])


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let four large maps be the most, and sixteen small ones."""
    monkeypatch.setattr(piecing, "_LARGEST", 4 * LARGE)
    monkeypatch.setattr(piecing, "_WHOLE", 16 * SMALL)


# --- where it is cut


def test_it_is_cut_where_maps_are_small_enough() -> None:
    program = written()
    assert cut_of(program, 16, 1) == Cut(program.places["pool~1"], 4)
    assert cut_of(program, 64, 1) is None  # nowhere are the maps of so many small enough


def test_it_is_not_cut_where_that_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    program = written()
    assert cut_of(program, 4, 1) is None  # it is one piece
    assert cut_of(program, 16, 4) is not None
    assert cut_of(program, 16, 5) is None  # one thread would have no picture
    monkeypatch.setattr(piecing, "_LARGEST", LARGE)
    cut = cut_of(program, 16, 1)
    assert cut is not None
    assert cut.piece == 2  # the least
    monkeypatch.setattr(piecing, "_WHOLE", 16 * LARGE)
    assert cut_of(program, 16, 1) is None  # all maps stay in the caches


def test_it_is_not_cut_where_two_values_lead_on() -> None:
    assert cut_of(written(Seeing), 16, 1) is None


def test_parts_are_what_is_numbered_before_and_behind() -> None:
    program = written()
    value = program.places["pool~1"]
    first, then = parted(program, value) or pytest.fail("not parted")
    assert first.steps + then.steps == program.steps
    assert value in first.steps[-1].outs
    assert then.steps[0].inputs == (value,)
    assert parted(program, program.places["first.2~1"] + 1) is None  # the sum reads what was before


# --- whole builds

one_pass = pytest.importorskip("striate.atlas.one_pass", reason="numba is not installed", exc_type=ImportError)
needs_onednn = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Build with one thread's rule whatever the machine, by the written run only; note what was run as one."""
    monkeypatch.setattr(compiled, "WORTH", 0)
    monkeypatch.setattr(passing, "FEWEST", 0)
    monkeypatch.setattr(passing, "cut_of", lambda program, count, threads: cut_of(program, count, 1))
    found: list[tuple[int, ...]] = []
    right = Program.run

    def run(self: Program, given: Any, ends: Any, count: int) -> dict[int, Tensor]:
        found.append(tuple(next(iter(given.values())).shape))
        return right(self, given, ends, count)

    monkeypatch.setattr(Program, "run", run)
    return found


def build(folder: Path, network: striate.Network | None = None, **options: Any) -> Atlas:
    settings = {"layers": "all", "sample": 30, "vectors": 40, "workers": 0, "dtype": "float32"} | options
    return atlas.build(network or made(), pictures(COUNT), folder, **settings)


def in_one_go(monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any) -> Atlas:
    with monkeypatch.context() as patch:
        patch.setattr(passing, "cut_of", lambda program, count, threads: None)
        return build(*args, **options)


def assert_alike(found: Atlas, expected: Atlas) -> None:
    assert found.arrays.keys() == expected.arrays.keys()
    for name, values in expected.arrays.items():
        mine, theirs = np.asarray(found.arrays[name]), np.asarray(values)
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert np.mean(mine == theirs) > 0.99, name  # but for a near-tie


@needs_onednn
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"features": ["first.0", "first.2", "pool"]},  # asked for as a whole, and among the large maps
        {"features": ["first.0", "second.0"], "layers": ["first.0"]},
        {"layers": ["first.0"], "features": []},  # nothing is asked for behind the cut but the logits
        {"layers": ["third"], "features": []},
    ],
)
def test_an_atlas_is_that_of_whole_batches(
    options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[tuple[int, ...]]
) -> None:
    in_pieces = build(tmp_path / "pieces", **options)
    batches = -(-COUNT // 16)  # the last is filled up
    assert runs.count((4, 1, *SIZE)) == 4 * batches
    assert runs.count((16, 6, 6, 10)) == batches
    assert (16, 1, *SIZE) not in runs
    runs.clear()
    whole = in_one_go(monkeypatch, tmp_path / "whole", **options)
    assert runs.count((16, 1, *SIZE)) == batches
    assert_alike(in_pieces, whole)


@needs_onednn
def test_layers_that_are_added_see_only_as_far_as_they_need(tmp_path: Path, runs: list[tuple[int, ...]]) -> None:
    build(tmp_path / "atlas", layers=["third"])
    runs.clear()
    extended = build(tmp_path / "atlas", layers=["first.0", "third"])
    assert (4, 1, *SIZE) in runs
    assert (16, 6, 6, 10) not in runs  # what stands behind the cut is not asked for
    whole = build(tmp_path / "whole", layers=["first.0", "third"])
    for name in ("top_values", "top_pictures", "top_positions", "mean", "std"):
        for place in ("first.0", "third"):
            one, other = getattr(extended.layer(place), name), getattr(whole.layer(place), name)
            np.testing.assert_array_equal(one, other, err_msg=f"{place} {name}")


@needs_onednn
def test_interrupted_and_started_again(tmp_path: Path, runs: list[tuple[int, ...]]) -> None:
    with stopped_after(9):
        build(tmp_path / "atlas")
    build(tmp_path / "atlas")
    build(tmp_path / "whole")
    one, other = (
        {file.name: file.read_bytes() for file in (tmp_path / name).rglob("*") if file.is_file()}
        for name in ("atlas", "whole")
    )
    assert one == other


@needs_onednn
def test_pieces_that_give_other_numbers_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[tuple[int, ...]]
) -> None:
    class Following(Narrowing):
        """Adds what the picture before has: what a piece begins with is not what the batch goes on with."""

        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images + functional.pad(images, (0, 0, 0, 0, 0, 0, 1, 0))[:-1])

    network = made(Following)
    found = build(tmp_path / "pieces", network)
    assert (4, 1, *SIZE) not in runs
    whole = in_one_go(monkeypatch, tmp_path / "whole", network)
    assert (16, 1, *SIZE) in runs  # a whole batch can be written down
    assert_alike(found, whole)
