"""Lenses that ask a network many times: with fewer multiplications they show what they show without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from striate import lenses
from striate.network import Network
from wide import SIZE, able, made, sparing

pytestmark = able


@pytest.mark.parametrize(
    ("lens", "options"),
    [
        (lenses.occlusion, {"patch": 6, "stride": 3}),
        (lenses.occlusion, {"patch": 6, "stride": 3, "incremental": False}),
        (lenses.lime, {"samples": 80, "segments": 10}),
        (lenses.rise, {"samples": 80, "cells": 4}),
        (lenses.score_cam, {"layer": "stem.1"}),
    ],
    ids=["occlusion", "occlusion, whole pictures", "lime", "rise", "score_cam"],
)
def test_the_same_map(monkeypatch: pytest.MonkeyPatch, lens: Callable[..., Any], options: dict[str, Any]) -> None:
    network = made()
    images = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(5))
    with monkeypatch.context() as patch:
        patch.setattr(Network, "spares", lambda *_: False)
        expected = lens(network, images, 1, **options).scores
    counts = sparing(monkeypatch)
    found = lens(network, images, 1, **options).scores
    # differences of scores, and sums of them: the numbers themselves are as near as 1e-5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    if not (lens is lenses.occlusion and options.get("incremental") is False):
        assert counts
