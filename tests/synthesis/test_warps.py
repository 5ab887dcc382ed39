"""One affine map for each picture: against rolls, slices, turns and enlargements by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.errors import OptionError
from striate.synthesis.warps import Between, Warp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(4, 3, 24, 30, generator=seeded(7), dtype=torch.float64)


def warped(warp, images, generator=None, size=None):
    theta = warp.draw(len(images), *images.shape[2:], generator or seeded())
    return warp.apply(images, theta, size)


def test_nothing_to_do_is_the_very_same_picture(images):
    warp = Warp()
    assert warp.nothing
    assert warped(warp, images) is images
    assert not Warp(scales=(1.0, 1.1)).nothing
    assert not Warp(angles=Between(0, 5)).nothing
    assert Warp(angles=Between(0, 0), scales=Between(1, 1)).nothing
    # the general way, with a map that does nothing, agrees
    theta = warp.draw(4, 24, 30, seeded())
    torch.testing.assert_close(Warp(jitter=1).apply(images, theta), images, rtol=0, atol=1e-6)


def test_jitter_is_a_roll_in_the_interior(images):
    warp = Warp(jitter=3)
    theta = warp.draw(4, 24, 30, seeded(5))
    moves = (-theta[:, :, 2].double() * torch.tensor([30 / 2, 24 / 2])).round().int().tolist()  # across, down
    assert len({tuple(move) for move in moves}) == 4  # every picture its own
    assert max(abs(part) for move in moves for part in move) <= 3
    found = warp.apply(images, theta)
    for picture, result, (across, down) in zip(images, found, moves, strict=True):
        expected = picture.roll((down, across), (1, 2))
        torch.testing.assert_close(result[:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3], rtol=0, atol=1e-5)


def test_jitter_reaches_every_move_equally_often():
    theta = Warp(jitter=2).draw(5000, 10, 20, seeded())
    for axis, length in ((0, 20), (1, 10)):
        moves, counts = (theta[:, axis, 2] * length / 2).round().unique(return_counts=True)
        assert moves.tolist() == [-2, -1, 0, 1, 2]
        assert counts.min() > 900


@pytest.mark.parametrize(("border", "index"), [("reflection", [1, 0, 0, 1]), ("edge", [0, 0, 0, 1])])
def test_borders_go_on_as_said(border, index):
    picture = torch.rand(1, 2, 6, 6, generator=seeded())
    seen = warped(Warp(pad=2, border=border), picture)
    assert seen.shape == (1, 2, 10, 10)
    torch.testing.assert_close(seen[:, :, 2:8, 2:8], picture, rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0, :, :4, 2:8], picture[0, :, index], rtol=0, atol=1e-5)


def test_a_grey_border_is_grey(images):
    seen = warped(Warp(pad=3, border=0.25), images)
    expected = F.pad(images, (3, 3, 3, 3), value=0.25)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_rot90(quarters):
    picture = torch.rand(2, 3, 17, 17, generator=seeded())
    seen = warped(Warp(angles=(90.0 * quarters,)), picture)
    torch.testing.assert_close(seen, picture.rot90(quarters, (2, 3)), rtol=0, atol=1e-5)


def test_a_turn_of_a_picture_that_is_not_square_keeps_pixels_square(images):
    # seen through a window that is large enough for both ways
    seen = warped(Warp(angles=(90.0,), crop=(30, 30)), images)
    torch.testing.assert_close(seen[..., 3:-3], images.rot90(1, (2, 3)), rtol=0, atol=1e-5)


def test_scale_is_about_the_middle_and_grows():
    rows = torch.arange(21.0).view(1, 1, 21, 1).expand(1, 1, 21, 25)
    seen = warped(Warp(scales=(2.0,)), rows)
    torch.testing.assert_close(seen, 10 + (rows - 10) / 2, rtol=0, atol=1e-4)
    columns = torch.arange(25.0).view(1, 1, 1, 25).expand(1, 1, 21, 25)
    torch.testing.assert_close(warped(Warp(scales=(2.0,)), columns), 12 + (columns - 12) / 2, rtol=0, atol=1e-4)


def test_flip_and_shear():
    picture = torch.rand(1, 1, 9, 9, generator=seeded())
    torch.testing.assert_close(warped(Warp(flip=1.0), picture), picture.flip(3), rtol=0, atol=1e-5)
    # leaning by up to 45 degrees moves a row by at most its distance from the middle, and leaves the middle
    columns = torch.arange(31.0).view(1, 1, 1, 31).expand(50, 1, 31, 31)
    seen = warped(Warp(shear=45.0), columns)
    torch.testing.assert_close(seen[:, :, 15], columns[:, :, 15], rtol=0, atol=1e-4)
    lean = seen[:, 0, 16, 15] - seen[:, 0, 15, 15]
    assert lean.abs().max() <= 1 + 1e-4
    assert lean.min() < -0.5 < 0.5 < lean.max()
    torch.testing.assert_close(seen[:, 0, 20, 15] - 15, 5 * lean, rtol=0, atol=1e-3)


@pytest.mark.parametrize("crop", [(24, 30), (11, 14), (8, 30), (5, 5)])
def test_a_crop_is_a_slice_of_the_picture(crop):
    plane = torch.arange(24.0 * 30).view(1, 1, 24, 30).expand(40, 1, 24, 30)
    seen = warped(Warp(crop=crop), plane)
    assert seen.shape == (40, 1, *crop)
    for picture in seen[:, 0]:
        top, left = divmod(round(picture[0, 0].item()), 30)
        expected = plane[0, 0, top : top + crop[0], left : left + crop[1]]
        torch.testing.assert_close(picture, expected, rtol=0, atol=1e-2)
    corners = {round(picture[0, 0].item()) for picture in seen[:, 0]}
    places = (24 - crop[0] + 1) * (30 - crop[1] + 1)
    assert len(corners) == 1 if places == 1 else len(corners) > min(places, 40) / 3


def test_a_size_resamples_the_same_view(images):
    smooth = F.interpolate(images, scale_factor=4, mode="bilinear", align_corners=False)
    seen = warped(Warp(), smooth, size=(48, 60))
    expected = F.interpolate(smooth, size=(48, 60), mode="bilinear", align_corners=False)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)


EVERYTHING = Warp(
    jitter=4, scales=(0.9, 1.0, 1.2), angles=Between(-20, 20), shear=8.0, flip=0.5, border="reflection", crop=(16, 20)
)


def test_a_batch_is_its_pictures_one_by_one(images):
    generators = [seeded(seed) for seed in range(4)]
    together = warped(EVERYTHING, images, generators)
    for index in range(4):
        alone = warped(EVERYTHING, images[index : index + 1], [seeded(index)])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=0)


def test_the_same_seed_draws_the_same_and_others_do_not():
    first, again, other = (EVERYTHING.draw(3, 24, 30, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).all()


def test_switching_one_thing_on_leaves_the_other_draws():
    plain = Warp(jitter=4).draw(6, 20, 20, seeded())
    turned = Warp(jitter=4, angles=(-10, 10)).draw(6, 20, 20, seeded())
    assert torch.equal(plain[:, :, 2], turned[:, :, 2])


@pytest.mark.parametrize("border", ["reflection", "edge", 0.5])
def test_gradients_are_those_of_finite_differences(border):
    warp = Warp(jitter=2, scales=(0.8, 1.3), angles=(-15, 25), shear=5, border=border)
    pictures = torch.rand(2, 2, 7, 6, generator=seeded(), dtype=torch.float64).requires_grad_()
    theta = warp.draw(2, 7, 6, seeded())
    assert torch.autograd.gradcheck(lambda values: warp.apply(values, theta), (pictures,))


def test_ranges_are_filled():
    theta = Warp(scales=Between(0.5, 2, geometric=True)).draw(4000, 8, 8, seeded())
    scales = 1 / theta[:, 0, 0]
    assert 0.5 <= scales.min() < 0.52
    assert 1.95 < scales.max() <= 2.001
    assert (scales < 1).float().mean() == pytest.approx(0.5, abs=0.03)


def test_half_precision_keeps_its_type():
    picture = torch.rand(1, 3, 8, 8, generator=seeded()).bfloat16()
    seen = warped(Warp(jitter=2), picture)
    assert seen.dtype == torch.bfloat16
    torch.testing.assert_close(seen.float(), warped(Warp(jitter=2), picture.float()), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jitter": -1}, "jitter and pad are pixels"),
        ({"scales": ()}, "scales needs at least one value"),
        ({"scales": (1.0, 0.0)}, "scales must lie above 0, got 0.0"),
        ({"angles": (float("nan"),)}, "angles needs at least one value, all finite"),
        ({"shear": 90}, "below 90"),
        ({"flip": 1.5}, "flip is a probability, got 1.5"),
        ({"crop": (8, 8), "pad": 2}, "not both"),
        ({"border": "mirror"}, "no border 'mirror'; there are reflection, edge"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        Warp(**options)


def test_a_range_that_falls_and_generators_that_are_too_few():
    with pytest.raises(OptionError, match="must rise"):
        Between(2, 1)
    with pytest.raises(OptionError, match="above 0"):
        Between(-1, 1, geometric=True)
    with pytest.raises(OptionError, match="1 generators for 3 pictures"):
        Warp(jitter=1).draw(3, 8, 8, [seeded()])
