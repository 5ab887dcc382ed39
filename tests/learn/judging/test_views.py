"""Several views of a picture: their logits by hand, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate import learn
from striate.cli import main
from striate.dataset import open as open_pictures
from striate.errors import OptionError
from striate.learn.judging.views import asked_in
from striate.network import Network
from striate.spec import InputSpec

PICTURES = torch.arange(2 * 1 * 3 * 4, dtype=torch.float32).view(2, 1, 3, 4).sqrt()


def corner(images):
    """What stands at the top left and at the bottom right: a moved or mirrored picture has something else there."""
    return torch.stack([images[:, 0, 0, 0], images[:, 0, -1, -1]], 1)


def test_one_view_is_the_picture_itself():
    assert torch.equal(asked_in("one", corner, PICTURES), corner(PICTURES))


def test_the_mirror_image_counts_half():
    expected = (corner(PICTURES) + corner(PICTURES.flip(3))) / 2
    torch.testing.assert_close(asked_in("mirror", corner, PICTURES), expected)


def test_six_views_by_hand():
    """Moved by a pixel each way with the edge mirrored, both also mirrored: an eighth each, the unmoved a quarter."""
    wide = torch.from_numpy(np.pad(PICTURES.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"))
    expected = 0.25 * (corner(PICTURES) + corner(PICTURES.flip(3)))
    for view in (wide[:, :, :-2, :-2], wide[:, :, 2:, 2:]):
        expected = expected + 0.125 * (corner(view) + corner(view.flip(3)))
    torch.testing.assert_close(asked_in("six", corner, PICTURES), expected)


def test_views_that_cannot_be():
    with pytest.raises(OptionError, match="no views 'twelve'; there are one, mirror, six"):
        asked_in("twelve", corner, PICTURES)
    with pytest.raises(OptionError, match="only one"):
        asked_in("six", corner, PICTURES[:, :, :1])


class Left(nn.Module):
    """Says how bright the left half is, and how bright the right."""

    def forward(self, images):
        half = images.shape[3] // 2
        return torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], 1)


def test_a_network_that_tells_left_from_right_cannot_do_so_by_its_mirror(tmp_path):
    pictures = np.zeros((4, 6, 6, 1), np.uint8)
    pictures[:2, :, :3] = 255
    pictures[2:, :, 3:] = 255
    np.savez(tmp_path / "halves.npz", x=pictures, y=np.array([0, 0, 1, 1]))
    network = Network(Left(), InputSpec(1, 6, 6))
    held = open_pictures(tmp_path / "halves.npz")
    assert learn.evaluate(network, held).accuracy == 1.0
    both = learn.evaluate(network, held, views="mirror")
    np.testing.assert_allclose(both.probabilities, 0.5)
    assert both.recipe.options["views"] == "mirror"


def test_the_command_asks_in_the_views_that_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 255, (6, 12, 12, 1), np.uint8)
    np.savez("six.npz", x=pictures, y=np.arange(6) % 2)
    source = "striate:sequential,1x12x12,conv 4 3x3 relu,flatten,dense 2"
    for views in ("one", "six"):
        assert main(["evaluate", source, "six.npz", "--views", views, "--out", views]) == 0
    one, six = (np.load(tmp_path / name / "predictions.npz")["probabilities"] for name in ("one", "six"))
    assert not np.allclose(one, six)
