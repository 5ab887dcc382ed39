"""Pictures moved, against slicing, turning by right angles and functions that interpolation keeps."""

from __future__ import annotations

import pytest
import torch

from striate.geometry import Field, bounded, convolved, input_span, spread, unknown_span
from striate.moving import Move, moved, places, sampled


def picture(height: int = 8, width: int = 11) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_shift_is_a_slice():
    images = picture()
    right = moved(images, Move("shift", 3))
    assert torch.equal(right[..., 3:], images[..., :-3])
    assert (right[..., :3] == 0).all()
    down = moved(images, Move("shift", 2, down=True))
    assert torch.equal(down[..., 2:, :], images[..., :-2, :])
    assert (down[..., :2, :] == 0).all()


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_right_angles_turn_against_the_clock(quarters):
    images = picture(9, 9)
    torch.testing.assert_close(moved(images, Move("rotation", 90 * quarters)), torch.rot90(images, quarters, (2, 3)))


def test_nothing_moves_at_nothing():
    for move in (Move("shift", 0), Move("scale", 1), Move("rotation", 0), Move("rotation", 360)):
        torch.testing.assert_close(moved(picture(), move), picture(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("move", [Move("scale", 1.7), Move("scale", 0.6), Move("rotation", 33)])
def test_a_slope_keeps_its_slope(move):
    # bilinear interpolation keeps a + b*row + c*column, so the moved picture can be written down
    rows, columns = torch.meshgrid(torch.arange(12).double(), torch.arange(15).double(), indexing="ij")
    grid = torch.stack([rows, columns], -1)
    found = moved((2 + 0.3 * rows - 0.7 * columns)[None, None], move)[0, 0]
    middle = torch.tensor([5.5, 7.0], dtype=torch.float64)
    away = grid - middle
    if move.kind == "scale":
        source = middle + away / move.amount
    else:
        turn = torch.deg2rad(torch.tensor(move.amount, dtype=torch.float64))
        # a point drawn at angle a from the middle (rows downwards) was at angle a - turn before
        length, angle = away.norm(dim=-1), torch.atan2(-away[..., 0], away[..., 1])
        source = middle + torch.stack([-length * (angle - turn).sin(), length * (angle - turn).cos()], -1)
    inside = ((source >= 0) & (source <= torch.tensor([11.0, 14.0]))).all(-1)
    assert 40 < inside.sum() <= 180
    expected = 2 + 0.3 * source[..., 0] - 0.7 * source[..., 1]
    torch.testing.assert_close(found[inside], expected[inside])


def test_reading_on_a_unit_is_the_unit_itself():
    maps = picture()
    points = torch.tensor([[0.0, 0.0], [7.0, 10.0], [3.0, 4.0]], dtype=torch.float64)
    assert torch.equal(sampled(maps, points), torch.stack([maps[..., 0, 0], maps[..., 7, 10], maps[..., 3, 4]], -1))
    half = sampled(maps, torch.tensor([[3.0, 4.5]], dtype=torch.float64))[..., 0]
    torch.testing.assert_close(half, (maps[..., 3, 4] + maps[..., 3, 5]) / 2)


def layer(size: tuple[int, int], stride: int = 1) -> tuple[Field, tuple[int, int]]:
    """A 3 x 3 convolution with padding 1."""
    units = tuple((side - 1) // stride + 1 for side in size)
    spans = [bounded(convolved(input_span(side), 3, stride, 1), n) for side, n in zip(size, units, strict=True)]
    return Field(spans[0], spans[1], size), (units[0], units[1])


def test_clean_units_by_hand():
    field, size = layer((10, 12))
    at = places(Move("shift", 2), field, size)
    # the moved picture shows old content from column 2 on, and the source is two columns further left;
    # rows 0 and 9 and column 11 touch padding
    clean = {divmod(int(unit), 12) for unit in at.units[at.clean]}
    assert clean == {(row, column) for row in range(1, 9) for column in range(3, 11)}
    assert {divmod(int(unit), 12) for unit in at.units} == {
        (row, column) for row in range(10) for column in range(2, 12)
    }
    assert torch.equal(at.sources[:, 1], at.units % 12 - 2.0)


def test_between_units_both_neighbours_must_be_clean():
    field, size = layer((9, 13), stride=2)  # seven columns, windows -1..1, 1..3, ..., 11..13
    whole = places(Move("shift", 2), field, size)
    assert sorted({int(unit) % 7 for unit in whole.units[whole.clean]}) == [2, 3, 4, 5]
    half = places(Move("shift", 3), field, size)
    assert set((half.sources[:, 1] % 1).tolist()) == {0.5}
    assert sorted({int(unit) % 7 for unit in half.units[half.clean]}) == [3, 4, 5]


def test_what_always_sees_everything_is_never_clean():
    field, size = layer((10, 12))
    gated = Field(spread(field.vertical, 10), spread(field.horizontal, 12), field.picture)
    lost = Field(unknown_span(), unknown_span(), field.picture)
    for one in (gated, lost):
        at = places(Move("rotation", 30), one, size)
        assert len(at.units) > 20
        assert not at.clean.any()


def test_an_unknown_field_divides_the_picture_evenly():
    lost = Field(unknown_span(), unknown_span(), (8, 12))
    at = places(Move("shift", 3), lost, (4, 4))
    # units three pixels apart: exactly one to the left
    assert torch.equal(at.sources[:, 1], at.units % 4 - 1.0)
