"""A build whose network is written down, and whose maps are read once, against one with hooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import striate
from atlas.networks import SIZE, pictures, pixels
from atlas.stopping import stopped_after
from striate import atlas, lean
from striate.atlas import compiled, passing
from striate.atlas.compiled import Onward
from striate.atlas.opened import Atlas
from striate.fusing import can_fuse

one_pass = pytest.importorskip("striate.atlas.one_pass", reason="numba is not installed", exc_type=ImportError)
pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")

COUNT = 150


class Normed(nn.Module):
    """All that can stand behind a convolution, and what cannot be done in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(inplace=True))
        self.deep = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6, affine=False))
        self.aside = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))
        self.relu = nn.ReLU()
        self.shared = nn.Conv2d(6, 6, 3, padding=1)
        self.before = nn.BatchNorm2d(6)
        self.smooth = nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.SiLU(inplace=True), nn.Identity())
        self.last = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        x = self.relu(self.deep(x) + self.aside(x))  # a sum of two, then a rectifier
        x = x + self.shared(x)  # read twice
        x = self.relu(self.before(self.relu(self.shared(x))))  # a rectifier, then batch norm
        x = self.before(x + 0.5).clamp(max=2)
        return self.last(self.smooth(x).mean((2, 3)))


class Choosing(Normed):
    """Takes a way that depends on the picture's values: no list of operations says what it does."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.mean() > -99 else -images)


def made(kind: type[nn.Module] = Normed) -> striate.Network:
    torch.manual_seed(0)
    module = kind()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return striate.Network(module.eval(), striate.InputSpec(1, *SIZE, mean=(0.45,), std=(0.3,)), name="normed")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH", 0)
    monkeypatch.setattr(passing, "FEWEST", 0)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Note for every scan whether its run was written down."""
    found: list[bool] = []
    right = passing.Passing._write_down

    def write_down(self: Any, images: Tensor) -> Any:
        result = right(self, images)
        found.append(result is not None)
        return result

    monkeypatch.setattr(passing.Passing, "_write_down", write_down)
    return found


def build(folder: Path, network: striate.Network | None = None, source: Any = None, **options: Any) -> Atlas:
    settings = {"layers": "all", "sample": 30, "vectors": 40, "workers": 0, "dtype": "float32"} | options
    return atlas.build(network or made(), pictures(COUNT) if source is None else source, folder, **settings)


def with_hooks(monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any) -> Atlas:
    with monkeypatch.context() as patch:
        patch.setattr(lean, "pays", lambda *_: False)
        return build(*args, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_alike(found: Atlas, expected: Atlas) -> None:
    """Check every array: whole numbers are equal but for a few near-ties, others up to rounding."""
    assert found.arrays.keys() == expected.arrays.keys()
    for name, values in expected.arrays.items():
        mine, theirs = np.asarray(found.arrays[name]), np.asarray(values)
        assert mine.shape == theirs.shape, name
        if theirs.dtype.kind == "f":
            scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=2e-6 * scale, err_msg=name)
        else:
            assert np.mean(mine == theirs) > 0.99, name


# --- whole builds


@pytest.mark.parametrize("layers", ["all", "convolutions", ["deep.0", "shared~2"]])
def test_an_atlas_is_that_of_hooks(
    layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]
) -> None:
    swift = build(tmp_path / "swift", layers=layers)
    assert written == [True]
    plain = with_hooks(monkeypatch, tmp_path / "plain", layers=layers)
    assert written == [True]  # not even tried
    assert_alike(swift, plain)
    if layers != ["deep.0", "shared~2"]:  # nothing is rounded before the first
        for name in ("top_values", "top_pictures", "top_positions", "mean"):
            one, other = (getattr(atlas.layer("first.0"), name) for atlas in (swift, plain))
            np.testing.assert_array_equal(one, other)


def test_whole_features_and_tallies_of_one_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"layers": "convolutions", "features": ["first.0", "first.1", "relu~1"]}
    assert_alike(build(tmp_path / "swift", **options), with_hooks(monkeypatch, tmp_path / "plain", **options))


def test_numbers_do_not_depend_on_what_is_asked_for(tmp_path: Path) -> None:
    everything = build(tmp_path / "all", layers="all")
    few = build(tmp_path / "few", layers=["first.0", "relu~2", "smooth.0"])
    for place in few.layers:
        for name in ("top_values", "top_pictures", "top_positions", "mean", "std"):
            np.testing.assert_array_equal(
                getattr(few.layer(place), name), getattr(everything.layer(place), name), err_msg=f"{place} {name}"
            )


def test_extended_by_layers_and_pictures(tmp_path: Path, written: list[bool]) -> None:
    build(tmp_path / "atlas", source=pictures(64), layers="convolutions")
    build(tmp_path / "atlas", source=pictures(64), layers="all")
    extended = build(tmp_path / "atlas", source=pictures(COUNT), layers="all")
    whole = build(tmp_path / "whole", layers="all")
    assert all(written)
    for place in whole.layers:
        for name in ("top_values", "top_pictures", "top_positions"):
            np.testing.assert_array_equal(
                getattr(extended.layer(place), name), getattr(whole.layer(place), name), err_msg=place
            )


