"""Which layers an atlas takes by itself, of networks that are built in all sorts of ways."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import striate
from atlas.networks import SIZE, pictures
from striate import atlas
from striate.atlas.choosing import choose_features
from striate.choosing import choose_layers


class Encoded(nn.Module):
    """Adds an encoding of positions, which a convolution makes of no picture, and mixes what is at the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 6, 4, stride=4)
        self.encode = nn.Conv2d(2, 6, 1)
        self.flat = nn.BatchNorm1d(6)
        self.mix = nn.LayerNorm(6)
        self.drop = nn.Dropout()
        self.head = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patch(images)
        places = torch.stack(torch.meshgrid(torch.arange(3.0), torch.arange(5.0), indexing="ij"))[None]
        maps = maps + self.encode(places)
        tokens = maps.flatten(2).transpose(1, 2)  # N, T, C
        tokens = self.mix(self.flat(tokens.flatten(0, 1)).view_as(tokens))
        return self.head(self.drop(tokens[:, 0]))


def of(module: nn.Module, size: tuple[int, int] = SIZE) -> striate.Network:
    return striate.Network(module.eval(), striate.InputSpec(1, *size))


def test_words_leave_out_what_is_of_no_picture_or_of_several(tmp_path: Path) -> None:
    network = of(Encoded())
    assert [layer.address for layer in choose_layers(network, None)] == ["patch"]
    assert [layer.address for layer in choose_layers(network, "all")] == ["patch", "drop", "head"]
    made = atlas.build(network, pictures(5), tmp_path / "atlas", layers="all", workers=0)
    assert made.layers == ("patch", "drop", "head")


def test_features_are_what_the_classifier_reads_where_that_is_more_than_a_mean_of_the_map() -> None:
    # as many channels as the map has, and yet something else
    assert [layer.address for layer in choose_features(of(Encoded()), None)] == ["patch", "drop"]
    pooled = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    assert [layer.address for layer in choose_features(of(pooled), None)] == ["1"]


@pytest.mark.parametrize("rectifier", [F.relu, F.dropout])
def test_features_are_found_behind_functions(rectifier: object) -> None:
    class Linears(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(12 * 20, 7)
            self.last = nn.Linear(7, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(rectifier(self.hidden(images.flatten(1))))  # type: ignore[operator]

    assert [layer.address for layer in choose_features(of(Linears()), None)] == ["hidden"]
