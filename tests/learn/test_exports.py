"""The names of `striate.learn`: functions, not the modules of the same name."""

from __future__ import annotations

import types

import pytest

from striate import learn


def test_names_are_sorted_and_few() -> None:
    order = sorted(learn.__all__, key=lambda name: (name != name.upper(), name[0].islower(), name))
    assert learn.__all__ == order
    assert len(learn.__all__) <= 30


@pytest.mark.parametrize("name", learn.__all__)
def test_a_name_is_no_module(name: str) -> None:
    assert not isinstance(getattr(learn, name), types.ModuleType)
