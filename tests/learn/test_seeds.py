"""Random numbers found again by words: against the hash by hand, and the user's own generator left alone."""

from __future__ import annotations

import hashlib

import pytest
import torch

from striate.learn.seeds import generator, number


def test_the_number_is_the_first_eight_bytes_of_the_hash_less_one_bit():
    digest = hashlib.blake2b(b"7\0order\x003", digest_size=8).digest()
    assert number(7, "order", 3) == int.from_bytes(digest, "big") // 2


def test_words_are_found_again_and_others_give_others():
    def first(*words: object) -> float:
        return torch.rand((), generator=generator(*words)).item()

    found = {words: first(*words) for words in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1), (0, "a1"), (-1, "a")]}
    assert len(set(found.values())) == len(found)
    assert all(first(*words) == value for words, value in found.items())


def test_neither_torch_nor_numpy_notice():
    before = torch.random.get_rng_state()
    torch.rand(3, generator=generator(0, "a"))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", [0, -5, 2**80])
def test_any_whole_number_is_a_seed_for_torch(seed):
    assert 0 <= number(seed, "order") < 2**63
    torch.Generator().manual_seed(number(seed, "order"))
