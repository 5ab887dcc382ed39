"""Canvases: a known spectrum, lucid's constants, the way there and back."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from striate.synthesis.canvas import COLOURS, Fourier, Pixels

SIZES = [(3, 16, 16), (1, 9, 14), (5, 12, 7)]


def generators(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_the_colours_are_lucids():
    # the longest column of the matrix has the length sqrt(0.26^2 + 0.27^2 + 0.27^2) = 0.4620
    longest = math.sqrt(0.26**2 + 2 * 0.27**2)
    expected = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]]) / longest
    torch.testing.assert_close(COLOURS, expected)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 3), (2, 1), (-1, 4), (3, 0)])
def test_one_coefficient_is_one_wave(row, column):
    height, width = 12, 16
    canvas = Fourier(1, height, width)
    parameters = torch.zeros(1, 1, height, width // 2 + 1, 2)
    parameters[0, 0, row, column, 0] = 0.7
    down, across = torch.arange(height)[:, None] / height, torch.arange(width)[None] / width
    wave = torch.cos(2 * math.pi * (row * down + column * across))
    # divided by its frequency (at least that of one wave over the longer side); a wave stands for two coefficients
    # where its opposite has no place of its own in the half that is kept
    frequency = max(math.hypot(row / height, column / width), 1 / 16)
    doubled = 1 if column in (0, width // 2) else 2
    values = 0.7 * doubled * wave / frequency / math.sqrt(height * width) / 4
    torch.testing.assert_close(canvas.render(parameters)[0, 0], torch.sigmoid(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (9, 14)])
def test_the_same_spectrum_gives_lucents_picture(size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lucent.optvis import param

        (spectrum,), render = param.image(size[1], size[0], batch=2)
        expected = render().detach()
    canvas = Fourier(3, *size)
    torch.testing.assert_close(canvas.render(spectrum.detach()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SIZES)
def test_pictures_come_back(shape):
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).clamp(0.01, 0.99)
    for canvas in (Fourier(*shape), Pixels(*shape)):
        torch.testing.assert_close(canvas.render(canvas.of(images)), images, rtol=1e-4, atol=1e-5)


def test_black_and_white_come_back_within_a_level_of_eight_bits():
    images = torch.tensor([0.0, 1.0]).repeat(8, 4)[None, None].repeat(1, 3, 1, 1)
    canvas = Fourier(3, 8, 8)
    assert float((canvas.render(canvas.of(images)) - images).abs().max()) < 1 / 255


@pytest.mark.parametrize("shape", SIZES)
def test_noise_is_each_pictures_own(shape):
    centre = torch.full((shape[0], 1, 1), 0.5)
    for canvas, deviation in ((Fourier(*shape), 0.01), (Pixels(*shape), 10 / 255)):
        both = canvas.noise(generators(2), deviation, centre)
        alone = canvas.noise(generators(2)[1:], deviation, centre)
        assert torch.equal(both[1:], alone)
        picture = canvas.render(both)
        assert picture.shape == (2, *shape)
        assert 0 < float(picture.min()) <= float(picture.max()) < 1


def test_three_channels_come_out_channels_last():
    assert Fourier(3, 8, 8).render(torch.zeros(2, 3, 8, 5, 2)).is_contiguous(memory_format=torch.channels_last)


def test_pixels_are_cut_off():
    canvas = Pixels(1, 1, 3)
    assert canvas.inside(torch.tensor([-0.5, 0.4, 1.5])).tolist() == pytest.approx([0.0, 0.4, 1.0])
