"""Work shared among threads: the same as in one go, in every mode, and nothing else is changed."""

from __future__ import annotations

import threading

import pytest
import torch

from striate.nets import LocallyConnected2d
from striate.nets.layers._sharing import in_shares


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    usual = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(usual)


def test_runs_cover_everything_once_and_each_thread_works_alone(threads):
    found = in_shares(7, lambda start, stop: (list(range(start, stop)), torch.get_num_threads(), threading.get_ident()))
    assert [place for places, *_ in found for place in places] == list(range(7))
    assert len(found) == threads
    if threads > 1:
        assert {alone for _, alone, _ in found} == {1}
    assert torch.get_num_threads() == threads
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [threads]


def test_fewer_pieces_than_threads(threads):
    assert in_shares(1, lambda start, stop: (start, stop)) == [(0, 1)]


def test_what_goes_wrong_is_heard(threads):
    def work(start, stop):
        raise ValueError(f"piece {start}")

    with pytest.raises(ValueError, match="piece 0"):
        in_shares(4, work)


def test_a_layer_is_the_same_with_any_number_of_threads():
    layer = LocallyConnected2d(3, 5, (9, 7), 3, stride=2, padding=1).double()
    images = torch.randn(4, 3, 9, 7, dtype=torch.float64)
    usual = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = images.clone().requires_grad_()
            output = layer(leaf)
            slopes = torch.autograd.grad(output.square().sum(), [leaf, *layer.parameters()])
            with torch.inference_mode():
                inferred = layer(images.clone())
            answers.append((output.detach(), *slopes, inferred.clone()))
    finally:
        torch.set_num_threads(usual)
    for other in answers[1:]:
        for one, same in zip(answers[0], other, strict=True):
            torch.testing.assert_close(one, same, rtol=1e-12, atol=1e-12)
