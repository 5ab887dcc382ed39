"""Move, brighten, cover and mix the pixels of a batch, as it was drawn. Draws nothing itself.

Where pixels only move by whole ones they are copied, as bytes, before they become numbers: a hundredth of the cost of
sampling. On the CPU numpy copies windows line by line; on other devices one indexing does. Parts that are only brought
to size are resized as bytes on the CPU, which takes a twentieth of the time, and averages where they shrink.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.learn.pictures.draws import Moves

__all__ = ["brighten", "copied", "cover", "mixed", "resized", "sampled"]


def sampled(images: Tensor, theta: Tensor, size: tuple[int, int], border: str | float) -> Tensor:
    """Return pictures through their maps, sampled once, bilinearly.

    Args:
        images: (B, C, H, W), float32.
        theta: (B, 2, 3); see `striate.learn.pictures.draws.Draws.theta`.
        size: height and width of what is returned.
        border: "edge", "reflect" or a level.

    Returns:
        (B, C, *size), float32.
    """
    grid = _grid(theta.to(images.device), size)
    if border == "edge":
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if border == "reflect":
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    level = float(border)
    if not level:
        return F.grid_sample(images, grid, align_corners=False)
    return F.grid_sample(images - level, grid, align_corners=False) + level


def _grid(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what `affine_grid` does, (B, h, w, 2): rows and columns are added, where it multiplies every pixel."""
    columns, rows = (
        (torch.arange(side, device=theta.device, dtype=theta.dtype) * 2 + 1) / side - 1 for side in size[::-1]
    )
    across = theta[:, :, 0, None] * columns  # (B, 2, w)
    down = torch.addcmul(theta[:, :, 2, None], theta[:, :, 1, None], rows)  # (B, 2, h)
    return (across.unsqueeze(2) + down.unsqueeze(3)).permute(0, 2, 3, 1)


def copied(pictures: Tensor, moves: Moves, size: tuple[int, int], border: str | float, *, scale: float = 1.0) -> Tensor:
    """Return a part of each picture, mirrored where that was drawn, without sampling.

    Args:
        pictures: (B, H, W, C), any type.
        moves: with corners of whole pixels.
        size: height and width of the parts.
        border: "edge", "reflect" or a level.
        scale: by which a level is multiplied (255 for bytes).

    Returns:
        (B, *size, C), of that type.
    """
    assert moves.corner is not None
    level = border if isinstance(border, str) else border * scale
    if not isinstance(level, str) and not pictures.dtype.is_floating_point:
        level = round(level)
    if pictures.device.type != "cpu" or pictures.dtype == torch.bfloat16:  # which numpy lacks
        return _indexed(pictures, moves, size, level)
    parts = torch.from_numpy(_windows(pictures.numpy(), moves.corner.numpy(), size, level))
    return _mirrored(parts.clone() if parts.data_ptr() == pictures.data_ptr() else parts, moves)


def resized(pictures: Tensor, moves: Moves, size: tuple[int, int]) -> Tensor:
    """Return the box of each picture brought to a size, averaged where it shrinks, and mirrored where that was drawn.

    Args:
        pictures: (B, H, W, C), uint8, on the CPU, where PyTorch resizes bytes fast.
        moves: with boxes.
        size: height and width of what is returned.

    Returns:
        (B, *size, C), uint8.
    """
    assert moves.box is not None
    out = pictures.new_empty(len(pictures), *size, pictures.shape[3])
    for picture, part, (top, left, height, width) in zip(pictures, out, moves.box.tolist(), strict=True):
        box = picture[top : top + height, left : left + width].permute(2, 0, 1).unsqueeze(0)
        found = F.interpolate(box, size, mode="bilinear", antialias=True, align_corners=False)
        part.copy_(found[0].permute(1, 2, 0))
    return _mirrored(out, moves)


def _mirrored(pictures: Tensor, moves: Moves) -> Tensor:
    """Mirror those pictures (B, H, W, C) for which it was drawn, in place."""
    for mirrored, axis in ((moves.down, 1), (moves.across, 2)):
        if mirrored is not None and bool(mirrored.any()):
            pictures[mirrored] = pictures[mirrored].flip(axis)
    return pictures


