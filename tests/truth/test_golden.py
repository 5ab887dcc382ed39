"""The answers that can be worked by hand, one row of a table a test: tiny networks, exact numbers.

Most rows are asserted in Captum's and PAIR's own tests too; the variants of Grad-CAM are worked out here from
the convolution's answers to arange(16): channel 0 says -5 4 / 31 40, channel 1 says -30 -21 / 6 15, and the
slopes of the class there are 0 1 / 1 1 and 0 0 / -1 -1.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import striate
from striate import lenses
from truth.nets import ConvOne, Difference, LineSum, Mlp, OneMinusRectifier

CLASS = "class:0"


def network(module: nn.Module, height: int, width: int) -> striate.Network:
    """Wrap a network of one channel whose pixels are taken as they are: black is 0."""
    spec = striate.InputSpec(channels=1, height=height, width=width, mean=(0.0,), std=(1.0,))
    return striate.Network(module.eval(), spec=spec)


def rows(text: str) -> Tensor:
    """Read "1 2/3 4" as a map (1, H, W)."""
    return torch.tensor([[float(number) for number in row.split()] for row in text.split("/")])[None]


def conv_one() -> striate.Network:
    return network(ConvOne(), 4, 4)


def ramp(add: float = 0.0) -> Tensor:
    return torch.arange(16.0).view(1, 1, 4, 4) + add


@pytest.mark.parametrize(("add", "answer"), [(0, 54.0), (1, 67.0)])
def test_the_network_answers_as_it_should(add, answer):
    assert conv_one()(ramp(add))[0, 0] == answer


def test_saliency_of_one_minus_rectifier():
    # six pictures of one pixel each; at 1 exactly the rectifier counts as closed
    pixels = torch.tensor([1.0, 2, 3, 0, -1, 7]).view(6, 1, 1, 1)
    heatmap = lenses.saliency(network(OneMinusRectifier(), 1, 1), pixels, CLASS)
    torch.testing.assert_close(heatmap.scores.flatten(), torch.tensor([0.0, 0, 0, 1, 1, 0]), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rule", "add", "answer"),
    [
        ("gradient", 0, "0 1 1 1/0 1 1 1/0 1 1 1/0 0 0 0"),
        ("guided", 0, "0 1 1 1/1 3 3 2/1 3 3 2/1 2 2 1"),
        ("guided", 1, "1 2 2 1/2 4 4 2/2 4 4 2/1 2 2 1"),
        ("deconvnet", 0, "2 3 3 1/3 5 5 2/3 5 5 2/1 2 2 1"),
        ("deconvnet", 1, "2 3 3 1/3 5 5 2/3 5 5 2/1 2 2 1"),
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_saliency_of_conv_one(rule, add, answer, signed):
    heatmap = lenses.saliency(conv_one(), ramp(add), CLASS, rule=rule, signed=signed)
    torch.testing.assert_close(heatmap.scores, rows(answer), rtol=0, atol=0)


def test_input_x_gradient_of_conv_one():
    heatmap = lenses.input_x_gradient(conv_one(), ramp(), CLASS)
    torch.testing.assert_close(heatmap.scores, rows("0 1 2 3/0 5 6 7/0 9 10 11/0 0 0 0"), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layer", "add", "variant", "answer"),
    [
        ("conv1", 0, "grad-cam", "11.25 13.5/20.25 22.5"),
        ("conv1", 1, "grad-cam", "14.5 19/32.5 37"),
        ("relu1", 0, "grad-cam", "0 4/28 32.5"),
        ("conv1", 0, "hires-cam", "0 4/25 25"),
        ("conv1", 0, "layer-cam", "0 4/31 40"),
        # channel 0 weighs three slopes of 1, each 1 / (2 + sum of the map) = 1/72; channel 1 has none above 0
        ("conv1", 0, "grad-cam++", f"{-5 / 24} {4 / 24}/{31 / 24} {40 / 24}"),
    ],
)
def test_grad_cam_of_conv_one(layer, add, variant, answer):
    heatmap = lenses.grad_cam(conv_one(), ramp(add), CLASS, layer=layer, variant=variant, relu=False)
    torch.testing.assert_close(heatmap.native, rows(answer), rtol=1e-6, atol=0)
    rectified = lenses.grad_cam(conv_one(), ramp(add), CLASS, layer=layer, variant=variant)
    torch.testing.assert_close(rectified.native, rows(answer).relu(), rtol=1e-6, atol=0)


def test_guided_grad_cam_of_conv_one():
    heatmap = lenses.grad_cam(conv_one(), ramp(), CLASS, layer="relu1", guided=True, placement="stretch")
    answer = rows("0 1 3 4/7 24.0938 30.2812 22.25/21 66.2812 72.8438 50.75/28 58.25 62.75 32.5")
    torch.testing.assert_close(heatmap.scores, answer, rtol=0, atol=1e-4)


@pytest.mark.parametrize("early", [True, False])
def test_integrated_gradients_see_the_function_and_not_its_formula(early):
    pixels = torch.tensor([3.0, 1.0]).view(1, 1, 1, 2)
    heatmap = lenses.integrated_gradients(network(Difference(early=early), 1, 2), pixels, CLASS, steps=500)
    torch.testing.assert_close(heatmap.scores.flatten(), torch.tensor([1.5, -0.5]), rtol=0, atol=0.01)
    assert abs(heatmap.details["completeness_error"][0]) < 0.07


@pytest.mark.parametrize(
    ("pixels", "answer", "tolerance"),
    [
        ((1.5, 2.0, 1.3), (4.5, 6.0, 3.9), 1e-5),  # the first unit sleeps all the way: linear
        ((0.5, 0.1, 2.3), (1.5, 0.3, 6.9), 1e-5),
        ((20.0, 50.0, 30.0), (78.0, 195.0, 117.0), 0.05),  # it wakes at a tenth of the way, between two steps
    ],
)
def test_integrated_gradients_of_the_perceptron(pixels, answer, tolerance):
    images = torch.tensor(pixels).view(1, 1, 1, 3)
    heatmap = lenses.integrated_gradients(network(Mlp(), 1, 3), images, CLASS, steps=500)
    torch.testing.assert_close(heatmap.scores.flatten(), torch.tensor(answer), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("steps", "total", "error"), [(50, 53.329, -0.671), (500, 53.785, -0.215)])
def test_integrated_gradients_of_conv_one_by_gauss_and_legendre(steps, total, error):
    heatmap = lenses.integrated_gradients(conv_one(), ramp(), CLASS, steps=steps)
    assert heatmap.scores.sum().item() == pytest.approx(total, abs=1e-3)
    assert heatmap.details["completeness_error"][0] == pytest.approx(error, abs=1e-3)


def test_integrated_gradients_of_a_smooth_function():
    # measured from (0.5, 1, 1), so that the way from 0 leads from there to (1, 2, 3)
    pixels = torch.tensor([0.5, 1.0, 2.0]).view(1, 1, 1, 3)
    heatmap = lenses.integrated_gradients(network(LineSum(), 1, 3), pixels, CLASS, steps=20)
    answer = torch.tensor([2.5, 3.0, math.sin(3) - math.sin(1)])
    torch.testing.assert_close(heatmap.scores.flatten(), answer, rtol=1e-5, atol=1e-5)