def test_interrupted_and_started_again(tmp_path: Path) -> None:
    with stopped_after(9):
        build(tmp_path / "atlas", source=pictures(300))
    build(tmp_path / "atlas", source=pictures(300))
    assert files(tmp_path / "atlas") == files(build(tmp_path / "whole", source=pictures(300)).path)


# --- what cannot be written down, and what is broken


def test_a_network_that_cannot_be_written_down_is_hooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]
) -> None:
    found = build(tmp_path / "swift", made(Choosing))
    assert written == [False]
    assert files(found.path) == files(with_hooks(monkeypatch, tmp_path / "plain", made(Choosing)).path)


def test_a_run_that_gives_other_numbers_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]
) -> None:
    right = Onward.__call__
    monkeypatch.setattr(Onward, "__call__", lambda self, output, added: right(self, output, added).mul_(1.001))
    found = build(tmp_path / "swift")
    assert written == [False]
    assert files(found.path) == files(with_hooks(monkeypatch, tmp_path / "plain").path)


def test_a_run_that_fails_on_a_whole_batch_is_left_to_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]
) -> None:
    right = Onward.given

    def given(self: Onward, added: Tensor | None) -> Any:
        if len(written) > 0:  # no more pictures of the trial
            raise IndexError("not so many")
        return right(self, added)

    monkeypatch.setattr(Onward, "given", given)
    found = build(tmp_path / "swift")
    assert written == [True]
    assert files(found.path) == files(with_hooks(monkeypatch, tmp_path / "plain").path)


def test_hooks_of_the_user_are_called(tmp_path: Path, written: list[bool]) -> None:
    network, calls = made(), []
    network.module.first.register_forward_hook(lambda *_: calls.append(1))
    build(tmp_path / "atlas", network)
    assert written == []
    assert len(calls) >= COUNT / 16


def test_pictures_without_finite_numbers_are_set_aside_as_with_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]
) -> None:
    drawn = pixels(40)
    drawn[[3, 21]] = 255  # nothing else is as bright

    class Bursting(Normed):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images * (1 / (1.8 - images.amin((1, 2, 3), keepdim=True)).clamp(0, 1)))

    network = made(Bursting)
    swift = build(tmp_path / "swift", network, drawn)
    assert written == [True]
    plain = with_hooks(monkeypatch, tmp_path / "plain", network, drawn)
    assert len(swift.pictures) == 38
    broken = [[line for line in files(one.path).items() if "broken" in line[0]] for one in (swift, plain)]
    assert broken[0] == broken[1]
    assert_alike(swift, plain)


def test_batches_of_a_few_are_hooked(tmp_path: Path, written: list[bool]) -> None:
    build(tmp_path / "atlas", source=pictures(20), batch=lean.FEWEST - 1)
    assert written == []


def test_small_jobs_are_hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[bool]) -> None:
    monkeypatch.setattr(passing, "FEWEST", COUNT + 1)
    build(tmp_path / "atlas")
    assert written == []


# --- the compiled operations


@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize("adds", [False, True])
def test_what_goes_on_is_batch_norm_sum_and_rectifier(adds: bool, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_PIECE", piece)
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn((5, 7, 6, 9), generator=generator).contiguous(memory_format=torch.channels_last)
    maps[1, 2, 3, 4] = torch.nan
    other = torch.randn((5, 7, 6, 9), generator=generator)
    scale, shift = torch.randn((2, 7), generator=generator)
    zeros, ones = torch.zeros(7), torch.ones(7)
    expected = functional.batch_norm(maps, zeros, ones, scale, shift, eps=0)
    expected = functional.hardtanh(expected + other if adds else expected, -0.5, 1.5)
    onward = Onward(scale.numpy(), shift.numpy(), adds, -0.5, 1.5)
    found = maps.clone(memory_format=torch.preserve_format)
    assert onward(found, other if adds else None) is found
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-6, atol=1e-6)

    shape = (5, 7)
    rooms = []
    for _ in range(2):
        numbers = [torch.zeros(shape) for _ in range(3)]
        rooms.append([torch.zeros(7), torch.zeros(7), torch.ones(5, dtype=torch.bool), *numbers])
        rooms[-1].append(torch.zeros(shape, dtype=torch.int32))
    compiled.Compiled(one_pass, *rooms[0]).reduce(maps, 0)
    compiled.Compiled(one_pass, *rooms[1]).reduce_and_pass_on(maps, 0, onward, other if adds else None)
    for one, two in zip(*rooms, strict=True):
        assert torch.equal(one.nan_to_num(7), two.nan_to_num(7))  # statistics are those of the map as it was
    assert torch.equal(maps.nan_to_num(7), found.nan_to_num(7))
