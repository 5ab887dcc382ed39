"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from learn.ranking import AGREEING
from learn.striped import network, parts, plain, tensors
from striate.errors import OptionError, TrainingError
from striate.learn.loop import fit
from striate.learn.ranks import Ranks
from striate.learn.run import Run
from striate.learn.settings import Settings


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    script = Path(__file__).with_name("ranking.py")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=150, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert first == second  # bit for bit, batch norm's statistics and the average included
    # one process, the same batches: the same gradients to rounding, where pictures do not see each other
    alone = plain()
    one = fit(alone, parts(), **AGREEING)
    two = Run.open(tmp_path / "plain")
    for mine, theirs in zip(tensors(alone.module).values(), tensors(two.network().module).values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    for row, other in zip(one.history, two.history, strict=True):
        assert row.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert row.train_accuracy == other.train_accuracy
        assert row.validation_loss == pytest.approx(other.validation_loss, rel=1e-5)
        assert row.validation_accuracy == pytest.approx(other.validation_accuracy)
    assert two.about["ranks"] == 2
    # what two have begun, one does not go on with
    with pytest.raises(TrainingError, match="it was begun by 2 processes, not 1"):
        fit(plain(), parts(), out=tmp_path / "plain", resume=True, **AGREEING)
    with pytest.raises(TrainingError, match=r"other settings"):
        fit(network(), parts(), out=tmp_path / "drawing", resume=True, epochs=3)


def test_a_batch_is_shared_evenly() -> None:
    assert Settings(batch=12).batch_for(9, 9, 100, 3) == 12
    assert Settings().batch_for(9, 9, 1000) == 128
    assert Settings().batch_for(224, 224, 1000) == 32
    assert Settings().batch_for(224, 224, 7) == 7
    assert Settings().batch_for(224, 224, 7, 2) == 6
    with pytest.raises(OptionError, match="a batch of 13 cannot be shared evenly by 2 processes"):
        Settings(batch=13).batch_for(9, 9, 100, 2)
    with pytest.raises(OptionError, match="no more processes than training pictures"):
        Settings().batch_for(9, 9, 2, 3)


def test_one_process_is_all_of_them() -> None:
    ranks = Ranks()
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    told = ranks.mean_gradients([weight], torch.tensor(0.5), True)
    assert told.tolist() == [0.5, 1.0]
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]
    assert ranks.sums(1.5, 2) == [1.5, 2]
    assert ranks.gathered("me") == ["me"]
    assert ranks.from_first(lambda: "done") == "done"


def test_a_weight_that_one_rank_did_not_use_has_the_other_s_half(monkeypatch: pytest.MonkeyPatch) -> None:
    # what the other rank sends: gradients of both weights of two numbers, then of one; which were used; loss, asked
    other = torch.tensor([2.0, 4.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 1.0])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: flat.add_(other))
    unused, used, nobody = (torch.nn.Parameter(torch.ones(size)) for size in (2, 2, 1))
    used.grad = torch.tensor([1.0, 3.0])
    told = Ranks(0, 2).mean_gradients([unused, used, nobody], torch.tensor(1.0), False)
    assert told.tolist() == [2.0, 0.5]
    assert unused.grad is not None
    assert unused.grad.tolist() == [1.0, 2.0]
    assert used.grad.tolist() == [0.5, 1.5]
    assert nobody.grad is None  # so that weight decay does not take it away
