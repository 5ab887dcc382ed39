from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import striate
from perturbation.random_nets import AWKWARD, HEADS, STEPS, RandomNetwork, random_network, random_patches
from striate.errors import NetworkError, OptionError
from striate.perturbation.patches import Patches, patch_scores
from striate.perturbation.readout import spread


def by_hand(drawn: RandomNetwork, patches: Patches, target: list[str | int]) -> Tensor:
    """Score each patched picture by itself, reading the classes or the layer's output without the library."""
    found: list[Tensor] = []
    kept: list[Tensor] = []
    place = None if isinstance(target[0], int) else target[0].split(":")[0]
    handle = drawn.module.get_submodule(place or "").register_forward_hook(lambda *given: kept.append(given[2].clone()))
    masks = patches.masks
    with torch.no_grad():
        for index, (top, left, bottom, right) in enumerate(patches.boxes.tolist()):
            changed = drawn.image.clone()
            for row in range(top, bottom):
                for column in range(left, right):
                    if masks is None or masks[index, row - top, column - left]:
                        changed[0, :, row, column] = patches.fill[:, row, column]
            drawn.module(changed)
            output = kept.pop()[0]
            kept.clear()
            found.append(torch.stack([_score(output, one) for one in target]))
    handle.remove()
    return torch.stack(found).float()


def _score(output: Tensor, target: str | int) -> Tensor:
    """Read one score off the output of one picture: "place:channel@row,column", "place:channel" or a class."""
    if isinstance(target, int):
        return output[target].mean()  # maps of logits are averaged
    _, _, unit = target.partition(":")
    channel, _, position = unit.partition("@")
    chosen = output[int(channel)]
    return chosen[tuple(map(int, position.split(",")))] if position else chosen.mean()


def check(drawn: RandomNetwork, seed: int, target: list[str | int], *, tolerance: float, count: int = 6) -> None:
    boxes, fill, masks = random_patches(seed, drawn.image, count=count)
    patches = Patches(boxes, fill.to(drawn.image.dtype), masks)
    _, targets, clean = spread(drawn.network, drawn.image, target)
    expected = by_hand(drawn, patches, target)
    for incremental in (True, False):
        found = patch_scores(drawn.network, drawn.image, patches, targets, incremental=incremental)
        # whoever finds itself wrong takes the plain way, and would pass unseen
        assert "other scores" not in found.details.get("why", "")
        # rounding is relative to the numbers that were added up on the way; the score itself may be near zero
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(found.values, expected, rtol=0, atol=tolerance * scale, msg=partial(
            "incremental={}, boxes {}, masks {}\n{}\n{}".format, incremental, boxes.tolist(), masks is not None, drawn
        ))  # fmt: skip
        torch.testing.assert_close(found.clean, clean.float(), rtol=0, atol=tolerance * scale)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9), awkward=st.booleans(), double=st.booleans())
def test_scores_are_those_of_a_loop_by_hand(seed, steps, awkward, double):
    # in double precision a wrong pixel anywhere stands out from rounding
    drawn = random_network(seed, steps=steps, awkward=awkward)
    if double:
        drawn = doubled(drawn)
    check(drawn, seed, [0, 3, 4], tolerance=1e-6 if double else 1e-4)


def doubled(drawn: RandomNetwork) -> RandomNetwork:
    drawn.module.double()
    return RandomNetwork(drawn.network, drawn.image.double(), drawn.seed)


@pytest.mark.parametrize("name", [*STEPS, *AWKWARD])
def test_every_kind_of_step(name):
    for seed in range(4):
        only = [name, "convolution"] if name != "convolution" else ["convolution"]
        check(doubled(random_network(seed, steps=3, only=only)), seed, [1], tolerance=1e-6, count=4)


@pytest.mark.parametrize("head", sorted(set(HEADS)))
def test_every_kind_of_head(head):
    for seed in range(2):
        drawn = doubled(random_network(seed, steps=2, only=["convolution", "max pooling"], head=head))
        check(drawn, seed, [0, 2], tolerance=1e-6, count=5)


@pytest.mark.parametrize("seed", range(12))
def test_channels_and_units_of_any_layer(seed):
    drawn = doubled(random_network(seed, steps=4))
    maps = [layer for layer in drawn.network.graph(*drawn.image.shape[2:]).maps() if layer.calls == 1 and layer.name]
    layer = maps[seed % len(maps)]
    height, width = layer.map_size
    check(drawn, seed, [f"{layer.address}:0@{height // 2},{width - 1}"], tolerance=1e-6)
    check(drawn, seed, [f"{layer.address}:{layer.channels - 1}", f"{layer.address}:0"], tolerance=1e-6)


