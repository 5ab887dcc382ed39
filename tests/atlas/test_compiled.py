"""The compiled operations against those of PyTorch and numpy, and whole builds with them, however they are cut."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from atlas.making import values_of
from atlas.networks import awkward, pictures
from atlas.stopping import stopped_after
from striate import atlas
from striate.atlas import compiled
from striate.atlas.compiled import Compiled, compiled_for
from striate.atlas.opened import Atlas
from striate.atlas.ranking import Ranking

one_pass = pytest.importorskip("striate.atlas.one_pass", reason="numba is not installed", exc_type=ImportError)

CPU = torch.device("cpu")
COUNT = 300
SETTINGS = {"layers": "all", "sample": 30, "vectors": 40, "workers": 0}

SCRIPT = """
import sys
from atlas.networks import awkward, pictures
from striate import atlas
from striate.atlas import compiled
compiled.WORTH = 0
atlas.build(awkward(), pictures({count}), sys.argv[1], **{settings!r})
"""


def room(count: int, units: int) -> list[torch.Tensor]:
    """Return what `Compiled` writes into: thresholds that nothing exceeds, nothing wanted, and empty numbers."""
    numbers = [torch.full((count, units), 99.0) for _ in range(3)]
    never = [torch.full((units,), torch.inf) for _ in range(2)]
    return [*never, torch.zeros(count, dtype=torch.bool), *numbers, torch.full((count, units), -1, dtype=torch.int32)]


@pytest.mark.parametrize("shape", [(3, 4, 5, 7), (2, 3, 1, 1), (4, 1, 9, 2), (1, 33, 8, 3)])  # N, C, H, W
def test_reductions_against_numpy(shape: tuple[int, ...]) -> None:
    # whole numbers: sums are exact, and many maxima are equal
    maps = torch.from_numpy(np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32))
    values, positions = values_of(maps.numpy())
    for above, below, wanted in ((-torch.inf, torch.inf, []), (torch.inf, -torch.inf, []), (3.0, 3.0, [0])):
        given = room(shape[0], shape[1] + 3)
        given[0].fill_(above)
        given[1].fill_(below)
        given[2][wanted] = True
        Compiled(one_pass, *given).reduce(maps, 2)
        units = slice(2, 2 + shape[1])
        found, sums, squares, places = (one[:, units].numpy() for one in given[3:])
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(sums, maps.numpy().sum((2, 3)))
        np.testing.assert_array_equal(squares, (maps.numpy() ** 2).sum((2, 3)))
        right = positions[..., 0] * shape[3] + positions[..., 1]
        asked = (values > above) | (values < -below) | given[2].numpy()[:, None]
        np.testing.assert_array_equal(places, np.where(asked, right, -1))
        assert (given[3][:, :2] == 99).all()  # other layers' numbers
        assert (given[3][:, units.stop :] == 99).all()


def test_sums_are_better_than_float32_and_the_same_in_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = (torch.randn((8, 24, 60, 52), generator=generator) + 3).contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    found = []
    for threads, piece in ((1, 1), (2, 1), (2, 1 << 20)):
        monkeypatch.setattr(compiled, "_PIECE", piece)
        given = room(8, 24)
        try:
            torch.set_num_threads(threads)
            Compiled(one_pass, *given).reduce(maps, 0)
        finally:
            torch.set_num_threads(before)
        found.append(given)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    exact = maps.double()
    torch.testing.assert_close(found[0][4].double(), exact.sum((2, 3)), rtol=3e-7, atol=0)
    torch.testing.assert_close(found[0][5].double(), exact.square().sum((2, 3)), rtol=3e-7, atol=0)


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("top", [1, 4, 9])
def test_ranks_are_those_of_pytorch_bit_for_bit(top: int, smallest: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_PIECE", 1)
    random = np.random.default_rng(top)
    expected, found = Ranking(50, top, CPU), Ranking(50, top, CPU)
    given = room(7, 50)
    operations = Compiled(one_pass, *given)
    for batch in range(12):
        count = 5 if batch == 11 else 7  # the last is not full
        values = random.choice(np.array([-3, -1, -0.0, 0, 1e-30, 2, 3], np.float32), (7, 50))
        given[3].copy_(torch.from_numpy(values))
        given[6].copy_(torch.from_numpy(random.integers(0, 99, (7, 50))))
        numbers = np.arange(batch * 7, batch * 7 + count)
        signed = (-given[3] if smallest else given[3]) + 0.0
        expected.enter(signed[:count], torch.from_numpy(numbers), given[6][:count])
        operations.enter(found, smallest, numbers)
        for one, two in zip(found.arrays(), expected.arrays(), strict=True):
            np.testing.assert_array_equal(one, two)


# --- whole builds


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH", 0)


def build(folder: Path) -> Atlas:
    return atlas.build(awkward(), pictures(COUNT), folder, **SETTINGS)


def test_pytorch_and_numba_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build(tmp_path / "plain")  # too little to load numba for
    monkeypatch.setattr(compiled, "WORTH", 0)
    swift = build(tmp_path / "swift")
    assert plain.arrays.keys() == swift.arrays.keys()
    for name, values in plain.arrays.items():
        if name in ("sums", "squares") or name.startswith(("class_sums", "features")):
            scale = np.abs(np.asarray(values, np.float64)).max()
            np.testing.assert_allclose(
                swift.arrays[name], values, rtol=1e-3 if name[0] == "f" else 1e-6, atol=scale * 1e-6
            )
        else:
            np.testing.assert_array_equal(swift.arrays[name], values)


@pytest.mark.usefixtures("always")
def test_interrupted_and_started_again(tmp_path: Path) -> None:
    with stopped_after(9):
        build(tmp_path / "atlas")
    build(tmp_path / "atlas")
    assert files(tmp_path / "atlas") == files(build(tmp_path / "whole").path)


@pytest.mark.slow
@pytest.mark.usefixtures("always")
def test_ranks_give_the_same_files_bit_for_bit(tmp_path: Path) -> None:
    script = tmp_path / "build.py"
    script.write_text(SCRIPT.format(count=COUNT, settings=SETTINGS), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "atlas")],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert files(tmp_path / "atlas") == files(build(tmp_path / "whole").path)


# --- threads

THREADS = """
import torch
torch.set_num_threads(3)  # neither what numba has at most nor what there is
from atlas.test_compiled import one_pass, room
from striate.atlas import compiled
compiled._PIECE = 1
compiled.Compiled(one_pass, *room(4, 5)).reduce(torch.ones(4, 5, 6, 7), 0)
print(torch.get_num_threads())
"""


def test_threads_of_pytorch_stay_as_they_are() -> None:
    environment = os.environ | {"NUMBA_NUM_THREADS": "2", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.stdout.split() == ["3"], done.stderr[-2000:]


# --- when


def test_small_jobs_gpus_and_machines_without_numba_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled_for(compiled.WORTH, CPU) is one_pass
    assert compiled_for(compiled.WORTH - 1, CPU) is None
    assert compiled_for(compiled.WORTH, torch.device("cuda")) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compiled_for(compiled.WORTH, CPU) is None


def without_a_folder(*_: object, **__: object) -> None:
    raise RuntimeError("cannot cache function 'reduce': no locator available for file 'one_pass.py'")


@pytest.mark.parametrize("fault", ["it does not go with this numpy", "no place for the machine code"])
def test_numba_that_cannot_work_is_left_alone(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "striate.atlas.one_pass")
    monkeypatch.delattr(atlas, "one_pass")
    if fault == "no place for the machine code":
        monkeypatch.setattr("striate.compiling.njit", lambda *_, **__: without_a_folder)
    else:
        monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert compiled_for(compiled.WORTH, CPU) is None


def test_the_machine_code_is_kept_for_the_next_start() -> None:
    one_pass.enter(  # compiled or read, one of the two
        np.zeros((1, 2), np.float32), 0, 2, False, np.zeros(1, np.int64), np.zeros((1, 2), np.int32),
        np.zeros((2, 1), np.int64), np.zeros((2, 1), np.int32), np.zeros(2, np.float32),
    )  # fmt: skip
    found = one_pass.enter.stats
    assert list(Path(found.cache_path).glob("one_pass.enter-*.nbi"))
