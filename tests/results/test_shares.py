"""The standard error of a share, by hand and at its ends."""

from __future__ import annotations

import pytest

from striate.results.shares import standard_error


def test_by_hand():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(0.9, 36) == pytest.approx(0.3 / 6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_and_none_are_no_proof(share):
    assert standard_error(share, 50) == pytest.approx(standard_error(0.01, 50))  # half a picture
    assert standard_error(share, 1) == pytest.approx(0.5)
