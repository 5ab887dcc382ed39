"""The names that people import, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import striate


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


HEAVY = {"torch", "numpy", "PIL", "matplotlib", "rich", "skimage", "sklearn", "timm", "torchvision"}


@pytest.mark.parametrize("statement", ["import striate", "from striate import StriateError", "import striate.registry"])
def test_import_is_light(statement):
    found = imported_by(statement)
    assert "striate" in found
    assert not found & HEAVY


def test_arithmetic_needs_nothing_but_its_import():
    # in a fresh Python: another test may have imported them
    found = imported_by("import striate; striate.sizes.fit(13, 6, 5); striate.costs.full((3, 8, 8), (10, 1, 1))")
    assert not found & HEAVY


def imported_by(statement: str) -> set[str]:
    """Return the top-level packages that are imported once a statement has been run in a fresh Python."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
