"""Which of many pictures look nearly the same: by hashes of 64 bits, then by tiny copies. Reads no files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from striate import progress

__all__ = ["DISTANCE", "RESIDUE", "apart", "close_pairs", "groups", "residues"]

DISTANCE = 7
"""Bits that two hashes may differ by: then one of their four pieces of 16 differs by one at most."""

RESIDUE = 0.04
"""Share of the tiny copies' variance that may differ: copies of photographs saved anew stay below 0.02 down to JPEG
quality 30 and a quarter of the size, two different photographs are above 0.25 (of 1,000 of ImageNet)."""

_PIECES, _WIDTH = 4, 16
_AT_ONCE = 2**21  # pairs that are held at a time
_FLOOR = 4.0**2  # variance that every picture counts for: two that are all but flat differ by their colour
TASK = "looking for pictures that are nearly the same"

Pairs = NDArray[np.int64]


def apart(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits by which hashes differ."""
    different = np.bitwise_xor(one, other)
    if hasattr(np, "bitwise_count"):  # of NumPy 2
        return np.asarray(np.bitwise_count(different))
    pieces = different[..., None].view(np.uint16)
    return np.asarray(_COUNTS[pieces].sum(-1, dtype=np.uint8))


_COUNTS = np.array([number.bit_count() for number in range(2**_WIDTH)], dtype=np.uint8)
_ORDER = np.argsort(np.array([sum(place << (_WIDTH * place) for place in range(_PIECES))], np.uint64).view(np.uint16))
"""Where the pieces of a hash lie in memory, the lowest bits first."""


def close_pairs(hashes: NDArray[np.uint64], distance: int = DISTANCE) -> Pairs:
    """Find all pairs of hashes that differ by few bits.

    Of 64 bits in four pieces, 7 that differ leave one piece with one at most: so only pictures that share a piece, or
    all but one bit of it, are compared. Of 100,000 pictures unlike each other that is one pair in a thousand.

    Args:
        hashes: shape (N,).
        distance: bits, from 0 to 7.

    Returns:
        Shape (P, 2): the smaller index first, each pair once, sorted.

    Raises:
        Stopped: the user asked to stop.
    """
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *_close(hashes, distance)])
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def _close(hashes: NDArray[np.uint64], distance: int) -> Iterator[Pairs]:
    """Yield the pairs of hashes that differ by few bits, many at a time, each pair once."""
    if not 0 <= distance <= DISTANCE:
        raise ValueError(f"distance must be from 0 to {DISTANCE} bits, got {distance}")
    masks = [0, *(1 << bit for bit in range(_WIDTH))]
    steps = [(piece, mask) for piece in range(_PIECES) for mask in masks]
    for piece, mask in progress.track(steps, TASK):
        keys = ((hashes >> np.uint64(_WIDTH * piece)) & np.uint64(2**_WIDTH - 1)).astype(np.int64)
        for left, right in _sharing(keys, mask):
            near = apart(hashes[left], hashes[right]) <= distance
            left, right = left[near], right[near]
            if piece:  # those that share a piece before this one were found by it
                before = (hashes[left] ^ hashes[right])[:, None].view(np.uint16)[:, _ORDER[:piece]]
                new = (_COUNTS[before] > 1).all(axis=1)
                left, right = left[new], right[new]
            yield np.stack([left, right], axis=1)
            progress.check_stop(TASK)


def _sharing(keys: NDArray[np.int64], mask: int) -> Iterator[tuple[Pairs, Pairs]]:
    """Yield the pairs whose keys differ by just this mask, many at a time."""
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum(np.bincount(keys, minlength=2**_WIDTH))
    starts = ends - np.bincount(keys, minlength=2**_WIDTH)
    if mask:
        ours = np.flatnonzero(keys & mask == 0)  # each pair from one of its sides
        partners = keys[ours] ^ mask
        first, last = starts[partners], ends[partners]
    else:
        ours = order
        first, last = np.arange(1, len(keys) + 1), ends[keys[order]]
    many = last - first
    ours, first, many = ours[many > 0], first[many > 0], many[many > 0]
    if not len(ours):
        return
    sums = np.cumsum(many)
    begin = 0
    while begin < len(ours):
        before = sums[begin - 1] if begin else 0
        end = max(int(np.searchsorted(sums, before + _AT_ONCE, side="right")), begin + 1)
        lengths = many[begin:end]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield np.repeat(ours[begin:end], lengths), order[np.repeat(first[begin:end], lengths) + within]
        begin = end


def residues(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much of two tiny copies' variance differs, shape (n,): 0 for the same, about 2 for strangers.

    Args:
        one: shape (n, SIDE, SIDE, 3).
        other: likewise.
    """
    first, second = (values.reshape(len(values), -1, 3).astype(np.float32) for values in (one, other))
    different = np.square(first - second).mean((1, 2))
    variance = (first.var(1).mean(1) + second.var(1).mean(1)) / 2
    return np.asarray(different / (variance + _FLOOR))


def groups(
    hashes: NDArray[np.uint64],
    tiny: NDArray[np.uint8],
    shapes: NDArray[np.float64],
    *,
    distance: int = DISTANCE,
    residue: float = RESIDUE,
) -> list[list[int]]:
    """Find the pictures that are nearly the same.

    Args:
        hashes: perceptual hashes, shape (N,).
        tiny: copies, shape (N, SIDE, SIDE, 3).
        shapes: width over height, shape (N,).
        distance: bits that two hashes may differ by.
        residue: share of the variance that two copies may differ by.

    Returns:
        Groups of at least two, each in order; chains count: of three in a group the first and the last may differ more.
    """
    parent = np.arange(len(hashes))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    def apart_yet(pairs: Pairs) -> Pairs:
        while not np.array_equal(above := parent[parent], parent):
            parent[:] = above
        return np.asarray(pairs[parent[pairs[:, 0]] != parent[pairs[:, 1]]])

    def join(pairs: Pairs) -> None:
        # of a thousand frames of one scene nearly all pairs are of one group before they are looked at
        pairs = apart_yet(pairs)
        for start in range(0, len(pairs), 2**14):
            left, right = apart_yet(pairs[start : start + 2**14]).T
            if not len(left):
                continue
            alike = residues(tiny[left], tiny[right]) <= residue
            alike &= np.abs(np.log(shapes[left] / shapes[right])) < _SHAPE
            for one, other in zip(left[alike].tolist(), right[alike].tolist(), strict=True):
                first, second = sorted((root(one), root(other)))
                parent[second] = first
            progress.check_stop(TASK)

    # pictures with one and the same hash first: of a thousand blank pages one stands for all from here on
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    for run in np.split(order, edges):
        left = run
        while len(left) > 1:
            join(np.stack([np.full(len(left) - 1, left[0]), left[1:]], axis=1))
            left = np.array([index for index in left[1:].tolist() if root(index) != root(int(left[0]))], dtype=np.int64)
    leaders = np.array([index for index in range(len(hashes)) if root(index) == index], dtype=np.int64)
    for pairs in _close(hashes[leaders], distance):  # few at a time: there may be as many as pairs of pictures
        join(leaders[pairs])
    gathered: dict[int, list[int]] = {}
    for index in range(len(hashes)):
        gathered.setdefault(root(index), []).append(index)
    return [members for members in gathered.values() if len(members) > 1]


_SHAPE = 0.06  # of the logarithm of width over height: 6 %
