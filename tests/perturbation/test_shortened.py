"""A network made shorter gives the same answers, and only where it does is it used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from normed import SIZE, Choosing, MeasuringPictures, Noisy, Normed, made, noise
from striate import lean
from striate.perturbation.masks import mask_scores
from striate.perturbation.readout import spread
from striate.perturbation.shortened import shortened
from striate.running import undisturbed


@pytest.mark.parametrize("place", [None, "second", "first.0"])
def test_the_same_answers_with_fewer_steps(place):
    network, pictures = made(Normed), network_batch(noise(5))
    with undisturbed(network.module), torch.no_grad():
        short = shortened(network, pictures[:1], place, 5)
        assert short is not None
        found = short(pictures)
        before = pictures.clone()
        short(pictures)
        assert torch.equal(before, pictures)  # nothing is written into what it is given
    kept = []
    handle = network.module.get_submodule(place or "last").register_forward_hook(lambda *call: kept.append(call[2]))
    with torch.no_grad():
        network.module.eval()(pictures)
    handle.remove()
    torch.testing.assert_close(found, kept[0], rtol=1e-5, atol=1e-5)


def network_batch(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [Noisy, Choosing, MeasuringPictures])
def test_what_depends_on_chance_or_on_values_is_left_alone(kind):
    network = made(kind)
    with undisturbed(network.module), torch.no_grad():
        assert shortened(network, noise(1), None, 5) is None


def test_a_network_for_single_pictures_is_left_alone():
    single = made(Normed)
    single.one_by_one = True
    assert shortened(single, noise(1), None, 5) is None


def test_other_answers_are_not_taken(monkeypatch):
    right = lean.fused

    def wrong(program, ends, **options):
        *first, last = right(program, ends, **options).steps
        return replace(program, steps=(*first, replace(last, op=lambda *given: last.op(*given) * 1.01)))

    monkeypatch.setattr(lean, "fused", wrong)
    network = made(Normed)
    for right_or_wrong, other in (("wrong", network.twin()), ("right", network.twin())):  # it is tried once for each
        if right_or_wrong == "right":
            monkeypatch.undo()
        with undisturbed(other.module), torch.no_grad():
            assert (shortened(other, noise(1), None, 5) is None) == (right_or_wrong == "wrong")


@pytest.mark.parametrize("target", [[2, 0], ["second:3@2,1", "second:1@0,4"]])
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_many_masks_get_the_scores_of_few(target, score):
    network, image, fill = made(Normed), noise(1), noise(1, seed=1)[0]
    masks = torch.rand(230, *SIZE, generator=torch.Generator().manual_seed(2))
    _, targets, _ = spread(network, image, target)
    calls = []
    network.module.register_forward_hook(lambda *call: calls.append(len(call[2])))

    def scores(first: int, last: int) -> Tensor:
        calls.clear()
        return mask_scores(
            network, image, lambda a, b: masks[first + a : first + b], last - first, fill, targets, score=score
        ).values

    many = scores(0, 230)
    assert sum(calls) < 20  # the network itself is asked for the trial only
    torch.testing.assert_close(many, torch.cat([scores(0, 115), scores(115, 230)]), rtol=1e-4, atol=1e-5)
