"""Random numbers of a training run: every choice has its generator, found again by words. Seeds nothing global."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["generator", "number"]


def generator(seed: int, *words: object) -> torch.Generator:
    """Return the generator of one choice: the same seed and words give the same numbers, whatever ran before.

    A run that is resumed in its third epoch asks for ``generator(seed, "order", 3)`` and need not know what was
    drawn in the second. Other words give numbers that have nothing to do with these.

    Args:
        seed: of the run, any whole number.
        words: what is drawn, in words and numbers: ("order", 3).

    Returns:
        A new generator on the CPU.
    """
    return torch.Generator().manual_seed(number(seed, *words))


def number(seed: int, *words: object) -> int:
    """Return the number that `generator` is seeded with, from 0 to below 2**63 (for `torch.manual_seed` in a fork)."""
    text = "\0".join(map(str, (int(seed), *words)))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big") >> 1
