"""Pictures that are nearly the same: the search against brute force, the hash against what saving anew does."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from striate import dataset, progress
from striate.errors import Stopped
from striate.learn.checking import similar
from striate.learn.checking.inspecting import SIDE, inspect, perceptual_hash


def hashes(count: int, seed: int = 0) -> np.ndarray:
    """Random hashes, a third of them near to others: by 0 to 12 bits."""
    generator = np.random.default_rng(seed)
    found = generator.integers(0, 2**64, count, dtype=np.uint64)
    for place in range(count // 3):
        flipped = generator.choice(64, generator.integers(0, 13), replace=False).astype(np.uint64)
        mask = np.bitwise_or.reduce(np.uint64(1) << flipped) if len(flipped) else np.uint64(0)
        found[place] = found[count - 1 - place] ^ np.uint64(mask)
    return found


@pytest.mark.parametrize("distance", [0, 3, 7])
def test_the_search_finds_what_comparing_all_with_all_finds(distance):
    many = hashes(1500)
    many[700:730] = many[3]  # one hash that many have
    bits = np.unpackbits(many[:, None].view(np.uint8), axis=1).astype(np.int16)
    apart = 64 - bits @ bits.T - (1 - bits) @ (1 - bits).T
    expected = [pair for pair in np.argwhere(apart <= distance).tolist() if pair[0] < pair[1]]
    assert similar.close_pairs(many, distance).tolist() == expected
    assert len(expected) > 400


def test_bits_are_counted_alike_with_and_without_numpy_2(monkeypatch):
    one, other = hashes(50), hashes(50, seed=1)
    expected = [(int(a) ^ int(b)).bit_count() for a, b in zip(one, other, strict=True)]
    assert similar.apart(one, other).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert similar.apart(one, other).tolist() == expected


def test_a_hundred_thousand_are_searched_in_seconds():
    many = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64)
    many[50_000:50_100] = many[:100] ^ np.uint64(0b111 << 20)
    started = time.process_time()
    found = similar.close_pairs(many)
    assert time.process_time() - started < 10  # comparing all with all takes minutes
    assert found.tolist() == [[place, 50_000 + place] for place in range(100)]


def test_many_blank_pages_are_one_group_and_cost_no_square():
    tiny = np.full((20_000, SIDE, SIDE, 3), 255, dtype=np.uint8)
    tiny[::2] = 20  # black ones, which have the same hash
    started = time.process_time()
    found = similar.groups(np.zeros(20_000, dtype=np.uint64), tiny, np.ones(20_000))
    assert time.process_time() - started < 10
    assert sorted(map(len, found)) == [10_000, 10_000]


def test_frames_of_one_scene_are_one_group_and_are_not_all_compared(monkeypatch):
    generator = np.random.default_rng(0)
    flips = [generator.choice(64, 3, replace=False) for _ in range(1500)]  # two of them differ by 6 bits at most
    frames = np.unique([np.bitwise_or.reduce(np.uint64(1) << flip.astype(np.uint64)) for flip in flips])
    tiny = np.tile(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), (len(frames), 1, 1, 1))
    compared = []
    residues = similar.residues
    monkeypatch.setattr(similar, "residues", lambda one, other: (compared.append(len(one)), residues(one, other))[1])
    assert similar.groups(frames, tiny, np.ones(len(frames))) == [list(range(len(frames)))]
    assert len(frames) > 1400
    assert sum(compared) < 300_000  # there are a million pairs


def test_groups_are_what_joining_all_pairs_gives():
    many = hashes(900, seed=3)
    looks = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    kind = np.arange(900) % 7 == 0
    tiny = looks[kind.astype(int)]
    group = list(range(900))
    for one, other in similar.close_pairs(many).tolist():
        if kind[one] == kind[other]:
            old, new = max(group[one], group[other]), min(group[one], group[other])
            group = [new if mine == old else mine for mine in group]
    expected = [[place for place in range(900) if group[place] == name] for name in sorted(set(group))]
    found = similar.groups(many, tiny, np.ones(900))
    assert sorted(found) == sorted(members for members in expected if len(members) > 1)
    assert len(found) > 50


def test_like_hashes_are_not_enough():
    generator = np.random.default_rng(0)
    tiny = generator.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    tiny[1] = tiny[0]
    same = np.full(4, 77, dtype=np.uint64)
    assert similar.groups(same, tiny, np.ones(4)) == [[0, 1]]
    assert similar.groups(same, tiny, np.array([1.0, 1.5, 1, 1])) == []  # squashed to another shape
    assert similar.residues(tiny[:1], tiny[1:2]) == 0
    assert similar.residues(tiny[:1], tiny[2:3]) > 1.5
    with pytest.raises(ValueError, match="distance must be from 0 to 7 bits, got 8"):
        similar.close_pairs(same, 8)


def test_the_hash_is_of_low_frequencies_only():
    generator = np.random.default_rng(0)
    across = np.arange(32) + 0.5
    cosines = np.cos(np.pi * np.arange(8)[:, None] * across / 32)
    smooth = 128 + cosines.T @ generator.uniform(-6, 6, (8, 8)) @ cosines  # every low frequency is there
    ripples = 12 * np.cos(20 * np.pi * across / 32)
    plain, rippled, paler = (
        int(perceptual_hash(np.rint(one).clip(0, 255).astype(np.uint8)))
        for one in (smooth, smooth + ripples, 0.5 * smooth + 70)
    )
    assert (plain ^ rippled).bit_count() <= 2  # what rounding does
    assert (plain ^ paler).bit_count() <= 4  # only whether a frequency is above the median counts
    assert plain.bit_count() == 32
    mirrored = int(perceptual_hash(np.rint(smooth).clip(0, 255).astype(np.uint8)[:, ::-1]))
    assert (plain ^ mirrored).bit_count() > 16


def test_it_can_be_stopped():
    with progress.stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            similar.close_pairs(hashes(50))


def _saved(picture: Image.Image, scale: float, kind: str, **options: int) -> Image.Image:
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(buffer, kind, **options)
    return Image.open(buffer)


def test_photographs_saved_anew_are_found_and_others_are_not(sample_photographs, tmp_path):
    chosen = [path for path, _ in sample_photographs[:: len(sample_photographs) // 80]][:80]
    ways = [
        (1, "JPEG", {"quality": 75}),
        (1, "JPEG", {"quality": 30}),
        (0.5, "JPEG", {"quality": 85}),
        (0.3, "JPEG", {"quality": 70}),
        (2, "JPEG", {"quality": 90}),
        (0.8, "WEBP", {}),
        (1, "PNG", {}),
    ]
    files, original = [], []
    for number, path in enumerate(chosen):
        scale, kind, options = ways[number % len(ways)]
        picture = Image.open(path).convert("RGB")
        _saved(picture, scale, kind, **options).save(tmp_path / f"{number}.{kind.lower()}", **options)
        files += [path, tmp_path / f"{number}.{kind.lower()}"]
        original += [number, number]
    found = dataset.open(files)
    records = np.array([inspect(found, index) for index in range(len(found))])
    groups = similar.groups(records["hash"], records["tiny"], records["width"] / records["height"])
    pairs = {(one, other) for group in groups for one in group for other in group if one < other}
    right = sum(original[one] == original[other] for one, other in pairs)
    print(f"recall {right / len(chosen):.3f}, precision {right / len(pairs):.3f}")
    assert right >= 79
    assert right == len(pairs)