def test_the_generator_draws_networks_that_answer_to_patches():
    # a property over networks whose answer never changes would prove nothing
    living = 0
    for seed in range(30):
        drawn = random_network(seed, steps=1 + seed % 9)
        _, targets, _ = spread(drawn.network, drawn.image, [0, 3])
        scored = patch_scores(drawn.network, drawn.image, Patches(*random_patches(seed, drawn.image)), targets)
        living += bool((scored.values - scored.clean).abs().max() > 1e-3 * scored.clean.abs().max())
    assert living >= 26


@pytest.fixture(scope="module")
def drawn() -> RandomNetwork:
    return random_network(3, steps=5, size=(23, 31))


@pytest.mark.parametrize("incremental", [True, False])
def test_pieces_never_change_a_score(drawn, incremental):
    patches = Patches(*random_patches(1, drawn.image, count=17))
    _, targets, _ = spread(drawn.network, drawn.image, [0, 1])
    whole = patch_scores(drawn.network, drawn.image, patches, targets, incremental=incremental)
    for chunk in (1, 2, 5, 100):
        pieces = patch_scores(drawn.network, drawn.image, patches, targets, incremental=incremental, chunk=chunk)
        torch.testing.assert_close(pieces.values, whole.values, rtol=1e-5, atol=1e-5)


def test_a_patch_over_all_of_the_picture_shows_the_fill(drawn):
    height, width = drawn.image.shape[2:]
    fill = torch.full_like(drawn.image[0], 0.7)
    _, targets, clean = spread(drawn.network, drawn.image, [2])
    boxes = torch.tensor([[0, 0, height, width], [5, 6, 5, 6]])  # all of it, and nothing
    scored = patch_scores(drawn.network, drawn.image, Patches(boxes, fill), targets)
    torch.testing.assert_close(scored.values[0], drawn.network(fill[None])[0, 2:3], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scored.values[1], clean, rtol=1e-5, atol=1e-5)


def test_the_picture_and_the_module_stay_as_they_were(drawn):
    before = drawn.image.clone()
    weights = {name: value.clone() for name, value in drawn.module.state_dict().items()}
    _, targets, _ = spread(drawn.network, drawn.image, [2])
    for chunk in (1, 3, None):  # a piece of one picture must be a copy too
        patches = Patches(*random_patches(2, drawn.image))
        for incremental in (True, False):
            patch_scores(drawn.network, drawn.image, patches, targets, incremental=incremental, chunk=chunk)
    assert torch.equal(drawn.image, before)
    assert all(torch.equal(value, weights[name]) for name, value in drawn.module.state_dict().items())
    assert not any(module._forward_hooks for module in drawn.module.modules())


def test_a_chunk_below_one_is_refused(drawn):
    _, targets, _ = spread(drawn.network, drawn.image, [2])
    patches = Patches(*random_patches(2, drawn.image))
    with pytest.raises(OptionError, match=r"chunk must be at least 1, got 0\."):
        patch_scores(drawn.network, drawn.image, patches, targets, chunk=0)


class _Logarithm(nn.Module):
    """Not a number where the mean of the picture is negative."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None].log()


def test_a_clean_score_that_is_no_number_is_refused():
    network = striate.Network(_Logarithm(), striate.InputSpec(1, 8, 8))
    with pytest.raises(NetworkError, match=r"the score of class:0 on picture 2 is nan, so nothing can be compared"):
        spread(network, torch.stack([torch.ones(1, 8, 8), -torch.ones(1, 8, 8)]), 0)


class Greedy(nn.Module):
    """Runs out of memory on more than one picture."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 1:
            raise torch.OutOfMemoryError("no more")
        return images.square().mean((2, 3))


class Fragile(nn.Module):
    """Knows when it is watched, and does not like it."""

    def forward(self, images: Tensor) -> Tensor:
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise RuntimeError("I am watched")
        return images.square().mean((2, 3))


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Greedy(), "there is no memory for all that the network makes of the unchanged picture"),
        (Fragile(), "the network fails while it is watched (RuntimeError: I am watched)"),
    ],
)
def test_a_network_that_cannot_be_followed_is_run_plainly_and_says_why(module, why):
    network = striate.Network(module, striate.InputSpec(3, 8, 8))
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    patches = Patches(torch.tensor([[0, 0, 2, 8], [3, 3, 8, 4]]), torch.zeros(3, 8, 8))
    _, targets, _ = spread(network, image, [0, 2])
    scored = patch_scores(network, image, patches, targets)
    assert not scored.details["incremental"]
    assert scored.details["why"] == why
    covered = image.square().repeat(2, 1, 1, 1)
    covered[0, :, :2] = 0
    covered[1, :, 3:, 3] = 0
    torch.testing.assert_close(scored.values, covered.mean((2, 3))[:, [0, 2]])
