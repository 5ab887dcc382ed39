"""Pictures are told apart by sixteen digits, and only by what is in them."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
import torch

from striate.lenses._fingerprint import fingerprint


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_same_however_it_lies_in_memory():
    image = picture(3, 40, 50)
    digits = fingerprint(image)
    assert re.fullmatch("[0-9a-f]{16}", digits)
    last = image[None].to(memory_format=torch.channels_last)[0]
    assert last.stride() != image.stride()
    assert fingerprint(last) == fingerprint(torch.stack([last, image])[0]) == digits
    assert fingerprint(image.clone().requires_grad_()) == digits


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28), (5, 33, 47), (3, 1, 1), (0, 2, 2)])
def test_one_bit_anywhere_changes_it(shape):
    image = picture(*shape)
    digits = {fingerprint(image)}
    bits = image.view(torch.int32).flatten()
    places = sorted({part * len(bits) // 40 for part in range(40) if len(bits)})
    for place in places:
        for bit in (1, 2**11, -(2**31)):
            bits[place] ^= bit
            digits.add(fingerprint(image))
            bits[place] ^= bit
    assert len(digits) == 3 * len(places) + 1


def test_pictures_made_of_the_same_numbers_differ():
    image = picture(3, 64, 64)
    turned = [image, image.flip(2), image.flip(1), image.flip(0), image.transpose(1, 2), -image, image.roll(1, 2)]
    turned += [image.roll(32, 1), image.flatten().roll(3 * 64 * 32).view_as(image), image.roll(1, 0)]
    halves = image.clone()
    halves[:, :, :32], halves[:, :, 32:] = image[:, :, 32:], image[:, :, :32]
    plain = [torch.full((3, 64, 64), level) for level in (0.0, -0.0, 1.0, -1.0, 0.5)]
    found = [fingerprint(one) for one in (*turned, halves, *plain)]
    assert len(set(found)) == len(found)


def test_shape_and_number_type_count():
    image = torch.zeros(3, 64, 64)
    found = [image, image.view(3, 32, 128), image[:, :63], image.double(), image.int(), image.half(), image.bfloat16()]
    assert len({fingerprint(one) for one in found}) == len(found)


def test_two_changes_of_one_size_do_not_cancel():
    # signs turned at two places, of the same half and of both
    image = picture(3, 224, 224)
    numbers = image.flatten()
    middle = len(numbers) // 2
    found = set()
    for place in range(0, 400, 2):
        for other in (place + 1024, middle + place):
            changed = numbers.clone()
            changed[[place, other]] *= -1
            found.add(fingerprint(changed.view_as(image)))
    assert len(found) == 400


def test_by_hand():
    # 2 channels of 1 x 3 pixels, numbers of 8 bytes: pixel by pixel, the first 3 and the last 3
    image = torch.arange(6, dtype=torch.int64).view(2, 1, 3)
    start = zlib.crc32(b"torch.int64 (2, 1, 3)")
    halves = [zlib.crc32(struct.pack("<3q", *numbers), start) for numbers in ((0, 3, 1), (4, 2, 5))]
    assert fingerprint(image) == "".join(f"{one:08x}" for one in halves)
