"""Patches of an atlas against gradients taken by hand, brute force over squares, and what the messages say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from atlas.making import make_atlas
from lenses.small_atlas import PLACES, make_network, pictures_of, small_atlas
from striate import progress, tap
from striate.errors import AddressError, AtlasError, OptionError, Stopped
from striate.lenses import patches
from striate.lenses._windows import smallest_square

COUNT = 40


def by_hand(network, image, place, channel, position):
    """The gradient of one unit at one picture, with nothing of ours but the module."""
    reached = {}
    handle = network.module.get_submodule(place).register_forward_hook(
        lambda _module, _given, output: reached.update(output=output)
    )
    leaf = image[None].clone().requires_grad_()
    try:
        network.module.eval()
        network.module(leaf)
    finally:
        handle.remove()
    unit = reached["output"][(0, channel, *position)]
    (gradient,) = torch.autograd.grad(unit, leaf)
    return float(unit.detach()), gradient[0]


@pytest.mark.parametrize("place", ["first", "second", "second_relu", "deep"])
def test_a_patch_is_the_gradients_support_in_the_very_picture(network, images, atlas, place):
    channel = int(atlas.layer(place).top_values[:, 8].argmax())  # one that fires
    found = patches(network, atlas, f"{place}:{channel}", top=9, beside="gradient", crop="field")
    reached = np.zeros(4, dtype=bool)
    for patch in found.rows[0].patches:
        value, gradient = by_hand(network, images[patch.picture], place, channel, patch.position)
        assert patch.value == pytest.approx(value, rel=1e-4, abs=1e-6)
        np.testing.assert_array_equal(patch.whole, network.spec.pixels(images[patch.picture][None])[0])
        top, left, bottom, right = patch.field
        inside = gradient[:, top : bottom + 1, left : right + 1]
        assert gradient.abs().sum() == pytest.approx(float(inside.abs().sum()), rel=1e-6)  # nothing lies outside
        # the window may reach beyond the border: there is no picture there, and no signal
        assert patch.signal.shape[1:] == patch.missing.shape == patch.pixels.shape[:2]
        assert not patch.signal[:, patch.missing].any()
        kept = patch.signal[:, ~patch.missing].reshape(3, bottom - top + 1, right - left + 1)
        np.testing.assert_allclose(kept, inside.numpy(), rtol=1e-4, atol=1e-7)
        edges = inside.abs().sum(0)
        reached |= [bool(edge.any()) for edge in (edges[0], edges[:, 0], edges[-1], edges[:, -1])]
    assert reached.all()  # and its borders are reached


def test_a_window_at_the_border_keeps_its_size_and_says_what_is_missing(network, atlas):
    found = patches(network, atlas, "second", top=9, units=6, beside="none")
    every = [patch for row in found.rows for patch in row.patches]
    assert {patch.pixels.shape for patch in every} == {(7, 7, 3)}  # 3 + (3 - 1) * 2
    cut_off = [patch for patch in every if patch.missing.any()]
    assert cut_off
    for patch in every:
        top, left, bottom, right = patch.window
        rows, columns = np.arange(top, bottom + 1), np.arange(left, right + 1)
        outside = ((rows < 0) | (rows >= 26))[:, None] | ((columns < 0) | (columns >= 22))[None]
        np.testing.assert_array_equal(patch.missing, outside)
    assert "Striped: beyond the picture's border" in found.caption()


def test_patches_of_many_units_are_those_of_each_alone(network, images, atlas):
    together = patches(network, atlas, ["second:0", "deep:3", "second:5"], top=4)
    assert [row.address for row in together.rows] == ["second:0", "deep:3", "second:5"]
    for row in together.rows:
        place, channel = row.address.split(":")
        for patch in row.patches:
            target = f"{place}:{channel}@{patch.position[0]},{patch.position[1]}"
            alone = tap.gradient(network, images[patch.picture][None], target, rule="guided").values[0]
            top, left, bottom, right = patch.window
            if not patch.missing.any():
                part = alone[:, top : bottom + 1, left : right + 1].numpy()
                np.testing.assert_allclose(patch.signal, part, rtol=1e-4, atol=1e-7)


def test_the_smallest_square_against_all_squares():
    draw = np.random.default_rng(0)
    for height, width in ((9, 13), (13, 9), (8, 8)):
        energy = draw.random((height, width)) ** 8
        top, left, bottom, right = smallest_square(energy, 0.6)
        side = max(bottom - top, right - left) + 1

        def most(side, energy=energy):
            down, across = min(side, energy.shape[0]), min(side, energy.shape[1])
            return max(
                energy[row : row + down, column : column + across].sum()
                for row in range(energy.shape[0] - down + 1)
                for column in range(energy.shape[1] - across + 1)
            )

        assert energy[top : bottom + 1, left : right + 1].sum() >= 0.6 * energy.sum()
        assert most(side - 1) < 0.6 * energy.sum()
    assert smallest_square(np.zeros((4, 6)), 0.9) == (0, 0, 3, 5)
    assert smallest_square(np.eye(5) * [0, 0, 0, 1, 0], 0.9) == (3, 3, 3, 3)


def test_a_unit_that_sees_all_is_cut_to_what_counts(network, images, atlas):
    found = patches(network, atlas, "deep:2", beside="gradient")
    for patch in found.rows[0].patches:
        _, gradient = by_hand(network, images[patch.picture], "deep", 2, patch.position)
        energy = (gradient**2).sum(0).numpy()
        assert patch.narrowed
        assert patch.window == smallest_square(energy, 0.9)
        top, left, bottom, right = patch.window
        assert energy[top : bottom + 1, left : right + 1].sum() >= 0.9 * energy.sum() * (1 - 1e-6)
    assert "smallest square is cut out that holds 90 % of the energy" in found.caption()
    whole = patches(network, atlas, "deep:2", beside="none")
    assert not any(patch.narrowed for patch in whole.rows[0].patches)
    assert all(patch.window == patch.field for patch in whole.rows[0].patches)


def test_context_shows_more_and_frames_what_is_seen(network, atlas):
    found = patches(network, atlas, "first:1", context=1.0, beside="none", top=3)
    assert {patch.pixels.shape for patch in found.rows[0].patches} == {(9, 9, 3)}
    assert all(patch.frame == patch.field for patch in found.rows[0].patches)


def test_top_bottom_and_strip_are_in_order(network, images, atlas):
    maps = tap.activations(network, images, ["second"]).outputs["second"]
    values = maps[:, 3].amax((1, 2)).sort().values.tolist()
    found = {
        which: patches(network, atlas, "second:3", which=which, beside="none") for which in ("top", "bottom", "strip")
    }
    order = {which: [patch.value for patch in one.rows[0].patches] for which, one in found.items()}
    assert order["top"] == pytest.approx(values[::-1][:9], rel=1e-5)
    assert order["bottom"] == pytest.approx(values[:9], rel=1e-5)
    assert order["strip"] == pytest.approx([values[int((part + 0.5) * 40 / 9)] for part in range(9)], rel=1e-5)


def test_vectors_and_classes(network, images, atlas):
    found = patches(network, atlas, ["class:bee", 2], top=2)
    assert [row.title for row in found.rows] == ["head:1 (bee)", "head:2 (crane)"]
    best = network(images)[:, 1].topk(2)
    assert [patch.picture for patch in found.rows[0].patches] == best.indices.tolist()
    assert found.rows[0].patches[0].position is None
    assert found.rows[0].patches[0].label == ("ant", "bee", "crane")[best.indices[0] % 3]


def test_a_whole_layer_is_spread_over_what_fires(tmp_path):
    network = make_network(seed=3)
    with torch.no_grad():
        network.module.first.weight[1].zero_()
        network.module.first.bias[1] = -1
    atlas = small_atlas(tmp_path / "a", network, pictures_of(network, 12))
    rows = patches(network, atlas, "first_relu", units=3, beside="none").rows
    assert [row.address for row in rows] == ["first_relu:0", "first_relu:3", "first_relu:4"]  # of 0, 2, 3, 4
    dead = patches(network, atlas, "first_relu:1", beside="none")
    assert dead.recipe.notes == ("Never above 0, so that the pictures shown mean nothing: first_relu:1.",)


def test_answers_at_a_ceiling_are_said_to_mean_little(tmp_path):
    network = make_network(rectifier=nn.ReLU6)
    with torch.no_grad():
        network.module.first.bias[2] = 100
    atlas = small_atlas(tmp_path / "a", network, pictures_of(network, 12))
    found = patches(network, atlas, ["first_relu:2", "first:2"], top=3)
    assert found.recipe.notes[0] == (
        "No rectifier lies between the picture and first, so guided backprop is the plain gradient there."
    )
    assert found.recipe.notes[1].startswith("1 unit answered alike (6) in all of the pictures shown")
    assert found.recipe.notes[1].endswith("first, before it, tells them apart.")
    assert "here always 6" in found.rows[0].sentence()


def test_without_rectifiers_the_gradient_takes_the_place_of_the_rule(tmp_path):
    network = make_network(rectifier=nn.Tanh)
    atlas = small_atlas(tmp_path / "a", network, pictures_of(network, 12))
    guided, plain = (patches(network, atlas, "second:1", top=3, beside=rule) for rule in ("guided", "gradient"))
    assert "so guided backprop is the plain gradient there" in guided.recipe.notes[0]
    for one, other in zip(guided.rows[0].patches, plain.rows[0].patches, strict=True):
        np.testing.assert_array_equal(one.signal, other.signal)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels, tmp_path):
    network = make_network(channels)
    images = pictures_of(network, 12)
    files = []
    for index, image in enumerate(network.spec.denormalise(images)):
        files.append(tmp_path / f"{index}.npy")
        np.save(files[-1], image.permute(1, 2, 0).clamp(0, 1).numpy())
    atlas = small_atlas(tmp_path / "a", network, images, paths=files)
    found = patches(network, atlas, "second:0", top=3)
    assert found.rows[0].patches[0].signal.shape == (1, 7, 7)
    assert found.figure() is not None


def test_pictures_that_are_gone_are_said_and_the_rest_is_shown(network, images, tmp_path):
    files = []
    for index, pixels in enumerate(network.spec.pixels(images[:12])):
        files.append(tmp_path / f"{index}.npy")
        np.save(files[-1], pixels)
    atlas = small_atlas(tmp_path / "a", network, images[:12], paths=files)
    best = patches(network, atlas, "second:0", top=3, beside="none").rows[0].patches[0].picture
    files[best].unlink()
    found = patches(network, atlas, "second:0", top=3)
    gone, *others = found.rows[0].patches
    assert gone.whole is None
    assert gone.signal is None
    assert gone.pixels is None
    assert all(patch.signal is not None for patch in others)
    assert "1 picture of the atlas cannot be read and is left out" in found.recipe.notes[0]
    assert found.drawings()[0].pixels.ndim == 3
    assert json.loads(found.save(tmp_path / "p.json").read_text())["units"][0]["patches"][0]["read"] is False


def test_a_picture_that_changed_is_noticed(network, images, tmp_path):
    files = []
    for index, pixels in enumerate(network.spec.pixels(images[:12])):
        files.append(tmp_path / f"{index}.npy")
        np.save(files[-1], pixels)
    atlas = small_atlas(tmp_path / "a", network, images[:12], paths=files)
    assert patches(network, atlas, "second:0", top=3).recipe.notes == ()
    best = patches(network, atlas, "second:0", top=1).rows[0].patches[0].picture
    np.save(files[best], 255 - np.load(files[best]))
    assert "1 answer came out otherwise than in the atlas" in patches(network, atlas, "second:0", top=3).recipe.notes[0]


WRONG = {
    "no layer 'secnd' in this network. Did you mean second": (AddressError, {"target": "secnd:1"}),
    r"layer 'pool' is not in the atlas .* comes from second, which is\.": (AddressError, {"target": "pool:1"}),
    "no channel 6 in 'second': it has 6, 0 to 5": (AddressError, {"target": "second:6"}),
    "is one position of a map, and an atlas knows the strongest": (AddressError, {"target": "second:1@2,3"}),
    "no unit was named": (AddressError, {"target": []}),
    "10 patches of each unit, and the atlas keeps 9": (OptionError, {"top": 10}),
    "top must be at least 1": (OptionError, {"top": 0}),
    "context must be 0 or more": (OptionError, {"context": -1.0}),
    "units must be at least 1": (OptionError, {"units": 0}),
    "no beside 'guide'": (OptionError, {"beside": "guide"}),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_is_explained(network, atlas, message):
    kind, options = WRONG[message]
    with pytest.raises(kind, match=message):
        patches(network, atlas, **{"target": "second:1", **options})


def test_an_atlas_of_another_network_is_refused(atlas):
    with pytest.raises(AtlasError, match="was built with small"):
        patches(make_network(seed=9), atlas, "second:1")


def test_it_is_made_again_from_its_recipe_and_drawn(network, atlas, tmp_path):
    first = patches(network, atlas, ["second:1", "deep"], top=3, units=4)
    recipe = json.loads(first.save(tmp_path / "one.json").read_text())["recipe"]
    assert recipe["options"]["atlas"] == str(atlas.path)
    again = patches(network, target=recipe["target"], **recipe["options"])
    for key, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[key], err_msg=key)
    assert len(first.drawings()) == len(first) == 5
    assert first.drawings()[0].title == "second:1"
    assert first.figure().get_figwidth() < 12


def test_all_layers_can_be_asked_at_once(network, atlas):
    found = patches(network, atlas, list(PLACES), top=1, units=1, beside="none")
    assert [row.address.split(":")[0] for row in found.rows] == list(PLACES)


def test_it_can_be_stopped_and_leaves_the_network_as_it_was(network, atlas):
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    network.module.train()
    try:
        patches(network, atlas, "second:1", top=2)
        assert all(part.training for part in network.module.modules())
        assert all(weight.requires_grad and weight.grad is None for weight in network.module.parameters())
        with progress.stoppable() as stop:
            stop.stop()
            with pytest.raises(Stopped):
                patches(network, atlas, "second:1", top=2)
    finally:
        network.module.eval()
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_boxes_of_a_real_network_hold_all_of_the_gradient(lite0, sample_photographs, tmp_path):
    paths = [path for path, _ in sample_photographs[::200]]
    images = lite0.read(paths)
    layer = "blocks.2.1.bn2"
    atlas = make_atlas(tmp_path / "a", lite0, images, [layer], paths=paths, top=2)
    found = patches(lite0, atlas, layer, units=3, top=2, beside="gradient")
    assert found.recipe.notes == ()
    for row in found.rows:
        for patch in row.patches:
            target = f"{row.address}@{patch.position[0]},{patch.position[1]}"
            whole = tap.gradient(lite0, images[patch.picture][None], target).values[0]
            assert patch.value == pytest.approx(patch_value(lite0, images[patch.picture], target), rel=1e-3)
            # the signal cut out is all there is
            assert float((whole**2).sum()) == pytest.approx(float((patch.signal**2).sum()), rel=1e-3)
            assert patch.signal.shape == (3, 67, 67)


def patch_value(network, image, target):
    place, unit = target.split(":")
    channel, position = unit.split("@")
    row, column = map(int, position.split(","))
    return float(tap.activations(network, image[None], [place]).outputs[place][0, int(channel), row, column])


def test_cells_are_the_patches_fitted_into_squares(network, atlas):
    found = patches(network, atlas, ["second:0", "second:3"], top=2, beside="none")
    cells = found.cells(20)
    assert cells.shape == (4, 20, 20, 3)
    for cell, patch in zip(cells, [one for row in found.rows for one in row.patches], strict=True):
        high, wide = patch.pixels.shape[:2]
        scale = 20 / max(high, wide)
        rows, columns = (np.arange(round(length * scale)) * length // round(length * scale) for length in (high, wide))
        fitted, missing = patch.pixels[rows][:, columns], patch.missing[rows][:, columns]
        top, left = (20 - fitted.shape[0]) // 2, (20 - fitted.shape[1]) // 2
        inner = cell[top : top + fitted.shape[0], left : left + fitted.shape[1]]
        np.testing.assert_array_equal(inner[~missing], fitted[~missing])


def test_cells_of_signals_are_brighter_where_the_signal_is_larger_about_mid_grey(network, atlas):
    found = patches(network, atlas, "second_relu:0", top=2, beside="guided", crop="field")
    patch = found.rows[0].patches[0]
    assert patch.signal is not None
    assert patch.signal.shape == (3, 7, 7)
    shown = found.cells(42, signals=True)[0, ::6, ::6][~patch.missing].astype(int).ravel()  # hard pixels, 6 wide
    signal = np.moveaxis(patch.signal, 0, -1)[~patch.missing].ravel()
    assert (np.diff(shown[np.argsort(signal, kind="stable")]) >= 0).all()
    assert shown[np.abs(signal).argmax()] in (0, 255)
    assert (shown[signal > 0] >= 127).all()
    assert (shown[signal < 0] <= 128).all()
