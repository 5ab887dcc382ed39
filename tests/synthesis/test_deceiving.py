"""Steps towards a class, against closed forms on networks whose logits are sums of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.synthesis.classes import chosen_classes, say
from striate.synthesis.deceiving import MOMENTUM, deceive, noise


class Linear(nn.Module):
    """Two logits, that of class 1 a weighted sum of the pixels from 0 to 1, that of class 0 nothing."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = (images * self.weights).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(scores), scores], 1)


@pytest.fixture(scope="module")
def weights():
    return torch.randn(1, 2, 6, 5, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network(weights):
    return striate.Network(Linear(weights), striate.InputSpec(2, 6, 5), ["no", "yes"])


def test_every_step_goes_along_the_sign_of_the_weights(network, weights):
    start = torch.full((1, 2, 6, 5), 100, dtype=torch.uint8)
    confidence = 0.9
    found = deceive(network, start, [1], confidence=confidence, step_size=2.0, steps=50)
    # by hand: the n-th step is 2 * (1 + n / 10) levels long, whatever the momentum, as the gradient never turns
    values, goal = start.double(), math.log(confidence / (1 - confidence)) + 0.05
    expected = 0
    while float((values.round() / 255 * weights).sum()) < goal:
        values = values + 2.0 * (1 + expected / 10) * weights.sign()
        expected += 1
    assert int(found.steps[0]) == expected > 2
    torch.testing.assert_close(found.pictures, values.round().to(torch.uint8))
    assert 0 < MOMENTUM < 1


def test_what_is_good_from_the_start_stays_as_it_is(network, weights):
    start = (weights > 0).to(torch.uint8) * 255
    found = deceive(network, start, [1])
    assert found.steps.tolist() == [0]
    assert torch.equal(found.pictures, start)


def test_each_picture_by_itself(network):
    starts = noise(2, 6, 5, [torch.Generator().manual_seed(seed) for seed in range(5)])
    classes = [1, 0, 1, 0, 1]
    together = deceive(network, starts, classes, step_size=1.0)
    for row in range(5):
        alone = deceive(network, starts[row : row + 1], classes[row : row + 1], step_size=1.0)
        assert torch.equal(alone.pictures[0], together.pictures[row])
        assert alone.steps[0] == together.steps[row]
    pieces = deceive(network, starts, classes, step_size=1.0, chunk=2)
    assert torch.equal(pieces.pictures, together.pictures)
    said = say(network, together.pictures.numpy(), classes)
    assert (said.probabilities > 0.99).all()


def test_the_best_is_kept_when_the_steps_are_too_few(network):
    start = torch.full((1, 2, 6, 5), 128, dtype=torch.uint8)
    chances = [float(say(network, deceive(network, start, [1], steps=steps).pictures.numpy(), [1]).probabilities[0])
               for steps in (1, 4, 8)]  # fmt: skip
    assert 0 < chances[0] < chances[1] < chances[2] < 0.99


def test_noise_has_every_level():
    (found,) = noise(3, 64, 64, [torch.Generator().manual_seed(0)])
    counts = torch.bincount(found.flatten().long(), minlength=256).double()
    # 12,288 numbers over 256 levels; chi-square of 255 degrees of freedom: mean 255, deviation sqrt(510)
    expected = found.numel() / 256
    assert abs(float(((counts - expected) ** 2 / expected).sum()) - 255) < 4 * math.sqrt(510)


def test_stopping_keeps_what_was_reached(network):
    start = torch.full((3, 2, 6, 5), 128, dtype=torch.uint8)
    with progress.stoppable() as stop, progress.listen(lambda event: stop.stop() if event.done >= 4 else None):
        found = deceive(network, start, [1, 1, 1], steps=60, chunk=2)
    assert "Stopped, as asked" in found.notes[0]
    assert not torch.equal(found.pictures[0], start[0])
    assert torch.equal(found.pictures[2], start[2])
    with progress.stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            deceive(network, start, [1, 1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence must lie between 0 and 1, got 1.0"),
        ({"step_size": 0.0}, "step_size must be above 0 levels"),
        ({"step_size": math.nan}, "step_size must be above 0 levels"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_wrong_options(network, options, message):
    with pytest.raises(OptionError, match=message):
        deceive(network, torch.zeros(1, 2, 6, 5, dtype=torch.uint8), [1], **options)


def test_networks_that_cannot_be_fooled(weights):
    broken = striate.Network(Linear(weights * torch.nan), striate.InputSpec(2, 6, 5))
    start = torch.zeros(1, 2, 6, 5, dtype=torch.uint8)
    with pytest.raises(NetworkError, match="not finite for a picture on the way"):
        deceive(broken, start, [1])
    with pytest.raises(NetworkError, match="the network's answer for picture 1 is not finite"):
        say(broken, start.numpy(), [1])

    class Cut(Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images.detach()).detach()

    with pytest.raises(NetworkError, match="do not depend on the picture by way of a gradient"):
        deceive(striate.Network(Cut(weights), striate.InputSpec(2, 6, 5)), start, [1])
    with pytest.raises(NetworkError, match="has a single class, whose probability is 1 whatever"):
        deceive(striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(60, 1)), striate.InputSpec(2, 6, 5)), start, [0])


def test_what_is_said_is_of_the_pictures_at_the_input_size(network, weights):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 2, 6, 5), dtype=np.uint8)
    said = say(network, pictures, [1, 0])
    scores = (torch.from_numpy(pictures).double() / 255 * weights).flatten(1).sum(1)
    expected = torch.stack([scores[0].sigmoid(), 1 - scores[1].sigmoid()])
    torch.testing.assert_close(torch.from_numpy(said.probabilities), expected.float())
    assert said.names == tuple("yes" if score > 0 else "no" for score in scores)
    large = np.repeat(np.repeat(pictures, 2, axis=2), 2, axis=3)  # of 12 x 10 pixels: halved again on the way
    np.testing.assert_allclose(say(network, large, [1, 0]).logits, said.logits, atol=0.3)


def test_classes_by_name_and_index(network):
    found = chosen_classes(network, ["class:no", 1], "fooling")
    assert (found.indices, found.labels) == ((0, 1), ("class:no", "class:yes"))
