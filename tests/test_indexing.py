"""Faiss beside PyTorch in one process: threads stay as they were, whichever is loaded first; a missing one is named."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from striate.errors import MissingExtraError
from striate.indexing import faiss

BOTH = """
import threading
import {first}, {second}
import numpy as np
from striate.indexing import faiss as lent

torch.set_num_threads(2)
vectors = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
here = torch.from_numpy(vectors)
want = (here @ here[:100].T).double().sum().item()

def work():
    for _ in range(3):
        with lent("this") as faiss:
            assert faiss.omp_get_max_threads() == torch.get_num_threads(), faiss.omp_get_max_threads()
            means = faiss.Kmeans(64, 50, niter=3, seed=1)
            means.train(vectors)
            index = faiss.IndexFlatL2(64)
            index.add(vectors)
            assert (index.search(vectors[:200], 1)[1][:, 0] == np.arange(200)).all()
        assert abs((here @ here[:100].T).double().sum().item() - want) < 1e-3 * abs(want) + 1

work()
others = [threading.Thread(target=work) for _ in range(2)]
[other.start() for other in others]
[other.join() for other in others]
assert torch.get_num_threads() == 2
print("whole")
"""


@pytest.mark.parametrize(("first", "second"), [("torch", "faiss"), ("faiss", "torch")])
def test_both_work_in_one_process_whichever_comes_first(first, second):
    code = BOTH.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "whole\n", done.stderr


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()

    def work():
        with faiss("this", threads=3) as library:
            assert library.omp_get_max_threads() == (1 if sys.platform == "darwin" else 3)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert torch.get_num_threads() == before
    with faiss("this") as library:
        assert library.omp_get_max_threads() == (1 if sys.platform == "darwin" else before)


def test_a_missing_faiss_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with (
        pytest.raises(MissingExtraError, match=r"^Bread needs faiss, .* pip install 'striate\[index\]'\.$"),
        faiss("Bread"),
    ):
        pass
