from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import striate
from perturbation.random_nets import RandomNetwork, random_network
from striate.errors import AddressError, OptionError
from striate.graph import Layer
from striate.perturbation.readout import spread
from striate.perturbation.suffix import suffix_scores


def mapped(drawn: RandomNetwork) -> list[Layer]:
    """Return the layers with maps that are called once."""
    maps = drawn.network.graph(*drawn.image.shape[2:]).maps()
    return [layer for layer in maps if layer.calls == 1 and layer.name]


def turned_back(layer: Layer, maps: Tensor) -> Tensor:
    """Give maps (N, channels, rows, columns) the order of axes that the module has."""
    order = (0, layer.channel_axis, *layer.spatial)  # such as 0, 3, 1, 2 for a layer norm between two permutations
    return maps.permute(*(order.index(axis) for axis in range(4)))


def by_hand(drawn: RandomNetwork, layer: Layer, changed: Tensor, classes: list[int]) -> Tensor:
    """Run the network once for each replacement (channels, rows, columns) of a layer's output: (M, T)."""
    found = []
    for one in changed:
        own = turned_back(layer, one[None]).clone()
        handle = drawn.module.get_submodule(layer.name).register_forward_hook(lambda *_, own=own: own)
        with torch.no_grad():
            logits = drawn.module(drawn.image.clone())
        handle.remove()
        found.append((logits.mean((2, 3)) if logits.dim() == 4 else logits)[0, classes])
    return torch.stack(found).float()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), awkward=st.booleans(), chunk=st.sampled_from([None, 1, 3]))
def test_scores_are_those_of_a_loop_by_hand(seed, steps, awkward, chunk):
    drawn = random_network(seed, steps=steps, awkward=awkward)
    drawn.module.double()
    drawn = RandomNetwork(drawn.network, drawn.image.double(), seed)
    layers = mapped(drawn)
    layer = layers[seed % len(layers)]
    kept: list[Tensor] = []
    handle = drawn.module.get_submodule(layer.name).register_forward_hook(lambda *given: kept.append(given[2].clone()))
    with torch.no_grad():
        drawn.module(drawn.image.clone())
    handle.remove()
    clean = layer.arranged(kept[0], 1)[0]  # (channels, rows, columns), whatever the order in the module
    changed = clean.expand(5, -1, -1, -1).clone()
    for index in range(3):  # channels set to zero, then a layer of nothing, and of something else
        changed[index, index % len(clean)] = 0
    changed[3] = 0
    changed[4] = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed), dtype=clean.dtype)
    _, targets, _ = spread(drawn.network, drawn.image, [0, 4])
    scored = suffix_scores(
        drawn.network,
        drawn.image,
        layer.address,
        lambda start, stop: changed[start:stop].clone(),
        len(changed),
        targets,
        chunk=chunk,
        task="test",
    )
    expected = by_hand(drawn, layer, changed, [0, 4])
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(scored.values, expected, rtol=0, atol=1e-6 * scale, msg=lambda text: f"{text}\n{drawn}")


@pytest.fixture(scope="module")
def drawn() -> RandomNetwork:
    return random_network(5, steps=4, only=["convolution", "activation", "residual"])


def test_replacements_are_asked_for_piece_by_piece(drawn):
    layer = mapped(drawn)[1]
    asked: list[tuple[int, int]] = []

    def changed(start: int, stop: int) -> Tensor:
        asked.append((start, stop))
        return torch.zeros(stop - start, layer.channels, *layer.map_size)

    _, targets, _ = spread(drawn.network, drawn.image, [1])
    values = suffix_scores(drawn.network, drawn.image, layer.address, changed, 7, targets, chunk=3, task="test").values
    assert all(0 <= start < stop <= min(start + 3, 7) for start, stop in asked)
    assert {index for start, stop in asked for index in range(start, stop)} == set(range(7))
    assert values.shape == (7, 1)
    torch.testing.assert_close(values, values[:1].expand(7, 1), rtol=1e-5, atol=1e-6)  # the same replacement


