"""The page about networks and layers names all there are."""

from __future__ import annotations

from pathlib import Path

import pytest

import striate
from striate import nets

PAGE = (Path(__file__).parents[2] / "docs" / "convolution.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", nets.names())
def test_every_network_stands_on_the_page(name):
    assert f"`{name}`" in PAGE


def test_names_are_sorted_few_and_there():
    assert nets.__all__ == sorted(nets.__all__)
    assert len(nets.__all__) <= 30
    assert all(getattr(striate.nets, name) is not None for name in nets.__all__)


def test_the_table_on_the_page_is_the_one_that_is_printed():
    text = "conv 32 3x3 relu, pool 2, conv 64 3x3 relu, pool 2, flatten, dense 64 relu, dense 10"
    lines = str(nets.sequential(text, input=(1, 28, 28))).splitlines()
    assert "\n".join(lines[:5]) in PAGE
    assert lines[-1] in PAGE
