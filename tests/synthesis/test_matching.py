"""Gram matrices and costs against numpy, and where they are zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.synthesis.matching import Inverting, Styling, gram, relative_error
from striate.tap import Tapped


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gram_matrices_against_numpy():
    maps = drawn(3, 5, 4, 7)
    expected = np.einsum("bchw,bdhw->bcd", maps.numpy(), maps.numpy()) / 28
    np.testing.assert_allclose(gram(maps).numpy(), expected)


def test_gram_matrices_do_not_know_where():
    maps = drawn(2, 4, 6, 6)
    moved = maps.flatten(2)[:, :, torch.randperm(36, generator=torch.Generator().manual_seed(1))].view_as(maps)
    torch.testing.assert_close(gram(moved), gram(maps))
    assert not torch.allclose(gram(maps.flip(1)), gram(maps))


def test_relative_errors_by_hand():
    wanted = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    found = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert relative_error(found, wanted).tolist() == [0.0, 1.0]
    assert relative_error(-wanted, wanted).tolist() == [4.0, 4.0]
    assert relative_error(found, wanted[1:]).tolist() == pytest.approx([(9 + 4) / 4, 1.0])


def test_the_cost_of_an_inversion_against_numpy():
    wanted, answer = drawn(2, 6, 3, 3), drawn(2, 6, 3, 3, seed=1)
    images, centre = torch.rand(2, 3, 5, 4, dtype=torch.float64), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    sizes = torch.tensor([2.0, 3.0])
    cost = Inverting("layer", wanted, sizes, 10.0, centre)(Tapped({"layer": answer}, None), images, slice(None))
    for row in range(2):
        data = ((answer - wanted)[row].square().sum() / wanted[row].square().sum()).item()
        # in levels from 0 to 255, as the paper's weights are meant
        offset = 255 * (images - centre)[row].numpy()
        right = np.diff(offset, axis=2, append=offset[:, :, -1:])
        below = np.diff(offset, axis=1, append=offset[:, -1:])
        size = 255**2 * sizes[row].item()
        kept = (8e-10 * (offset**6).sum() + 10 * (right**2 + below**2).sum()) / (2 * size)
        assert cost[row].item() == pytest.approx(data + kept, rel=1e-5)
    plain = Inverting("layer", wanted, sizes, 0.0, centre)(Tapped({"layer": wanted}, None), images, slice(None))
    assert plain.tolist() == [0.0, 0.0]


def styling(content, style, **options):
    settings = {"strength": 3.0, "variation": 0.0, "variations": torch.ones(len(content))} | options
    return Styling({"deep": content}, {"flat": gram(style), "mid": gram(style.flip(3))}, **settings)


def test_nothing_to_change_costs_nothing():
    content, style = drawn(2, 4, 3, 3), drawn(2, 5, 6, 6)
    cost = styling(content, style)
    tapped = Tapped({"deep": content, "flat": style, "mid": style}, None)  # a mirrored map has the same Gram matrix
    assert cost(tapped, torch.rand(2, 3, 8, 8), slice(None)).abs().max() < 1e-12
    assert cost.places == ["deep", "flat", "mid"]


def test_the_cost_of_a_style_against_numpy():
    content, style = drawn(2, 4, 3, 3), drawn(1, 5, 6, 6)
    answers = {"deep": drawn(2, 4, 3, 3, seed=1), "flat": drawn(2, 5, 6, 6, seed=2), "mid": drawn(2, 5, 6, 6, seed=3)}
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    cost = styling(content, style, variation=0.5, variations=torch.tensor([2.0, 4.0]))
    found = cost(Tapped(answers, None), images, slice(None))
    one = cost(Tapped({name: answer[1:] for name, answer in answers.items()}, None), images[1:], slice(1, 2))
    torch.testing.assert_close(one, found[1:])

    def matrix(maps):
        flat = maps.numpy().reshape(len(maps), -1)
        return flat @ flat.T / flat.shape[1]

    wanted = matrix(style[0])
    for row, spread in enumerate((2.0, 4.0)):
        first = (answers["deep"] - content)[row].square().sum() / content[row].square().sum()
        # each error is a share, so that the paper's 1 / (4 N^2 M^2) falls away
        second = [
            np.square(matrix(answers[name][row]) - wanted).sum() / np.square(wanted).sum() for name in ("flat", "mid")
        ]
        picture = images[row].numpy()
        steps = np.square(np.diff(picture, axis=1)).sum() + np.square(np.diff(picture, axis=2)).sum()
        assert found[row].item() == pytest.approx(first.item() + 3 * np.mean(second) + 0.5 * steps / spread, rel=1e-5)
