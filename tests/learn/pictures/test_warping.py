"""What augmentation does to pixels: against torchvision and scikit-image on the same parameters, loops and formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import transform

from striate.learn.pictures.augment import Augment
from striate.learn.pictures.draws import Draws, Frame, Moves, draw
from striate.learn.pictures.warping import _indexed, brighten, copied, cover, mixed, resized, sampled
from striate.learn.seeds import generator
from striate.synthesis.warps import Warp

KINDS = [(1, 28, 28), (3, 31, 40), (5, 24, 17)]  # channels, height, width


def pictures(channels: int, height: int, width: int, count: int = 4) -> torch.Tensor:
    """Smooth pictures with an edge, so that a shift by a pixel is seen: (N, C, H, W), from 0 to 1."""
    down = torch.linspace(0, 3, height).view(1, 1, -1, 1)
    across = torch.linspace(0, 4, width).view(1, 1, 1, -1)
    phase = torch.arange(count * channels).view(count, channels, 1, 1)
    waves = 0.5 + 0.25 * torch.sin(down + phase) + 0.2 * torch.cos(2 * across - down * phase)
    waves[:, :, height // 3 : height // 2, width // 4 : width // 2] *= 0.3
    return waves


def drawn(images: torch.Tensor, **values: torch.Tensor) -> Draws:
    """Draws of whole pictures with given values."""
    count, _, height, width = images.shape
    window = torch.tensor([[0, 0, height, width]], dtype=torch.float64).repeat(count, 1)
    return Draws(Frame(height, width, (height, width)), window, **values)


def warped(images: torch.Tensor, draws: Draws, border: str | float = 0.0) -> torch.Tensor:
    return sampled(images, draws.theta, draws.frame.size, border)


class TestAgainstTorchvision:
    """Its affine map is sampled with the same rule, zero outside, so that numbers agree to rounding."""

    @pytest.fixture
    def theirs(self):
        return pytest.importorskip("torchvision.transforms.functional")

    def affine(self, theirs, images, index, *, angle=0.0, down=0, across=0, zoom=1.0, lean=0.0):
        return theirs.affine(
            images[index],
            -angle,  # theirs turns clockwise
            [across, down],
            zoom,
            [-lean, 0.0],
            interpolation=theirs.InterpolationMode.BILINEAR,
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_rotation_shear_zoom_and_shift_each_and_together(self, theirs, kind):
        images = pictures(*kind)
        angle = torch.tensor([10.0, -35.0, 90.0, 0.0], dtype=torch.float64)
        zoom = torch.tensor([1.3, 0.7, 1.0, 2.0], dtype=torch.float64)
        lean = torch.tensor([12.0, -20.0, 5.0, 0.0], dtype=torch.float64)
        shift = torch.tensor([[2, -3], [0, 5], [-4, 1], [1, 1]], dtype=torch.float64)
        for names in (["angle"], ["zoom"], ["lean"], ["shift"], ["angle", "zoom", "lean", "shift"]):
            values = {"angle": angle, "zoom": zoom, "lean": lean, "shift": shift}
            found = warped(images, drawn(images, **{name: values[name] for name in names}))
            for index in range(len(images)):
                settings = {name: float(values[name][index]) for name in names if name != "shift"}
                if "shift" in names:
                    settings |= {"down": int(shift[index, 0]), "across": int(shift[index, 1])}
                expected = self.affine(theirs, images, index, **settings)
                assert float((found[index] - expected).abs().max()) < 2e-4, (names, index)

    def test_rotation_is_anticlockwise(self, theirs):
        images = pictures(3, 20, 20)
        angle = torch.full((4,), 90.0, dtype=torch.float64)
        found = warped(images, drawn(images, angle=angle))
        assert torch.allclose(found, torch.rot90(images, 1, (2, 3)), atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_flips_exactly_by_copying_and_nearly_by_sampling(self, theirs, kind):
        images = pictures(*kind)
        across = torch.tensor([True, False, True, False])
        down = torch.tensor([True, True, False, False])
        draws = replace(drawn(images, across=across, down=down), whole=True)
        by_copy = copied(images.permute(0, 2, 3, 1), draws.moves, draws.frame.size, "edge").permute(0, 3, 1, 2)
        for index in range(4):
            expected = theirs.hflip(images[index]) if across[index] else images[index]
            expected = theirs.vflip(expected) if down[index] else expected
            assert torch.equal(by_copy[index], expected)
        assert torch.allclose(warped(images, draws), by_copy, atol=1e-5)

    def test_brightness(self, theirs):
        images = pictures(3, 9, 7)
        factors = torch.tensor([0.5, 1.0, 1.7, 0.0])
        found = brighten(images, factors)
        for index, factor in enumerate(factors.tolist()):
            assert torch.allclose(found[index], theirs.adjust_brightness(images[index], factor), atol=1e-6)
        assert float(found.max()) == 1

    def test_a_crop_is_brought_to_size(self, theirs):
        images = pictures(3, 48, 64)
        box = 8, 12, 30, 40  # top, left, height, width
        window = torch.tensor([box], dtype=torch.float64).repeat(4, 1)
        found = sampled(images, Draws(Frame(48, 64, (24, 20)), window).theta, (24, 20), "edge")
        expected = theirs.resized_crop(
            images, *box, size=[24, 20], interpolation=theirs.InterpolationMode.BILINEAR, antialias=False
        )
        # at the edge of the crop torchvision sees its last pixel again, and this the picture beyond
        assert torch.allclose(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-5)

    @pytest.mark.parametrize("channels", [1, 3, 4, 5])
    def test_boxes_of_bytes_are_resized_as_pillow_does(self, theirs, channels):
        rng = np.random.default_rng(0)
        waves = (pictures(channels, 60, 50, count=6) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
        noise = torch.from_numpy(rng.integers(0, 256, (6, 60, 50, channels), dtype=np.uint8))
        draws = draw(Augment(crop=(0.2, 0.9), flip="both"), 6, 1, frame=Frame(60, 50, (20, 24)))
        assert draws.boxed
        for values in (waves, noise):
            found = resized(values, draws.moves, (20, 24))
            for index, (top, left, height, width) in enumerate(draws.window.int().tolist()):
                bands = (Image.fromarray(values[index, :, :, band].numpy()) for band in range(channels))
                box = top, left, height, width
                cut = [theirs.resized_crop(band, *box, [20, 24]) for band in bands]  # of Pillow pictures: by Pillow
                expected = np.stack([np.asarray(band) for band in cut], axis=2)
                expected = expected[:: -1 if draws.down[index] else 1, :: -1 if draws.across[index] else 1]
                assert np.abs(found[index].numpy().astype(int) - expected).max() <= 1

    def test_a_crop_is_brought_to_size_before_it_is_mirrored_and_turned(self, theirs):
        images = pictures(3, 48, 64)
        box = 8, 12, 30, 40
        window = torch.tensor([box], dtype=torch.float64).repeat(4, 1)
        frame = Frame(48, 64, (30, 40))
        values = {
            "angle": torch.full((4,), 20.0, dtype=torch.float64),
            "across": torch.tensor([True] * 4),
            "shift": torch.tensor([[3.0, -2.0]] * 4, dtype=torch.float64),
        }
        found = sampled(images, Draws(frame, window, **values).theta, frame.size, 0.0)
        cut = images[:, :, 8:38, 12:52].flip(3)
        inside = torch.ones_like(cut)
        for index in range(4):
            expected = self.affine(theirs, cut, index, angle=20.0, down=3, across=-2)
            seen = self.affine(theirs, inside, index, angle=20.0, down=3, across=-2) > 0.999
            assert float((found[index] - expected)[seen].abs().max()) < 2e-4


@pytest.mark.parametrize("kind", KINDS)
def test_turning_and_zooming_are_what_synthesis_calls_so(kind):
    images = pictures(*kind)
    warp = Warp(angles=(20.0,), scales=(1.3,), border="edge")
    theta = warp.draw(len(images), *images.shape[2:], torch.Generator())
    values = {"angle": torch.full((4,), 20.0, dtype=torch.float64), "zoom": torch.full((4,), 1.3, dtype=torch.float64)}
    draws = drawn(images, **values)
    assert torch.allclose(draws.theta, theta, atol=1e-6)
    assert torch.allclose(warped(images, draws, "edge"), warp.apply(images, theta), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_together_against_scikit_image(kind):
    images = pictures(*kind, count=2)
    channels, height, width = kind
    angle, zoom, lean, down, across = 25.0, 1.2, 15.0, 2.5, -3.25
    values = {
        "angle": torch.full((2,), angle, dtype=torch.float64),
        "zoom": torch.full((2,), zoom, dtype=torch.float64),
        "lean": torch.full((2,), lean, dtype=torch.float64),
        "shift": torch.tensor([[down, across]] * 2, dtype=torch.float64),
    }
    # steps in the order of the docstring, about the middle of the picture; its axes are (across, down)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shear = transform.AffineTransform(np.array([[1, math.tan(math.radians(lean)), 0], [0, 1, 0], [0, 0, 1]]))
    steps = (
        transform.AffineTransform(translation=-middle)
        + shear
        + transform.AffineTransform(scale=(zoom, zoom))
        + transform.AffineTransform(rotation=math.radians(-angle))
        + transform.AffineTransform(translation=middle + np.array([across, down]))
    )
    found = warped(images, drawn(images, **values), "edge")
    for picture, one in zip(images.numpy(), found.numpy(), strict=True):
        for channel in range(channels):
            expected = transform.warp(picture[channel], steps.inverse, order=1, mode="edge")
            assert np.abs(expected - one[channel]).max() < 1e-3


class TestCopying:
    """Whole pixels: a loop over pictures and pixels, sampling, and the two ways of copying agree."""

    def by_hand(self, picture, top, left, size, across, down, border):
        height, width = picture.shape[:2]
        out = np.empty((*size, picture.shape[2]), dtype=picture.dtype)
        for row in range(size[0]):
            for column in range(size[1]):
                y = top + (size[0] - 1 - row if down else row)
                x = left + (size[1] - 1 - column if across else column)
                if border == "reflect":
                    y, x = (-1 - y if y < 0 else y), (-1 - x if x < 0 else x)
                    y, x = (2 * height - 1 - y if y >= height else y), (2 * width - 1 - x if x >= width else x)
                elif border != "edge" and not (0 <= y < height and 0 <= x < width):
                    out[row, column] = border
                    continue
                out[row, column] = picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
        return out

    @pytest.mark.parametrize("border", ["edge", "reflect", 0.0, 0.5])
    @pytest.mark.parametrize(("channels", "size"), [(1, (9, 11)), (3, (9, 11)), (3, (6, 5)), (4, (7, 13))])
    def test_against_a_loop(self, border, channels, size):
        rng = np.random.default_rng(0)
        values = rng.integers(0, 256, (8, 9, 11, channels), dtype=np.uint8)
        corner = torch.from_numpy(rng.integers(-3, 4, (8, 2)))
        across, down = (torch.from_numpy(rng.random(8) < 0.5) for _ in range(2))
        moves = Moves(None, corner, None, across, down, None, None, None, 0)
        found = copied(torch.from_numpy(values), moves, size, border, scale=255.0)
        level = round(border * 255) if isinstance(border, float) else border
        for index in range(8):
            top, left = corner[index].tolist()
            expected = self.by_hand(values[index], top, left, size, across[index], down[index], level)
            assert np.array_equal(found[index].numpy(), expected)
        assert torch.equal(found, _indexed(torch.from_numpy(values), moves, size, level))

    @pytest.mark.parametrize("border", ["edge", "reflect", 0.25])
    def test_against_sampling(self, border):
        images = pictures(3, 16, 20, count=50)
        draws = draw(Augment(pad=3, flip="both", border=border), 50, 0, frame=Frame(16, 20, (16, 20)))
        assert draws.whole
        by_copy = copied(images.permute(0, 2, 3, 1), draws.moves, (16, 20), border).permute(0, 3, 1, 2)
        assert torch.allclose(by_copy, warped(images, draws, border), atol=1e-5)

    def test_what_was_given_stays_as_it_was(self):
        values = torch.randint(0, 256, (6, 5, 5, 3), dtype=torch.uint8)
        before = values.clone()
        moves = Moves(None, torch.zeros(6, 2, dtype=torch.int64), None, torch.ones(6).bool(), None, None, None, None, 0)
        assert torch.equal(copied(values, moves, (5, 5), "edge"), before.flip(2))
        assert torch.equal(values, before)


@pytest.mark.parametrize("fill", [0.5, torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)])
def test_a_square_is_covered_also_where_it_reaches_beyond(fill):
    images = pictures(3, 10, 12)
    corner = torch.tensor([[2, 3], [-2, 10], [8, -3], [-9, 0]])
    found = cover(images, corner, 4, fill)
    expected = images.clone()
    level = torch.as_tensor(fill).reshape(-1, 1, 1)
    expected[0, :, 2:6, 3:7] = level
    expected[1, :, 0:2, 10:12] = level
    expected[2, :, 8:10, 0:1] = level
    assert torch.equal(found, expected)
    assert torch.equal(cover(images, corner, 4, torch.as_tensor(fill)), expected)


def test_the_middle_of_a_covered_square_is_anywhere():
    draws = draw(Augment(cutout=0.5), 4000, 0, frame=Frame(8, 12, (8, 12)))
    assert draws.side == 4
    middle = draws.cut + 2
    assert set(middle[:, 0].tolist()) == set(range(8))
    assert set(middle[:, 1].tolist()) == set(range(12))


def test_mixing_by_hand():
    images = torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1, 1).expand(3, 2, 4, 4)
    found, partners = mixed(images, torch.tensor([1.0, 0.75, 0.2]))
    assert partners.tolist() == [2, 0, 1]
    assert torch.allclose(found[:, 0, 0, 0], torch.tensor([0.0, 0.75, 0.5 * 0.2 + 1.0 * 0.8]))


@pytest.mark.parametrize("words", ["rotation=20,shift=0.1", "pad=2,flip", "brightness=0.5", "cutout=0.4"])
def test_each_picture_is_varied_by_itself(words):
    augment = Augment.parse(words)
    images = pictures(3, 16, 16, count=6)
    whole = augment.apply(images, generator(0, "a")).images
    alone = augment.apply(images[:2], generator(0, "a")).images
    assert torch.allclose(whole[:2], alone, atol=1e-6)
    same = augment.apply(images[:1].expand(6, -1, -1, -1), generator(0, "a")).images
    assert len(torch.unique(same.flatten(1), dim=0)) > 3


def test_what_is_seen_of_the_border():
    ones = torch.ones(4, 1, 10, 10)
    shift = torch.tensor([[0.0, 4.0]] * 4, dtype=torch.float64)
    draws = drawn(ones, shift=shift)
    for border, expected in (("edge", 1.0), ("reflect", 1.0), (0.25, 0.25)):
        assert torch.allclose(warped(ones, draws, border)[:, :, :, :4], torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_the_number_type_stays(dtype):
    images = pictures(3, 12, 12).to(dtype)
    for words in ("digits,brightness=0.2,cutout=0.3,mixup=0.2", "small"):
        found = Augment.parse(words).apply(images, generator(0)).images
        assert found.dtype == dtype
        assert found.shape == images.shape


@pytest.mark.gpu
@pytest.mark.parametrize("words", ["digits,brightness=0.3,cutout=0.3,mixup=0.4", "small", "photos", "pad=3,border=0.5"])
def test_a_gpu_gives_what_the_processor_gives(words):
    images = pictures(3, 32, 32, count=16)
    augment = Augment.parse(words)
    here, there = augment.apply(images, generator(0)), augment.apply(images.cuda(), generator(0))
    assert torch.allclose(here.images, there.images.cpu(), atol=1e-4)


def test_a_part_that_is_brought_to_size_is_where_it_would_be_sampled():
    images = pictures(3, 60, 50, count=8)
    draws = draw(Augment(crop=(0.3, 0.5), flip="both"), 8, 0, frame=Frame(60, 50, (40, 40)))
    by_box = resized((images * 255).round().byte().permute(0, 2, 3, 1).contiguous(), draws.moves, (40, 40))
    by_map = sampled(images, draws.theta, (40, 40), "edge").permute(0, 2, 3, 1)
    assert float((by_box.float() / 255 - by_map).abs().mean()) < 0.01
