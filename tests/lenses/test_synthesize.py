"""The lens `synthesize`: what is asked for becomes jobs, sizes, photographs to start from, an atlas beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import progress, registry, tap
from striate.errors import AddressError, NetworkError, OptionError, Stopped
from striate.lenses import synthesize
from striate.synthesis import direction, objective
from striate.synthesis.recipes import RECIPES
from striate.synthesis.sizing import sized


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip
    spec = striate.InputSpec(3, 60, 64, mean=(0.5,), std=(0.25,))
    return striate.Network(module, spec, ["ant", "bee", "crane"], name="small")


def test_channels_layers_sums_and_classes_in_one_call(network):
    result = synthesize(network, ["2:1", "0", "class:bee - class:ant", 2, "0:3", "2:1@4,4"], steps=2)
    assert [(one.title, len(one), one.whole) for one in result.made] == [
        ("0", 5, True), ("2", 1, False), ("classes", 2, False), ("0", 1, False), ("2", 1, False),
    ]  # fmt: skip
    assert result.labels == (
        *(f"0:{index}" for index in range(5)), "2:1", "class:bee - class:ant", "class:crane", "0:3", "2:1@4,4",
    )  # fmt: skip
    assert result.made[2].numbers == ("bee - class:ant", "crane")
    assert result.recipe.target == ("2:1", "0", "class:bee - class:ant", "class:2", "0:3", "2:1@4,4")


def test_what_it_tells_is_the_answer_of_what_it_shows(network):
    one = synthesize(network, "2", steps=6).made[0]
    shown = network.spec.normalise(torch.from_numpy(one.pictures).float() / 255)
    maps = tap.activations(network, shown, ["2"]).outputs["2"]
    peaks = torch.stack([maps[index, index].max() for index in range(4)])
    np.testing.assert_allclose(one.peaks, peaks.numpy(), rtol=1e-4, atol=1e-5)
    assert (one.reached > one.start).all()
    assert not one.failed.any()


def test_the_size_follows_what_a_unit_sees(network):
    # a unit of the first layer sees 3 x 3 pixels: the smallest canvas; a class the network's own size
    result = synthesize(network, ["0:1", "class:bee"], steps=1)
    assert [one.pictures.shape[2:] for one in result.made] == [(48, 48), (60, 64)]
    assert result.made[0].size_note == "A unit of 0 sees 3 x 3 pixels."
    assert synthesize(network, "0:1", size=(20, 30), steps=1).made[0].pictures.shape == (1, 3, 20, 30)
    large = striate.Network(network.module, striate.InputSpec(3, 480, 640))
    assert sized(large, None) == type(sized(large, None))(128, 171)


def test_a_network_of_one_size_gets_that():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 198 * 148, 2))
    fixed = sized(striate.Network(module, striate.InputSpec(3, 200, 150), name="rigid"), "0")
    assert (fixed.height, fixed.width) == (200, 150)
    assert fixed.why == "rigid takes pictures of 200 x 150 only."


def test_several_pictures_of_one_unit_differ(network):
    one = synthesize(network, "2:1", several=3, steps=4).made[0]
    assert one.labels == ("2:1",) * 3
    assert (one.pictures[0] != one.pictures[1]).any()
    assert (synthesize(network, "class:bee", several=2, steps=2).made[0].labels) == ("class:bee",) * 2
    first = synthesize(network, "2:1", several=3, steps=4, diversity=0.0).made[0].pictures[0]
    alone = synthesize(network, "2:1", steps=4).made[0].pictures[0]
    assert np.abs(first.astype(int) - alone.astype(int)).max() <= 2  # the rounding of another batch


def test_it_starts_from_photographs(network):
    photographs = torch.rand(2, 3, 60, 64, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    images = network.spec.normalise(photographs)
    both = synthesize(network, "2:1", images, steps=1)
    assert both.labels == ("2:1", "2:1")
    near = np.abs(both.made[0].pictures.astype(float) - photographs.numpy() * 255).mean((1, 2, 3))
    assert (near < 12).all()
    each = synthesize(network, ["2:0", "2:1"], images, steps=1)
    assert len(each) == 2
    assert synthesize(network, "0", images[:1], size=(30, 32), steps=1).made[0].pictures.shape == (5, 3, 30, 32)
    with pytest.raises(OptionError, match="2 photographs to start from for 3 targets"):
        synthesize(network, ["2:0", "2:1", "2:2"], images)


def test_photographs_are_cut_not_distorted(network):
    # a light square in the middle of 60 x 64 pixels, which is 20 x 20 of them, stays a square of as many
    square = torch.zeros(1, 3, 60, 64)
    square[..., 20:40, 22:42] = 1
    result = synthesize(network, "2:1", network.spec.normalise(square), size=(30, 64), steps=1)
    light = result.made[0].frames[0, 0, 0] > 127
    assert (light.any(0).sum(), light.any(1).sum()) == (20, 20)


def test_objectives_of_ones_own(network):
    goals = [direction(network, "2", torch.tensor([1.0, 0.0, -1.0, 0.0])), objective(network, "0:1") * 2.0]
    result = synthesize(network, goals, steps=2)
    assert result.labels == ("2 direction", "2*0:1")


def test_words_stand_for_layers_each_once(network):
    # the last at each resolution: behind both rectifiers; a layer that was named before is not made again
    result = synthesize(network, ["3", "stages", "class:bee", "1:2"], per_layer=2, steps=1)
    assert [(one.title, one.whole) for one in result.made] == [
        ("3", True),
        ("1", True),
        ("classes", False),
        ("1", False),
    ]
    assert result.labels == ("3:0", "3:2", "1:0", "1:2", "class:bee", "1:2")
    assert result.recipe.target == ("3", "stages", "class:bee", "1:2")
    twice = synthesize(network, ["rectifiers", "stages", "3", "3~1"], per_layer=1, steps=1)
    assert [one.title for one in twice.made] == ["1", "3"]
    every = synthesize(network, "all", per_layer=1, steps=1)
    assert [one.title for one in every.made] == ["0", "1", "2", "3", "4", "5", "6"]


def test_channels_of_a_layer_are_evenly_spread(network):
    assert synthesize(network, "0", per_layer=2, steps=1).labels == ("0:0", "0:2")  # of five
    assert synthesize(network, "6", per_layer=2, steps=1).made[0].share == "2 of 3 channels."
    few = synthesize(network, "0", per_layer=9, steps=1).made[0]
    assert few.labels == tuple(f"0:{index}" for index in range(5))
    assert few.share == ""
    assert len(synthesize(network, "0", per_layer=2, several=3, diversity=0, steps=1)) == 6


def test_a_layer_says_where_it_stands(network):
    made = synthesize(network, ["convolutions", "class:bee"], per_layer=1, steps=1).made
    assert [one.place for one in made] == [
        "Layer 1 of 7; a unit sees 3 x 3 pixels.", "Layer 3 of 7; a unit sees 5 x 5 pixels.", "",
    ]  # fmt: skip
    gated = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pooled = synthesize(striate.Network(gated, striate.InputSpec(3, 8, 6)), "1:1", steps=1).made[0]
    assert pooled.place == "Layer 2 of 3; a unit sees all of the picture."


def test_a_word_that_no_layer_fits_and_one_that_is_a_layer(network):
    flat = striate.Network(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 6, 4)), striate.InputSpec(3, 8, 6), name="flat"
    )
    with pytest.raises(NetworkError, match=r"flat has no rectifiers among its modules. Name layers of it: 0, 1\."):
        synthesize(flat, "rectifiers", steps=1)
    module = nn.Sequential()
    module.add_module("stages", nn.Conv2d(3, 2, 3))
    module.add_module("last", nn.Flatten())
    named = striate.Network(module, striate.InputSpec(3, 8, 6))
    assert synthesize(named, "stages", steps=1).labels == ("stages:0", "stages:1")


def test_layers_of_a_word_from_one_photograph_and_one_layer_from_two(network):
    photographs = network.spec.normalise(torch.rand(2, 3, 60, 64, generator=torch.Generator().manual_seed(0)))
    assert len(synthesize(network, "stages", photographs[:1], per_layer=1, steps=1).made) == 2
    both = synthesize(network, ["2", "2"], photographs, per_layer=1, steps=1).made
    assert [one.title for one in both] == ["2", "2"]
    assert (both[0].pictures != both[1].pictures).any()
    with pytest.raises(OptionError, match="2 photographs to start from for 7 targets"):
        synthesize(network, "all", photographs)


def test_a_recipe_of_ones_own(network, tmp_path):
    own = replace(RECIPES["pixels"], name="own", steps=2)
    made = synthesize(network, "2:1", recipe=own)
    assert (made.method, made.made[0].curve_steps[-1]) == ("own", 2)
    path = made.save(tmp_path / "own.npz")
    with pytest.raises(OptionError, match="the option 'recipe' was given in Python as object Recipe"):
        striate.again(path, network)
    again = striate.again(path, network, options={"recipe": own})
    np.testing.assert_array_equal(again.made[0].pictures, made.made[0].pictures)
    assert registry.describe("synthesize").options[0].choices == tuple(RECIPES)


def test_weights_of_many_digits_are_made_again(network, tmp_path):
    goal = objective(network, "2:1") * 0.123456789 - objective(network, "2:0") * 1e-7
    first = synthesize(network, goal, size=24, steps=2)
    assert first.labels == ("0.123456789*2:1 - 1e-07*2:0",)
    read = objective(network, first.labels[0])
    assert [term.weight for term in read.terms] == [0.123456789, -1e-7]
    path = synthesize(network, first.labels[0], size=24, steps=2).save(tmp_path / "sum.npz")
    again = striate.again(path, network)
    np.testing.assert_array_equal(again.made[0].pictures, first.made[0].pictures)


def test_a_saved_result_is_made_again(network, tmp_path):
    first = synthesize(network, ["2:1", "0"], steps=3, seed=5)
    again = striate.again(first.save(tmp_path / "made.npz"), network)
    for key, array in first.arrays().items():
        assert array.tobytes() == again.arrays()[key].tobytes(), key


def test_the_best_real_pictures_stand_beside(network, tmp_path):
    from PIL import Image

    for index in range(6):
        noise = np.random.default_rng(index).integers(0, 256, (60, 64, 3), dtype=np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{index}.png")
    atlas = striate.atlas.build(network, tmp_path / "photos", tmp_path / "small.atlas", layers=["0", "2"])
    result = synthesize(network, ["0:1", "2", "class:bee"], atlas=tmp_path / "small.atlas", steps=8)
    assert result.real_pictures == 6
    single = next(one for one in result.made if one.title == "0")
    whole = next(one for one in result.made if one.whole)
    assert single.real.tolist() == pytest.approx([float(atlas.layer("0").top_values[1, 0])])
    assert whole.real.tolist() == pytest.approx(atlas.layer("2").top_values[:, 0].tolist())
    assert np.isnan(next(one for one in result.made if one.title == "classes").real).all()
    assert any(note.startswith("No real pictures beside class:bee") for note in result.recipe.notes)
    assert result.recipe.options["atlas"].endswith("small.atlas")


def test_a_stop_keeps_what_was_made(network):
    with progress.stoppable() as stop:

        def hear(event):
            if event.task == "synthesize 2" and event.done == 2:
                stop.stop()

        with progress.listen(hear):
            result = synthesize(network, ["0", "2", "class:bee"], steps=4)
        assert [one.title for one in result.made] == ["0", "2"]
        assert result.recipe.notes == (
            "Stopped at step 2 of 4, as asked: the best so far is kept.",
            "Stopped, as asked, before 1 more picture was begun.",
        )
        with pytest.raises(Stopped):
            synthesize(network, "0", steps=4)


def test_what_is_told_while_it_works(network):
    events = []
    with progress.listen(events.append):
        synthesize(network, ["0:1", "class:bee"], steps=4)
    assert [event.task for event in events if event.done == 4] == ["synthesize 0", "synthesize classes"]
    assert any(event.picture is not None for event in events)


WRONG = {
    "no recipe 'lucid2'; there are lucid, yosinski-1": (OptionError, "2:1", {"recipe": "lucid2"}),
    "pixels. Did you mean yosinski-4?": (OptionError, "2:1", {"recipe": "yosinsky-4"}),
    "per_layer must be at least 1, got 0": (OptionError, "2", {"per_layer": 0}),
    "several must be at least 1": (OptionError, "2:1", {"several": 0}),
    "size is one number of pixels, or height and width": (OptionError, "2:1", {"size": (1, 2, 3)}),
    "cannot be run on pictures of 3 x 3 pixels": (OptionError, "2:1", {"size": 3}),
    "no channel 7 in '2': it has 4": (AddressError, "2:7", {}),
    "no layer 'layer9' in this network": (AddressError, "layer9", {}),
    "no unit was named": (AddressError, [], {}),
    "no class 'wasp'": (AddressError, "class:wasp", {}),
    "no start 'gray'": (OptionError, "2:1", {"start": "gray"}),
    "start='grey' and photographs": (OptionError, "2:1", {"start": "grey", "images": torch.zeros(1, 3, 60, 64)}),
    "chunk must be at least 1, got 0": (OptionError, "2:1", {"chunk": 0}),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_requests_are_explained(network, message):
    kind, target, options = WRONG[message]
    with pytest.raises(kind) as error:
        synthesize(network, target, **{"steps": 1, **options})
    assert message in str(error.value)


def test_without_maps_several_pictures_of_a_class_differ_by_their_seeds_alone():
    flat = striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 6, 4)), striate.InputSpec(3, 8, 6))
    with pytest.raises(OptionError, match="no layer with a map at which pictures of class:1 could be kept apart"):
        synthesize(flat, "class:1", several=2, steps=1)
    pictures = synthesize(flat, "class:1", several=2, diversity=0, steps=1).made[0].pictures
    assert not np.array_equal(pictures[0], pictures[1])
    assert len(synthesize(flat, "1:2", several=2, steps=1)) == 2  # a vector that is asked for is compared itself


def test_it_is_a_lens_that_needs_no_picture():
    info = registry.describe("synthesize")
    assert info.required == frozenset({"target"})
    assert {"images", "target", "atlas"} <= info.needs


def test_on_a_real_network_it_beats_real_pictures(lite0, astronaut, chelsea, photographs):
    images = lite0.read([astronaut, chelsea, photographs / "coffee.png", photographs / "rocket.jpg"])
    best = tap.activations(lite0, lite0.batch(images), ["blocks.1"]).outputs["blocks.1"].amax((0, 2, 3))
    one = synthesize(lite0, [f"blocks.1:{channel}" for channel in (2, 9, 16)], steps=32).made[0]
    assert one.pictures.shape == (3, 3, 48, 48)
    assert (one.peaks > best[[2, 9, 16]].numpy()).all()
