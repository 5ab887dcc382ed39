from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import Tensor, nn

import striate
from striate import progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.perturbation.masks import mask_scores, smooth_masks, superpixel_masks
from striate.perturbation.readout import spread
from truth.nets import Branches

SIZE = (30, 26)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    spec = striate.InputSpec(channels=3, height=SIZE[0], width=SIZE[1], mean=(0.5,) * 3, std=(0.25,) * 3)
    return striate.Network(Branches().eval(), spec)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def image(network):
    return network.batch(noise(1, 3, *SIZE))


FILL = noise(3, *SIZE, seed=1)
MASKS = torch.rand(9, *SIZE, generator=torch.Generator().manual_seed(2))


def given(start: int, stop: int) -> Tensor:
    return MASKS[start:stop]


def one_by_one(network, image, read) -> Tensor:
    """Score each masked picture by itself, without the library."""
    found = []
    with torch.no_grad():
        for mask in MASKS:
            picture = torch.empty_like(image)
            for channel in range(3):
                picture[0, channel] = mask * image[0, channel] + (1 - mask) * FILL[channel]
            found.append(read(network.module, picture))
    return torch.stack(found)


@pytest.mark.parametrize("chunk", [None, 1, 2, 5, 100])
def test_scores_are_those_of_the_masked_pictures(network, image, chunk):
    expected = one_by_one(network, image, lambda module, picture: module(picture)[0, [2, 0]])
    _, targets, _ = spread(network, image, [2, 0])
    scored = mask_scores(network, image, given, 9, FILL, targets, chunk=chunk)
    torch.testing.assert_close(scored.values, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scored.clean, network(image)[0, [2, 0]])


def test_scores_of_units_and_channels(network, image):
    def read(module, picture):
        kept = []
        handle = module.main.register_forward_hook(lambda *call: kept.append(call[2]))
        module(picture)
        handle.remove()
        return torch.stack([kept[0][0, 3, 2, 1], kept[0][0, 1, 0, 4]])

    _, targets, _ = spread(network, image, ["main:3@2,1", "main:1@0,4"])
    scored = mask_scores(network, image, given, 9, FILL, targets, chunk=4, score="probability")
    torch.testing.assert_close(scored.values, one_by_one(network, image, read), rtol=1e-4, atol=1e-5)


def test_open_and_shut_masks_are_the_picture_and_the_fill_exactly(network, image):
    _, targets, _ = spread(network, image, 1)
    ends = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, *SIZE)
    scored = mask_scores(network, image, lambda a, b: ends[a:b], 2, FILL, targets, chunk=1)
    assert scored.values[0] == scored.clean == network(image)[0, 1]
    assert scored.values[1] == network(FILL[None])[0, 1]


def test_probabilities(network, image):
    expected = one_by_one(network, image, lambda module, picture: module(picture).softmax(1)[0, [3, 1]])
    _, targets, _ = spread(network, image, [3, 1])
    scored = mask_scores(network, image, given, 9, FILL, targets, score="probability")
    torch.testing.assert_close(scored.values, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scored.clean, network(image).softmax(1)[0, [3, 1]])


def test_the_probability_of_one_logit_is_that_of_yes(image):
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    network = striate.Network(module, striate.InputSpec(3, *SIZE))
    _, targets, _ = spread(network, image, 0)
    scored = mask_scores(network, image, given, 9, FILL, targets, score="probability")
    torch.testing.assert_close(scored.clean, network(image)[0].sigmoid())
    assert 0 < scored.values.min() < scored.values.max() < 1


def test_bfloat16_is_near_and_leaves_the_weights_alone(network, image):
    _, targets, _ = spread(network, image, [2, 0])
    exact = mask_scores(network, image, given, 9, FILL, targets)
    rough = mask_scores(network, image, given, 9, FILL, targets, precision="bfloat16")
    difference = (rough.values - exact.values).abs().max()
    assert 0 < difference < 0.05 * exact.values.abs().max()
    assert (exact.details["precision"], rough.details["precision"]) == ("float32", "bfloat16")
    assert rough.values.dtype == torch.float32
    assert {weight.dtype for weight in network.module.parameters()} == {torch.float32}


def test_pieces_are_halved_when_memory_runs_out(network, image, monkeypatch):
    module = importlib.import_module("striate.perturbation.masks")
    _, targets, _ = spread(network, image, 1)
    expected = mask_scores(network, image, given, 9, FILL, targets).values
    run, sizes = module.run, []

    def scarce(net, pictures):
        sizes.append(len(pictures))
        if len(pictures) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return run(net, pictures)

    monkeypatch.setattr(module, "run", scarce)
    found = mask_scores(network, image, given, 9, FILL, targets, chunk=8).values
    torch.testing.assert_close(found, expected)
    assert sizes == [1, 8, 4, 2, 2, 2, 2, 1]  # the clean picture first


