"""The names that people import, and what importing them costs."""

from __future__ import annotations

import pytest

import striate
from lightness import HEAVY, imported_by


def test_names_are_sorted_and_few():
    assert striate.__all__ == sorted(striate.__all__)
    assert len(striate.__all__) <= 30


@pytest.mark.parametrize("name", striate.__all__)
def test_name_is_there(name):
    assert getattr(striate, name) is not None
    assert name in dir(striate)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'striate' has no attribute 'lense'"):
        _ = striate.lense


@pytest.mark.parametrize("statement", ["import striate", "from striate import StriateError", "import striate.registry"])
def test_import_is_light(statement):
    found = imported_by(statement)
    assert "striate" in found
    assert not found & HEAVY


def test_arithmetic_needs_nothing_but_its_import():
    # in a fresh Python: another test may have imported them
    found = imported_by("import striate; striate.sizes.fit(13, 6, 5); striate.costs.full((3, 8, 8), (10, 1, 1))")
    assert not found & HEAVY