def test_units_after_the_layer_are_targets_too(drawn):
    first, *_, last = mapped(drawn)
    kept: list[Tensor] = []
    handle = drawn.module.get_submodule(last.name).register_forward_hook(lambda *given: kept.append(given[2].clone()))
    changed = torch.randn(4, first.channels, *first.map_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for one in changed:
            swap = drawn.module.get_submodule(first.name).register_forward_hook(lambda *_, one=one: one[None].clone())
            drawn.module(drawn.image.clone())
            swap.remove()
    handle.remove()
    maps = torch.cat(kept)  # (4, C, h, w)
    for target, expected in (
        (f"{last.address}:1", maps[:, 1].mean((1, 2))),
        (f"{last.address}:0@1,0", maps[:, 0, 1, 0]),
    ):
        _, targets, _ = spread(drawn.network, drawn.image, [target])
        scored = suffix_scores(
            drawn.network, drawn.image, first.address, lambda *at: changed[slice(*at)], 4, targets, task="test"
        )
        torch.testing.assert_close(scored.values[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_nothing_to_replace_gives_no_scores(drawn):
    _, targets, clean = spread(drawn.network, drawn.image, [1, 2])
    layer = mapped(drawn)[0]
    scored = suffix_scores(
        drawn.network,
        drawn.image,
        layer.address,
        lambda start, stop: torch.empty(stop - start, layer.channels, *layer.map_size),
        0,
        targets,
        task="test",
    )
    assert scored.values.shape == (0, 2)
    torch.testing.assert_close(scored.clean, clean, rtol=1e-5, atol=1e-6)


def test_the_module_stays_as_it_was_after_an_error_too(drawn):
    before = {name: value.clone() for name, value in drawn.module.state_dict().items()}
    _, targets, _ = spread(drawn.network, drawn.image, [1])
    layer = mapped(drawn)[0].address

    def broken(start: int, stop: int) -> Tensor:
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="broken on purpose"):
        suffix_scores(drawn.network, drawn.image, layer, broken, 3, targets, task="test")
    with pytest.raises(OptionError, match=r"chunk must be at least 1, got 0\."):
        suffix_scores(drawn.network, drawn.image, layer, broken, 3, targets, chunk=0, task="test")
    with pytest.raises(AddressError, match=r"no layer 'nowhere' in this network"):
        suffix_scores(drawn.network, drawn.image, "nowhere", broken, 3, targets, task="test")
    assert not any(part._forward_hooks for part in drawn.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in drawn.module.state_dict().items())


class Odd(nn.Module):
    """Three layers, and a way between the last two that a test makes awkward."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.middle, self.last = nn.Conv2d(2, 3, 3), nn.Identity(), nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator))


class Shortcut(Odd):
    """The layer in the middle passes on what is read beside it, too."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        return self.last(self.middle(maps).relu() - 2 * maps).mean((2, 3))


class Peeking(Odd):
    """A number that no record of operations shows depends on the layer."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.middle(self.first(images) * 1)
        return self.last(maps).mean((2, 3)) * round(float(maps[:1].detach().numpy().std()), 2)


class Single(Odd):
    """Takes one picture at a time."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 1:
            raise ValueError("one picture at a time")
        return self.last(self.middle(self.first(images))).mean((2, 3))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Shortcut, None),
        (Peeking, "other scores"),
        (Single, r"while it is watched \(ValueError: one picture at a time\)"),
    ],
)
def test_networks_that_need_care_give_what_a_hook_gives(kind, why):
    module = kind().eval()
    network = striate.Network(module, striate.InputSpec(2, 7, 8), one_by_one=kind is Single)
    image = torch.randn(1, 2, 7, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = module.first(image)
        changed = maps.repeat(3, 1, 1, 1)
        changed[range(3), range(3)] = 0
        expected = []
        for one in changed:
            handle = module.middle.register_forward_hook(lambda *_, one=one: one[None].clone())
            expected.append(module(image)[0])
            handle.remove()
    _, targets, _ = spread(network, image, [0, 1])
    chunk = 1 if kind is Peeking else 2
    scored = suffix_scores(network, image, "middle", lambda *at: changed[slice(*at)], 3, targets, chunk=chunk)
    torch.testing.assert_close(scored.values, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert (scored.values - scored.clean).abs().max() > 1e-2
    if why is None:
        assert scored.details == {"suffix": True}
    else:
        assert not scored.details["suffix"]
        assert re.search(why, scored.details["why"])
