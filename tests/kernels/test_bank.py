"""Banks of kernels by hand: what stands in them is what the literature has, and all of it is different."""

from __future__ import annotations

import numpy as np
import pytest

from striate.errors import OptionError
from striate.kernels.bank import bank, fitted
from striate.kernels.by_hand import laplacian, sobel


def test_the_first_kernels_are_sobels_of_length_one():
    found = bank(4, 3)
    assert found.titles == ("edge up", "edge left", "edge down", "edge right")
    assert found.weights.shape == (4, 1, 3, 3)
    right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / np.sqrt(12)
    np.testing.assert_allclose(found.weights[3, 0], right, atol=1e-12)


def test_lines_and_spots_are_those_of_the_books():
    made = bank(22, 3)
    found = dict(zip(made.titles, made.weights[:, 0], strict=True))
    across = np.array([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]) / np.sqrt(18)
    np.testing.assert_allclose(found["line across"], across, atol=1e-12)
    np.testing.assert_allclose(found["line upright"], across.T, atol=1e-12)
    falling = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]]) / np.sqrt(18)
    np.testing.assert_allclose(found["line falling"], falling, atol=1e-12)
    np.testing.assert_allclose(found["line rising"], falling[:, ::-1], atol=1e-12)
    spot = -laplacian(8).values / np.sqrt(72)
    np.testing.assert_allclose(found["spot"], spot, atol=1e-12)
    np.testing.assert_allclose(found["spot, turned over"], -spot, atol=1e-12)


@pytest.mark.parametrize(
    ("count", "size", "channels"), [(64, 3, 1), (512, 3, 3), (96, 11, 3), (48, (2, 2), 3), (40, (5, 3), 4)]
)
def test_all_are_different_and_of_length_one(count, size, channels):
    found = bank(count, size, channels)
    rows = found.weights.reshape(count, -1)
    assert len(found) == count == len(set(found.titles))
    np.testing.assert_allclose((rows**2).sum(1), 1, rtol=1e-12)
    likeness = rows @ rows.T - np.eye(count)
    assert likeness.max() < 1 - 1e-8
    assert found.weights[: count // 2] == pytest.approx(bank(count // 2, size, channels).weights)


def test_even_light_and_grey_are_answered_only_by_what_is_for_them():
    found = bank(200, 7, 3)
    for title, weights in zip(found.titles, found.weights, strict=True):
        kind = title.split(",")[0].split()[0]
        if kind in ("edge", "line", "spot"):
            np.testing.assert_allclose(weights.sum((1, 2)), 0, atol=1e-12, err_msg=title)
        if "against" in title:  # a grey picture has the same in all channels
            np.testing.assert_allclose(weights.sum(0), 0, atol=1e-12, err_msg=title)
        else:
            assert np.ptp(weights, axis=0).max() < 1e-12, title


def test_an_edge_finds_its_edge_and_directions_between_lie_between():
    picture = np.zeros((7, 7))
    picture[:, 4:] = 1  # bright on the right
    found = bank(300, 7)
    edges = [at for at, title in enumerate(found.titles) if title.startswith("edge") and "3 x 3" not in title]
    answers = {found.titles[at]: float((found.weights[at, 0] * picture).sum()) for at in edges}
    named = [title for title in answers if "degrees" not in title]
    assert len(named) == 8
    assert max(named, key=lambda title: answers[title]) == "edge right"
    assert min(named, key=lambda title: answers[title]) == "edge left"
    assert (
        answers["edge at 22.5 degrees"]
        > answers["edge up-right"]
        > answers["edge at 67.5 degrees"]
        > answers["edge up"]
    )
    half = bank(100, 3).weights[list(bank(100, 3).titles).index("edge at 22.5 degrees"), 0]
    mixed = sobel("right").values + sobel("up-right").values
    np.testing.assert_allclose(half, mixed / np.linalg.norm(mixed), atol=1e-12)


def test_a_large_window_has_fine_patterns_in_its_middle_too():
    found = bank(200, 11)
    fine = found.weights[found.titles.index("edge right, 3 x 3"), 0]
    inside = fine[4:7, 4:7]
    np.testing.assert_allclose(inside, sobel("right").values / np.sqrt(12), atol=1e-12)
    assert np.abs(fine).sum() == pytest.approx(np.abs(inside).sum())
    assert "edge right, 5 x 5" in found.titles


def test_fitting_to_a_size_by_hand():
    np.testing.assert_allclose(fitted(np.array([[0.0, 1.0, 2.0]]), (1, 5)), [[0, 0.4, 1, 1.6, 2]], atol=1e-12)
    np.testing.assert_allclose(fitted(np.array([[1.0, 3.0, 5.0, 9.0]]), (1, 2)), [[2, 7]], atol=1e-12)
    np.testing.assert_allclose(fitted(np.array([[3.0, 0.0, 6.0]]), (1, 2)), [[2, 4]], atol=1e-12)  # half of the middle
    np.testing.assert_allclose(fitted(sobel("up"), 3), sobel("up").values)
    assert abs(fitted(laplacian(4), 8).sum()) < 1e-12
    assert fitted(np.ones((3, 3)), (6, 4)) == pytest.approx(np.ones((6, 4)))


def test_what_has_no_room_is_refused():
    with pytest.raises(OptionError, match=r"in a window of 1 x 1 pixel there is no edge"):
        bank(4, 1, 3)
    with pytest.raises(OptionError, match=r"20 kernels by hand are wanted, and 10 different ones .* 3 x 1 over 1"):
        bank(20, (3, 1))
    assert len(bank(8, (3, 1))) == 8  # only up and down are left there
    with pytest.raises(OptionError, match="at least one filter"):
        bank(0, 3)
