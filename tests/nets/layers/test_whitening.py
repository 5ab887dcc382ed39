"""The whitening layer: an orthogonal transform of windows with both signs, and answers of about one size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from striate.errors import OptionError
from striate.nets import WhiteningConv2d, initialise


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_patterns_are_orthogonal_and_come_with_both_signs(channels):
    layer = WhiteningConv2d(channels)
    one, other = layer.weight.detach().flatten(1).chunk(2)
    torch.testing.assert_close(one, -other)
    assert len(one) == 4 * channels == one.shape[1]  # as many as the window has numbers: nothing is lost
    lengths = one.norm(dim=1)
    torch.testing.assert_close(one @ one.T, torch.diag(lengths**2), rtol=1e-5, atol=1e-3)


def test_the_first_pattern_is_light_and_the_fifth_red_against_blue():
    weight = WhiteningConv2d(3).weight.detach()
    assert weight[0].std() < 1e-6 * weight[0].mean()
    fifth = weight[4] / weight[4, 0, 0, 0]
    torch.testing.assert_close(fifth, torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 2, 2), rtol=0, atol=1e-6)


def test_its_gain_on_flat_light_by_hand():
    # a window of ones is 2 sqrt(C) along the pattern of light; that is divided by 0.92 of it and the least
    answer = F.conv2d(torch.ones(1, 3, 2, 2), WhiteningConv2d(3).weight.detach())[0, 0]
    assert answer.item() == pytest.approx(math.sqrt(12) / math.hypot(0.92 * math.sqrt(12), 0.022), rel=1e-5)


def test_photographs_come_out_whiter_than_they_go_in(astronaut, chelsea):
    """Answers are as strong as each other within a factor of a few, and hardly go together."""
    small = torch.stack([_small(file) for file in (astronaut, chelsea)])
    standard = (small - small.mean((0, 2, 3), keepdim=True)) / small.std((0, 2, 3), keepdim=True)
    windows = F.unfold(standard, 2).transpose(1, 2).flatten(0, 1)
    answers = WhiteningConv2d(3)(standard)[:, :12].detach().permute(0, 2, 3, 1).flatten(0, 2)
    spread = answers.std(0)
    assert spread.max() / spread.min() < 8
    off = ~torch.eye(12, dtype=torch.bool)
    before, after = (torch.corrcoef(values.T)[off].abs().mean() for values in (windows, answers))
    assert after < 0.3 * before


def _small(file: Path) -> torch.Tensor:
    """Return a photograph as small as those of CIFAR-10, (3, 32, 32) in [0, 1]."""
    with Image.open(file) as picture:
        values = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX))
    return torch.from_numpy(values.copy()).permute(2, 0, 1).float() / 255


def test_no_rule_draws_its_filters():
    layer = WhiteningConv2d(2)
    kept = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(3)
    initialise(layer, "gaussian", torch.Generator().manual_seed(0))
    assert torch.equal(layer.weight, kept)
    assert not layer.bias.any()


def test_channels_are_at_least_one():
    with pytest.raises(OptionError, match=r"channels"):
        WhiteningConv2d(0)
