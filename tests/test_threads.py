"""numba's loops take the threads of PyTorch for a while, and nothing of that is left."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from striate.threads import borders, in_threads

numba = pytest.importorskip("numba")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("most", [0, 1, 2, 50])
def test_as_many_as_pytorch_has_and_are_of_use(most):
    expected = max(1, min(2, most, numba.config.NUMBA_NUM_THREADS))
    with in_threads(most) as threads:
        assert threads == numba.get_num_threads() == expected
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_numbers_are_put_back_after_an_error_too():
    before = numba.get_num_threads()
    for most in (1, 2):
        with pytest.raises(KeyError), in_threads(most):
            raise KeyError
        assert numba.get_num_threads() == before
        assert torch.get_num_threads() == 2
    with in_threads(1) as threads:  # and the next one is let in
        assert threads == 1


def test_one_caller_at_a_time():
    inside, most, errors = 0, 0, []

    def call():
        nonlocal inside, most
        try:
            with in_threads(2):
                inside += 1
                most = max(most, inside)
                time.sleep(0.01)
                inside -= 1
        except Exception as error:
            errors.append(error)

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not errors
    assert most == 1


STARTING = """
import sys, torch
from striate.threads import in_threads
assert "numba" not in sys.modules
torch.set_num_threads(3)
with in_threads(1):
    assert torch.get_num_threads() == 3
print(torch.get_num_threads())
"""


def test_where_numba_begins_pytorch_keeps_its_threads():
    done = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


@pytest.mark.parametrize(("count", "parts"), [(10, 3), (2, 4), (0, 2), (7, 1), (2**33, 7)])
def test_parts_are_even_and_are_all_there_is(count, parts):
    found = borders(count, parts)
    assert found.dtype == np.int64
    assert (found[0], found[-1], len(found)) == (0, count, parts + 1)
    sizes = np.diff(found)
    assert sizes.max() - sizes.min() <= 1
