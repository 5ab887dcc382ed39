"""The ascent: closed forms, what is kept, what happens when something goes wrong, and that pictures are their own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import striate
from striate import progress, tap
from striate.errors import NetworkError, OptionError, Stopped
from striate.synthesis import (
    Adam,
    Constant,
    Penalty,
    Projection,
    Recipe,
    Settling,
    Warp,
    objective,
    recipe_of,
)
from striate.synthesis import ascend as ascend_anyhow

# of closed forms; "auto" is what the device is fastest with
ascend = partial(ascend_anyhow, precision="float32")
PLAIN = Recipe("plain", "", "pixels", Constant(0.001), 20, start="grey")


@pytest.fixture(scope="module")
def linear():
    """A convolution without a bias, and a classifier behind it that nothing here asks for."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 5, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return striate.Network(module, striate.InputSpec(3, 5, 5))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 6, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    return striate.Network(module, striate.InputSpec(3, 24, 20, mean=(0.5,), std=(0.25,)))


def offsets(ascent):
    return ascent.pictures - 0.5


def kernel(linear, channel):
    return linear.module[0].weight[channel].detach()


# --- closed forms


def test_under_a_bound_on_the_norm_the_best_picture_of_a_linear_unit_is_its_kernel(linear):
    recipe = Recipe("bound", "", "pixels", Settling(0.005, 0.05), 150, start="grey")
    ascent = ascend(linear, [objective(linear, f"0:{channel}") for channel in range(4)], recipe=recipe)
    for channel in range(4):
        found, wanted = offsets(ascent)[channel].flatten(), kernel(linear, channel).flatten()
        assert float(torch.cosine_similarity(found, wanted, dim=0)) > 0.999
        assert float(found.square().mean().sqrt()) == pytest.approx(0.05, rel=0.01)


def test_constant_steps_on_a_linear_unit_add_up(linear):
    ascent = ascend(linear, [objective(linear, "0:2")], recipe=PLAIN, steps=20)
    # the gradient is the kernel, so after 20 steps of 0.001 the offset is 0.02 kernels, rounded to 256 levels
    torch.testing.assert_close(offsets(ascent)[0], 0.02 * kernel(linear, 2), rtol=0, atol=0.51 / 255)
    square = float(kernel(linear, 2).square().sum())
    expected = [float(ascent.start_values) + 0.001 * step * square for step in range(21)]
    assert ascent.curve_steps == tuple(range(21))
    assert ascent.curve[0].tolist() == pytest.approx(expected, rel=1e-4)
    assert ascent.best_steps.tolist() == [20]


def test_decay_makes_them_a_geometric_series(linear):
    recipe = replace(PLAIN, climb=Constant(0.02), projection=Projection(decay=0.25))
    ascent = ascend(linear, [objective(linear, "0:1")], recipe=recipe, steps=6)
    share = 0.02 * sum(0.75**power for power in range(1, 7))
    torch.testing.assert_close(offsets(ascent)[0], share * kernel(linear, 1), rtol=0, atol=0.51 / 255)


def test_a_penalty_pulls_the_picture_to_where_both_balance(linear):
    # the gradient of k.x - w |x - c|^2 vanishes at x - c = k / 2w
    recipe = replace(PLAIN, climb=Constant(0.02), penalties=(Penalty("l2", 2.0),))
    ascent = ascend(linear, [objective(linear, "0:0")], recipe=recipe, steps=200)
    torch.testing.assert_close(offsets(ascent)[0], kernel(linear, 0) / 4, rtol=0, atol=0.51 / 255)
    # told without the penalty, as the network answers
    answer = (kernel(linear, 0) * ascent.pictures[0]).sum()
    torch.testing.assert_close(ascent.reached[0], answer)


def test_the_gradient_goes_through_warp_and_spectrum(network):
    # of one step of plain ascent the gain is what the slope promises: rate times the squared length of the gradient
    goal = objective(network, "4:1")
    warp = Warp(jitter=2, scales=(0.9, 1.1), angles=(-5.0, 5.0))
    gains = []
    for rate in (1.0, 2.0):
        recipe = Recipe("one", "", "fourier", Constant(rate), 2, deviation=0.3, warp=None)
        moved = ascend(network, [goal], recipe=recipe, steps=1, seed=3)
        gains.append(float(moved.curve[0, 1] - moved.curve[0, 0]))
    assert gains[0] > 0
    assert gains[1] == pytest.approx(2 * gains[0], rel=0.05)
    warped = ascend(network, [goal], recipe=replace(recipe_of("lucid"), warp=warp), steps=20)
    assert float(warped.reached) > float(warped.start_values)


# --- what is kept