def test_a_network_for_single_pictures_gets_single_pictures(network, image):
    single = striate.Network(network.module, network.spec, one_by_one=True)
    seen = []
    handle = network.module.register_forward_hook(lambda *call: seen.append(len(call[1][0])))
    _, targets, _ = spread(single, image, 1)
    mask_scores(single, image, given, 9, FILL, targets, chunk=4)
    handle.remove()
    assert set(seen) == {1}


def test_progress_is_told_and_the_job_can_be_stopped(network, image):
    _, targets, _ = spread(network, image, 1)
    events: list[progress.Event] = []
    with progress.listen(events.append):
        mask_scores(network, image, given, 9, FILL, targets, chunk=4, task="hiding")
    assert [(one.task, one.done, one.total) for one in events] == [("hiding", done, 9) for done in (0, 4, 8, 9)]
    with progress.stoppable() as stop, progress.listen(lambda event: stop.stop()), pytest.raises(Stopped):
        mask_scores(network, image, given, 9, FILL, targets, chunk=4)


class Fragile(nn.Module):
    """A network that answers with no number when the first pixel is hidden."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        broken = images[:, 0, 0, 0] == 0
        return torch.stack([mean, mean.masked_fill(broken, float("nan"))], dim=1)


def test_a_score_that_is_no_number_is_named():
    network = striate.Network(Fragile(), striate.InputSpec(3, 4, 4), ["ant", "bee"])
    image = torch.full((1, 3, 4, 4), 0.5)
    masks = torch.ones(7, 4, 4)
    masks[5, 0, 0] = 0
    _, targets, _ = spread(network, image, ["class:ant", "class:bee"])
    with pytest.raises(NetworkError, match=r"score of class:bee is nan when part .* hidden \(mask 6 of 7\)"):
        mask_scores(network, image, lambda a, b: masks[a:b], 7, torch.zeros(3, 4, 4), targets, chunk=4)


def test_a_chunk_of_nothing_is_refused(network, image):
    _, targets, _ = spread(network, image, 1)
    with pytest.raises(OptionError, match="chunk must be at least 1, got 0"):
        mask_scores(network, image, given, 9, FILL, targets, chunk=0)


def test_superpixels_are_switched_by_hand():
    labels = torch.tensor([[0, 0, 1], [2, 1, 1]])
    design = torch.tensor([[True, False, True], [False, True, False]])
    masks = superpixel_masks(design, labels, CPU)
    assert masks(0, 2).tolist() == [[[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 1]]]
    assert masks(1, 2).tolist() == [[[0, 0, 1], [0, 1, 1]]]


@pytest.mark.parametrize("size", [(21, 30), (8, 8), (5, 3)])
def test_smooth_masks_are_enlarged_grids_cut_out_at_a_shift(size):
    masks = smooth_masks(6, size, cells=4, keep=0.5, seed=1)
    shown = masks.on(CPU)(0, 6)
    cell = [-(-side // 4) for side in size]
    for grid, (down, across), mask in zip(masks.grids, masks.shifts.tolist(), shown, strict=True):
        whole = resize(grid.numpy(), (5 * cell[0], 5 * cell[1]), order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(mask, whole[down : down + size[0], across : across + size[1]], rtol=0, atol=1e-6)
        assert 0 <= down < cell[0]
        assert 0 <= across < cell[1]
    assert set(masks.grids.unique().tolist()) == {0.0, 1.0}


def test_smooth_masks_are_as_open_as_promised_at_every_pixel():
    shown = smooth_masks(6000, (14, 11), cells=3, keep=0.3, seed=0).on(CPU)(0, 6000)
    assert 0 <= shown.min() < shown.max() <= 1
    # the standard error of a cell's mean is 0.006
    torch.testing.assert_close(shown.mean(0), torch.full((14, 11), 0.3), rtol=0, atol=0.03)


def test_a_smooth_mask_depends_on_its_number_alone():
    masks = smooth_masks(40, (15, 19), cells=7, keep=0.5, seed=5)
    whole = masks.on(CPU)(0, 40)
    for start, stop in ((0, 1), (3, 10), (39, 40)):
        assert torch.equal(masks.on(CPU)(start, stop), whole[start:stop])
    assert not torch.equal(whole, smooth_masks(40, (15, 19), cells=7, keep=0.5, seed=6).on(CPU)(0, 40))


def test_weighed_masks_are_their_sum():
    masks = smooth_masks(300, (15, 19), cells=4, keep=0.5, seed=5)
    values = noise(300, 2)
    expected = torch.einsum("mt,mhw->thw", values, masks.on(CPU)(0, 300))
    torch.testing.assert_close(masks.weighed(values).float(), expected, rtol=1e-4, atol=1e-4)