def _indexed(pictures: Tensor, moves: Moves, size: tuple[int, int], border: str | float) -> Tensor:
    """Copy by one indexing, on any device."""
    assert moves.corner is not None
    count = len(pictures)
    places, outside = [], []
    for axis, mirrored in enumerate((moves.down, moves.across)):
        wanted, length = size[axis], pictures.shape[1 + axis]
        steps = torch.arange(wanted, device=pictures.device).expand(count, -1)
        if mirrored is not None:
            steps = torch.where(mirrored[:, None], wanted - 1 - steps, steps)
        place = moves.corner[:, axis, None] + steps  # (B, wanted)
        outside.append((place < 0) | (place >= length))
        if border == "reflect":  # the picture and its mirror image, again and again
            place = place.remainder(2 * length)
            place = torch.where(place >= length, 2 * length - 1 - place, place)
        places.append(place.clamp(0, length - 1))
    which = torch.arange(count, device=pictures.device)
    found = pictures[which[:, None, None], places[0][:, :, None], places[1][:, None, :]]
    if isinstance(border, str):
        return found
    beyond = outside[0][:, :, None, None] | outside[1][:, None, :, None]
    return found.masked_fill_(beyond, border)


def _windows(
    pictures: NDArray[Any], corner: NDArray[np.int64], size: tuple[int, int], border: str | float
) -> NDArray[Any]:
    """Copy by numpy, which moves whole lines where it is shown all windows of all pictures at once."""
    before = np.maximum(-corner.min(0, initial=0), 0)
    after = np.maximum((corner + size).max(0, initial=0) - pictures.shape[1:3], 0)
    if before.any() or after.any():
        pictures = _padded(pictures, before, after, border)
        corner = corner + before
    elif pictures.shape[1:3] == size:
        return pictures
    count, height, width, channels = pictures.shape
    lines = np.ascontiguousarray(pictures).reshape(count, height, width * channels)
    by_picture, by_line, by_value = lines.strides
    windows = np.lib.stride_tricks.as_strided(
        lines,
        (count, height - size[0] + 1, width - size[1] + 1, size[0], size[1] * channels),
        (by_picture, by_line, channels * by_value, by_line, by_value),
        writeable=False,
    )
    return np.asarray(windows[np.arange(count), corner[:, 0], corner[:, 1]]).reshape(count, *size, channels)


def _padded(pictures: NDArray[Any], before: NDArray[Any], after: NDArray[Any], border: str | float) -> NDArray[Any]:
    room = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
    if border == "edge":
        return np.pad(pictures, room, mode="edge")
    if border == "reflect":
        return np.pad(pictures, room, mode="symmetric")
    return np.pad(pictures, room, constant_values=border)


def brighten(images: Tensor, factors: Tensor) -> Tensor:
    """Return pictures (B, C, H, W) from 0 to 1, each multiplied by its factor and clipped."""
    return (images * factors.view(-1, 1, 1, 1)).clamp_(0, 1)


def cover(images: Tensor, corner: Tensor, side: int, fill: Tensor | float = 0.0) -> Tensor:
    """Return pictures with a square of each covered.

    Args:
        images: (B, C, H, W).
        corner: top and left of the squares, (B, 2); what lies outside the picture covers nothing.
        side: of the squares, in pixels.
        fill: what they show: a level, or a tensor that broadcasts to the pictures.
    """
    height, width = images.shape[2:]
    if images.device.type == "cpu" and images.dtype != torch.bfloat16 and not isinstance(fill, Tensor):
        covered = images.clone()
        values = covered.numpy()
        for picture, (top, left) in zip(values, corner.tolist(), strict=True):
            picture[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = fill
        return covered
    inside = []
    for axis, length in enumerate((height, width)):
        places = torch.arange(length, device=images.device)
        first = corner[:, axis, None].to(images.device)
        inside.append((places >= first) & (places < first + side))  # (B, H) and (B, W)
    where = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    if isinstance(fill, Tensor):
        return torch.where(where, fill.to(images.device, images.dtype), images)
    return images.masked_fill(where, fill)


def mixed(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mix each picture of a batch with the one before it (the first with the last).

    Args:
        images: (B, C, H, W).
        weight: share of the picture itself, (B,), float32.

    Returns:
        The mixed pictures, and which picture was mixed into each, (B,), int64.
    """
    partners = torch.arange(len(images), device=images.device).roll(1)
    weight = weight.to(images.device, images.dtype).view(-1, 1, 1, 1)
    whole = images.permute(0, 2, 3, 1)  # so that channels stay last in memory where they are
    return torch.lerp(whole.roll(1, 0), whole, weight).permute(0, 3, 1, 2), partners