def test_the_best_iterate_is_kept_not_the_last():
    class Hill(nn.Module):
        """Highest where the mean is 0.7."""

        def __init__(self):
            super().__init__()
            self.top = nn.Identity()

        def forward(self, images):
            return self.top(-((images.mean((1, 2, 3)) - 0.7) ** 2)[:, None].expand(-1, 2))

    hill = striate.Network(Hill(), striate.InputSpec(1, 4, 4))
    # steps of half a hill's width: up from 0.5, over the top, and on by the momentum
    recipe = replace(PLAIN, climb=Adam(0.07))
    ascent = ascend(hill, [objective(hill, "top:0")], recipe=recipe, steps=12)
    values = ascent.curve[0]
    best = int(values.argmax())
    assert 0 < best < 12
    assert int(ascent.best_steps) == best
    assert float(ascent.reached) == pytest.approx(float(values.max()), abs=1e-3)
    downhill = ascend(hill, [objective(hill, "top:0")], recipe=replace(PLAIN, climb=Constant(-1.0)), steps=5)
    assert downhill.best_steps.tolist() == [0]
    torch.testing.assert_close(downhill.pictures, torch.full((1, 1, 4, 4), 128 / 255))


def test_what_is_told_is_the_activation_of_the_saved_picture(network):
    goals = [objective(network, text) for text in ("2:1", "4:2@1,1", "class:3")]
    for recipe in ("lucid", "yosinski-3", "simonyan", "pixels"):
        ascent = ascend(network, goals, recipe=recipe, steps=8, precision="float32")
        levels = ascent.pictures * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
        found = tap.activations(network, network.spec.normalise(ascent.pictures), ["2", "4"], logits=True)
        first = found.outputs["2"][0, 1]
        focus = recipe_of(recipe).focus
        middle = first[first.shape[0] // 2, first.shape[1] // 2]
        expected = [(1 - focus) * first.mean() + focus * middle, found.outputs["4"][1, 2, 1, 1], found.logits[2, 3]]
        torch.testing.assert_close(ascent.reached, torch.stack(expected), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ascent.peaks[0], first.max(), rtol=1e-4, atol=1e-5)
        assert bool((ascent.reached > ascent.start_values).all()), recipe


def test_frames_show_the_way(network):
    ascent = ascend(network, [objective(network, "2:1")], steps=10, size=(80, 100))
    assert ascent.frame_steps == (0, 2, 4, 6, 8, 10)
    assert ascent.frames.shape == (1, 6, 3, 51, 64)
    assert ascent.frames.dtype == torch.uint8
    contrast = ascent.frames.float().std((0, 2, 3, 4))
    assert float(contrast[-1]) > float(contrast[0])


# --- each picture by itself


def test_the_same_call_gives_the_same_bits_and_another_seed_does_not(network):
    goals = [objective(network, f"4:{channel}") for channel in range(3)]
    first, again, other = (ascend(network, goals, steps=5, seed=seed).pictures for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_picture_comes_out_alike_alone_in_a_batch_and_in_pieces(network):
    texts = ["4:0", "class:1", "2:3", "4:1", "2:3 - 4:2", "4:0"]
    goals = [objective(network, text) for text in texts]
    together = ascend(network, goals, steps=6)
    pieces = ascend(network, goals, steps=6, chunk=1)
    torch.testing.assert_close(together.pictures, pieces.pictures, rtol=0, atol=2 / 255)
    for row, goal in enumerate(goals[:5]):
        alone = ascend(network, [goal], steps=6)
        torch.testing.assert_close(together.pictures[row], alone.pictures[0], rtol=0, atol=2 / 255, msg=texts[row])
        torch.testing.assert_close(together.reached[row], alone.reached[0], rtol=1e-3, atol=1e-4)
    # the same address twice draws its own numbers
    assert not torch.equal(together.pictures[0], together.pictures[5])


def test_running_out_of_memory_halves_the_pieces_and_changes_nothing(network, monkeypatch):
    goals = [objective(network, f"4:{channel}") for channel in range(6)]
    expected = ascend(network, goals, steps=4).pictures
    module = __import__("striate.synthesis.ascent", fromlist=["uphill"])
    uphill, sizes = module.uphill, []

    def scarce(network, images, *args, **kwargs):
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return uphill(network, images, *args, **kwargs)

    monkeypatch.setattr(module, "uphill", scarce)
    torch.testing.assert_close(ascend(network, goals, steps=4, chunk=6).pictures, expected, rtol=0, atol=2 / 255)
    assert sizes[:2] == [6, 3]
    assert max(sizes[3:]) <= 2  # once learned, it is not tried again at every step


def test_pictures_of_one_unit_are_kept_apart(lite0):
    def likeness(goals):
        pictures = ascend(lite0, goals, steps=32, size=48).pictures
        maps = tap.activations(lite0, lite0.spec.normalise(pictures), ["blocks.2"]).outputs["blocks.2"].flatten(2)
        grams = (maps @ maps.transpose(1, 2)).flatten(1)
        return float(torch.cosine_similarity(grams[0], grams[1], dim=0))

    goal = objective(lite0, "blocks.2:14")
    assert likeness([goal.diverse()] * 2) < likeness([goal] * 2) - 0.1


# --- a unit that is silent at the start


@pytest.fixture(scope="module")
def silent():
    """Two rectifiers; nothing gets through either of them on a grey picture."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    with torch.no_grad():
        module[0].bias.fill_(-0.6)
        module[2].bias.fill_(-0.2)
    return striate.Network(module, striate.InputSpec(3, 16, 16, mean=(0.5,), std=(0.25,)))


@pytest.mark.parametrize("recipe", ["lucid", "pixels"])
def test_a_silent_unit_is_woken(silent, recipe):
    goals = [objective(silent, f"3:{channel}") for channel in range(4)]
    ascent = ascend(silent, goals, recipe=recipe, steps=60)
    assert ascent.start_values.tolist() == [0.0] * 4
    assert bool((ascent.reached > 0).all())
    assert ascent.notes == ()


def test_a_silent_unit_is_woken_by_small_steps_too(silent):
    # it takes about fifty of them, each along a signal of its own
    goals = [objective(silent, "3:1"), objective(silent, "3:2")]
    ascent = ascend(silent, goals, recipe=replace(PLAIN, climb=Constant(2.0)), steps=200)
    assert ascent.start_values.tolist() == [0.0] * 2
    assert bool((ascent.curve[:, :30] == 0).all())
    assert bool((ascent.reached > 0).all())


def test_what_no_gradient_reaches_is_said(silent):
    # a class whose weights are all zero depends on nothing
    with torch.no_grad():
        weight = silent.module[6].weight[1].clone()
        silent.module[6].weight[1] = 0
    try:
        ascent = ascend(silent, [objective(silent, 0), objective(silent, 1)], steps=3)
    finally:
        with torch.no_grad():
            silent.module[6].weight[1] = weight
    assert ascent.notes == ("No gradient reached the picture of class:1: nothing moved it.",)


def test_a_network_that_cuts_the_gradient_is_refused():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), _Rounded(), nn.Flatten(), nn.Linear(32, 2))
    cut = striate.Network(module, striate.InputSpec(1, 4, 4))
    with pytest.raises(NetworkError, match="it cuts the gradient on the way"):
        ascend(cut, [objective(cut, 1)], steps=1)


class _Rounded(nn.Module):
    def forward(self, maps):
        return maps.detach().round()


# --- no numbers, no room, no such thing


class _Brittle(nn.Module):
    """The mean of one colour, and of another what has no square root above a mean of 0.6."""

    def __init__(self):
        super().__init__()
        self.both = nn.Identity()

    def forward(self, images):
        first, second = images.mean((2, 3)).unbind(1)
        return self.both(torch.stack([first, -(0.6 - second).sqrt()], 1))


def test_a_picture_without_a_number_is_left_with_the_last_good_one():
    brittle = striate.Network(_Brittle(), striate.InputSpec(2, 4, 4))
    goals = [objective(brittle, f"both:{channel}") for channel in (1, 0)]
    recipe = replace(PLAIN, climb=Adam(0.03))
    ascent = ascend(brittle, goals, recipe=recipe, steps=10)
    # 0.50, 0.53, 0.56, 0.59, and then none
    assert ascent.notes == ("both:1: no finite number at step 4; the picture of step 3 is kept.",)
    assert float(ascent.pictures[0, 1].mean()) == pytest.approx(0.59, abs=0.003)
    assert ascent.best_steps.tolist() == [3, 10]
    assert float(ascent.reached[1]) == pytest.approx(0.8, abs=0.01)
    # between two looks of a recipe with a warp as well
    warped = replace(recipe, warp=Warp(jitter=1))
    ascent = ascend(brittle, goals[:1], recipe=warped, steps=64)
    assert ascent.notes == ("both:1: no finite number at step 4; the picture of step 3 is kept.",)
    assert ascent.steps == 4


def test_no_number_from_the_start_is_an_error_unless_others_have_one():
    brittle = striate.Network(_Brittle(), striate.InputSpec(2, 4, 4))
    start = torch.full((2, 2, 4, 4), 0.5)
    start[0, 1] = 0.9
    goals = [objective(brittle, f"both:{channel}") for channel in (1, 0)]
    with pytest.raises(NetworkError, match=r"both:1 is nan for the picture that the ascent starts from"):
        ascend(brittle, goals[:1], recipe=PLAIN, start=start[:1])
    ascent = ascend(brittle, goals, recipe=PLAIN, start=start)
    assert ascent.notes == ("both:1: no finite number at step 0; there is no picture.",)
    assert ascent.reached.isnan().tolist() == [True, False]


def test_a_stop_keeps_the_best_so_far(network):
    events = []
    with progress.stoppable() as stop:

        def hear(event):
            events.append(event)
            if event.done == 3:
                stop.stop()

        with progress.listen(hear):
            ascent = ascend(network, [objective(network, "4:1")], steps=50, task="making")
        assert ascent.notes == ("Stopped at step 3 of 50, as asked: the best so far is kept.",)
        assert ascent.steps == 3
        assert float(ascent.reached) > float(ascent.start_values)
        with pytest.raises(Stopped):  # nothing was begun yet: there is nothing to keep
            ascend(network, [objective(network, "4:1")], steps=50)
    expected = ascend(network, [objective(network, "4:1")], steps=50).curve[0, 0]
    assert float(ascent.curve[0, 0]) == float(expected)


def test_pictures_so_far_are_told(network):
    events = []
    with progress.listen(events.append):
        ascend(network, [objective(network, f"4:{channel}") for channel in range(3)], steps=32, task="making")
    assert {event.task for event in events} == {"making"}
    assert [event.done for event in events] == list(range(33))
    shown = [event for event in events if event.picture is not None]
    assert [event.done for event in shown] == [0, 8, 16, 24, 32]
    # two columns and two rows of 24 x 20 with a gap of two pixels
    assert shown[0].picture.shape == (50, 42, 3)
    assert shown[-1].picture.std() > shown[0].picture.std()


WRONG = {
    r"no recipe is called 'lucyd'\. Did you mean lucid\?": {"recipe": "lucyd"},
    "steps must be at least 1, got 0": {"steps": 0},
    r"cannot be run on pictures of 5 x 5 pixels, which may be too small for it; its own size is 24 x 20": {"size": 5},
    "the size must be at least 1": {"size": (0, 5)},
    "no start 'gray'; there are noise, grey, mean": {"start": "gray"},
    r"start pictures of 2 x 3 x 24 x 20 for 1 pictures of 3 x 24 x 20": {"start": torch.zeros(2, 3, 24, 20)},
    "must have values from 0 to 1": {"start": torch.full((1, 3, 24, 20), 1.5)},
    "no precision 'half'": {"precision": "half"},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_are_explained(network, message):
    with pytest.raises(OptionError, match=message):
        ascend(network, [objective(network, "4:1")], **WRONG[message])


def test_nothing_to_make_is_explained(network):
    with pytest.raises(OptionError, match="at least one objective"):
        ascend(network, [])


# --- any picture, any state


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels_and_any_shape(channels):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = striate.Network(module, striate.InputSpec(channels, 9, 14))
    for recipe in ("lucid", "pixels", "simonyan"):
        ascent = ascend(network, [objective(network, "0:1")], recipe=recipe, steps=4)
        assert ascent.pictures.shape == (1, channels, 9, 14)
        assert float(ascent.reached) > float(ascent.start_values)


def test_it_starts_from_a_photograph(network):
    photograph = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    for recipe in ("lucid", "pixels"):
        ascent = ascend(network, [objective(network, "4:1")] * 2, recipe=recipe, steps=1, start=photograph)
        assert float(ascent.frames[:, 0].float().sub(photograph * 255).abs().max()) <= 1
        assert float((ascent.pictures - photograph).abs().mean()) < 0.05


def test_reduced_precision_is_for_the_way_only(network):
    goals = [objective(network, "4:1")]
    ascent = ascend(network, goals, steps=10, precision="bfloat16")
    shown = tap.activations(network, network.spec.normalise(ascent.pictures), ["4"]).outputs["4"][0, 1]
    focus = recipe_of("lucid").focus
    expected = (1 - focus) * shown.mean() + focus * shown[shown.shape[0] // 2, shown.shape[1] // 2]
    torch.testing.assert_close(ascent.reached[0], expected, rtol=1e-4, atol=1e-5)
    exact = ascend(network, goals, steps=10, precision="float32")
    assert float(ascent.reached) == pytest.approx(float(exact.reached), rel=0.1)
    assert not torch.equal(ascent.pictures, exact.pictures)
    chosen = ascend_anyhow(network, goals, steps=10).pictures
    assert torch.equal(chosen, exact.pictures) or torch.equal(chosen, ascent.pictures)


def test_the_network_is_as_it_was(network):
    network.module.train()
    before = {name: (value.clone(), value.requires_grad) for name, value in network.module.named_parameters()}
    with torch.inference_mode():
        ascend(network, [objective(network, "4:1")], steps=2)
    assert network.module.training
    for name, value in network.module.named_parameters():
        assert torch.equal(value, before[name][0])
        assert value.requires_grad == before[name][1]
        assert value.grad is None
    assert all(not module._forward_hooks for module in network.module.modules())
