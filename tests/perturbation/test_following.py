"""Operations in the forms that networks seldom use: windows alone give what whole pictures give, or are not used."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import striate
from striate.perturbation.patches import Patches, patch_scores
from striate.perturbation.readout import Scored, spread

HEIGHT, WIDTH = 11, 13


class Odd(nn.Module):
    """A convolution, the operation in question, and a head to which every place matters."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.odd(functional.conv2d(images, self.kernels, padding=1))
        places = torch.linspace(-1, 1, maps[0].numel(), dtype=maps.dtype).view(1, *maps.shape[1:])
        values = (maps.sin() * places).flatten(1)
        return torch.stack([values.sum(1), values.cumsum(1).amax(1)], dim=1)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernels = nn.Parameter(torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64) / 3)
        self.matrix = nn.Parameter(torch.randn(4, 4, generator=generator, dtype=torch.float64) / 2)
        self.noise = nn.Parameter(torch.randn(4, HEIGHT, WIDTH, generator=generator, dtype=torch.float64))

    def odd(self, maps: Tensor) -> Tensor:
        raise NotImplementedError


class ByColumn(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps * self.noise[0, 0]  # (W,)


class ByRow(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps + self.noise[0, :, :1]  # (H, 1)


class ByPlace(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps * self.noise[1]  # (H, W)


class ByEverything(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return torch.where(self.noise > 0, maps, -maps)  # (C, H, W)


class ByColumnChannelsLast(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1) * self.noise[:, 0].T  # (W, C)


class OneChannelByPlace(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return (maps[:, 1] * self.noise[2])[:, None] + maps


class MoreDimensions(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        both = maps.unsqueeze(1) * self.noise[:2, None, :1]  # (N, 2, C, H, W)
        return both.flatten(1, 2)


class Pixels(Odd):
    """A network of one pixel at a time, by way of channels last: no vector of the picture in the middle."""

    def odd(self, maps: Tensor) -> Tensor:
        maps = functional.linear(maps.permute(0, 2, 3, 1), self.matrix).relu()
        return functional.linear(maps, self.matrix.T).permute(0, 3, 1, 2)


class AddedProducts(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        tokens = maps.permute(0, 2, 3, 1).reshape(-1, 4)
        tokens = torch.addmm(tokens, tokens.relu(), self.matrix)
        return tokens.view(len(maps), HEIGHT, WIDTH, 4)


class BackToWhereTheMaximaWere(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        pooled, places = functional.max_pool2d(maps, 2, return_indices=True)
        return functional.max_unpool2d(pooled, places, 2, output_size=(HEIGHT, WIDTH))


class AlmostThrice(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return functional.interpolate(maps, scale_factor=3.02, mode="nearest")


class TwiceAndThrice(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return functional.interpolate(maps, size=(2 * HEIGHT, 3 * WIDTH), mode="nearest")


class MeanOfAll(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps - 0 * maps.mean()


class NormalisedRows(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        mean, variance = self.noise[0, :, 0], self.noise[0, :, 1].square() + 0.5
        return functional.batch_norm(maps[:, 0], mean, variance)[:, None]


class PooledWithoutChannels(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        means = functional.avg_pool2d(maps[:, 0], 3, 1, 1, count_include_pad=False)
        return (means + functional.max_pool2d(maps[:, 1], 3, 1, 1))[:, None]


class SideBySide(Odd):
    """Pictures as channels: a normalisation of each by its own places, written by hand."""

    def odd(self, maps: Tensor) -> Tensor:
        wide = maps.contiguous().view(1, -1, 1, HEIGHT, WIDTH)
        return functional.batch_norm(wide, None, None, training=True).view(maps.shape)


class Strided(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        maps = maps.contiguous()
        down, across = maps.stride()[1:3]
        return maps.as_strided((len(maps), 4, HEIGHT, WIDTH - 1), (maps.stride(0), down, across, 1))


class CutUnevenly(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return functional.pad(maps, (-2, 3, 1, -4), value=0.5)[:, :, 1::3, 2:-1:2]


class Turned(Odd):
    def odd(self, maps: Tensor) -> Tensor:
        return maps.transpose(2, 3)[:, :, ::2] * self.noise[0].T[::2]


CASES = [
    ByColumn, ByRow, ByPlace, ByEverything, ByColumnChannelsLast, OneChannelByPlace, MoreDimensions, Pixels,
    AddedProducts, BackToWhereTheMaximaWere, AlmostThrice, TwiceAndThrice, MeanOfAll, NormalisedRows,
    PooledWithoutChannels, SideBySide, CutUnevenly, Turned,
]  # fmt: skip


def scored(module: nn.Module, image: Tensor, *, incremental: bool) -> Scored:
    network = striate.Network(module.eval(), striate.InputSpec(2, HEIGHT, WIDTH, mean=(0.5,), std=(0.25,)))
    boxes = [(0, 0, 3, 3), (4, 5, 7, 8), (8, 10, 11, 13), (0, 10, 2, 13), (5, 0, 6, 2), (2, 3, 9, 5), (10, 6, 11, 7)]
    patches = Patches(torch.tensor(boxes), torch.full_like(image[0], -2.0))
    _, targets, _ = spread(network, image, [0, 1])
    return patch_scores(network, image, patches, targets, incremental=incremental)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("kind", CASES)
def test_windows_give_what_whole_pictures_give(kind, image):
    plain = scored(kind(), image, incremental=False)
    assert plain.values.std(0).min() > 1e-3  # the patches matter
    found = scored(kind(), image, incremental=True)
    assert found.details["incremental"], found.details.get("why")
    torch.testing.assert_close(found.values, plain.values, rtol=0, atol=1e-5)


def test_what_depends_on_the_order_in_memory_is_not_followed(image):
    plain, found = (scored(Strided(), image, incremental=way) for way in (False, True))
    assert found.details["why"] == "aten::as_strided depends on how numbers lie in memory"
    torch.testing.assert_close(found.values, plain.values, rtol=0, atol=1e-6)


class Constants(Odd):
    """What it adds is a number in double precision, or one in single precision: neither changes the type of a map."""

    def odd(self, maps: Tensor) -> Tensor:
        return maps * torch.tensor(2.0, dtype=torch.float32) + 1


def test_numbers_stay_numbers(image):
    assert scored(Constants(), image, incremental=True).details["opened"].get("mul") is None


class Unseen(nn.Module):
    """A convolution with a stride, which does not see every pixel, enlarged; what follows tells places apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(2, 4, 1, stride=2), nn.Conv2d(4, 3, 3, padding=1)
        self.noise = nn.Parameter(torch.randn(12, 14))

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.interpolate(self.first(images), scale_factor=2, mode="nearest") * self.noise
        return self.second(maps).sin().mean((2, 3))


def test_patches_that_change_nothing():
    image = torch.randn(1, 2, 12, 14, generator=torch.Generator().manual_seed(2))
    network = striate.Network(Unseen().eval(), striate.InputSpec(2, 12, 14, mean=(0.5,), std=(0.25,)))
    boxes = torch.tensor([(row, column, row + 1, column + 1) for row in (1, 5) for column in (3, 7)])
    _, targets, _ = spread(network, image, [0, 1])
    found = patch_scores(network, image, Patches(boxes, torch.full_like(image[0], -2.0)), targets)
    assert found.details["incremental"], found.details.get("why")
    torch.testing.assert_close(found.values, found.clean.expand(4, -1), rtol=0, atol=1e-6)
