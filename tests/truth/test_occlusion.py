"""Occlusion by hand, by a loop, and by Captum; the answers that must not depend on how the work was cut up."""

from __future__ import annotations

import importlib
import itertools

import pytest
import torch
from captum import attr
from torch import Tensor, nn

import striate
from striate import lenses
from striate.errors import AddressError, NetworkError, OptionError
from truth import peers
from truth.cases import case
from truth.nets import ConvOne, Mlp, Rectified

CLASS = "class:0"


def network(module: nn.Module, channels: int, height: int, width: int) -> striate.Network:
    """Wrap a network whose pixels are taken as they are: black is 0."""
    return striate.Network(module.eval(), striate.InputSpec(channels, height, width, mean=(0.0,), std=(1.0,)))


def rows(text: str) -> Tensor:
    """Read "1 2/3 4" as a map (1, H, W)."""
    return torch.tensor([[float(number) for number in row.split()] for row in text.split("/")])[None]


class MoreByOne(nn.Module):
    """A network with a second input of ones, which is added to the picture and never covered."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ConvOne()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images + 1)


class Sums(nn.Module):
    """Three times the sum of the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return 3 * images.sum((1, 2, 3))[:, None]


# ---------------------------------------------------------------- by hand

RAMP = torch.arange(16.0).view(1, 1, 4, 4)
CUT_OFF = "44 44 38.5 33/44 44 38.5 33/49 49 44.5 40/54 54 50.5 47"
GOLDEN = {
    "all of it": (ConvOne, 4, 1, "black", "54 54 54 54/54 54 54 54/54 54 54 54/54 54 54 54"),
    "two by two": (ConvOne, 2, 1, "black", "7 8 6.5 4/15.5 20.75 22.25 18.5/30 39.25 44.25 40/36 45 50.5 47"),
    "two by two, white": (ConvOne, 2, 1, "white", "5 6 5.5 4/12.5 16.75 18.25 15.5/27 35.75 40.25 36/34 44 49.5 45"),
    "cut off": (ConvOne, 3, 2, "black", CUT_OFF),
    "cut off below": (ConvOne, (2, 3), (2, 1), "black", "13 12.5 12.5 12/13 12.5 12.5 12/54 54 54 54/54 54 54 54"),
    "second input": (MoreByOne, (2, 3), (2, 1), "black", "17 17 17 17/17 17 17 17/64 65.5 65.5 67/64 65.5 65.5 67"),
    "pixel by pixel": (ConvOne, 1, 1, "black", "0 1 2 3/0 4 4 4/2 7 8 4/6 7 8 0"),
    "pixels, second input": (MoreByOne, 1, 1, "black", "0 2 4 3/4 9 10 7/4 13 14 11/0 0 0 0"),
}


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("incremental", [True, False])
def test_golden_values_of_conv_one(name, incremental):
    module, patch, stride, baseline, answer = GOLDEN[name]
    options = {"patch": patch, "stride": stride, "baseline": baseline, "incremental": incremental}
    heatmap = lenses.occlusion(network(module(), 1, 4, 4), RAMP, CLASS, **options)
    torch.testing.assert_close(heatmap.scores, rows(answer), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("pixels", "options", "answer"),
    [
        ([(20.0, 50.0, 30.0)], {"patch": 1, "stride": 1}, "80 200 120"),
        ([(20.0, 50.0, 30.0)], {"patch": (1, 2), "stride": 1, "baseline": torch.tensor(10.0)}, "200 220 240"),
        ([(20.0, 50.0, 30.0)], {"patch": (1, 2), "stride": (1, 2)}, "280 280 120"),
        ([(20.0, 50.0, 30.0)], {"patch": 1, "stride": 1, "baseline": torch.tensor([4.0])}, "64 184 104"),
        ([(2.0, 10.0, 3.0), (20.0, 50.0, 30.0)], {"patch": 1, "stride": 1}, "8 35 12/80 200 120"),
    ],
)
def test_golden_values_of_the_perceptron(pixels, options, answer):
    images = torch.tensor(pixels).view(-1, 1, 1, 3)
    heatmap = lenses.occlusion(network(Mlp(), 1, 1, 3), images, CLASS, **options)
    torch.testing.assert_close(heatmap.scores[:, 0], rows(answer)[0], rtol=0, atol=1e-4)


def test_the_strongest_patch_is_told():
    heatmap = lenses.occlusion(network(ConvOne(), 1, 4, 4), RAMP, CLASS, patch=(2, 3), stride=(2, 1))
    assert heatmap.trust(0) == "Covering rows 2 to 3, columns 0 to 2 lowers it by 54."
    assert heatmap.details["strongest_box"] == [[2, 0, 4, 3]]  # of two alike the first
    assert heatmap.drawings()[0].caption.endswith("lowers it by 54.")
    still = lenses.occlusion(network(ConvOne(), 1, 4, 4), 0 * RAMP, CLASS, patch=2, stride=2)
    assert still.trust(0) == "No patch lowers it when covered."


def test_sums_instead_of_means():
    # the convention of PAIR: a pixel gets the sum over its windows, which is the mean times their number
    picture = torch.zeros(1, 1, 5, 5)
    picture[0, 0, 1, 1] = picture[0, 0, 3, 3] = 1
    heatmap = lenses.occlusion(network(Sums(), 1, 5, 5), picture, CLASS, patch=3, stride=1)
    count = torch.tensor([1.0, 2, 3, 2, 1])
    answer = rows("3 6 6 3 0/6 15 18 12 3/6 18 24 18 6/3 12 18 15 6/0 3 6 6 3")
    torch.testing.assert_close(heatmap.scores * count[:, None] * count, answer, rtol=0, atol=1e-5)
    # each window takes away three for each one that it covers
    torch.testing.assert_close(heatmap.native, rows("3 3 0/3 6 3/0 3 3"), rtol=0, atol=1e-6)


# ---------------------------------------------------------------- by a loop

SPEC = striate.InputSpec(2, 14, 17, mean=(0.4, 0.5), std=(0.2, 0.3))


@pytest.fixture(scope="module")
def small() -> striate.Network:
    return striate.Network(Rectified("module").eval(), SPEC)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 2, 14, 17, generator=torch.Generator().manual_seed(4))


def answers(module: nn.Module, images: Tensor, target: str) -> Tensor:
    """Read a target off the network, by hooks and indices: (N,)."""
    place, _, unit = target.partition(":")
    if place == "class":
        with torch.no_grad():
            return module(images)[:, int(unit)]
    kept: list[Tensor] = []
    handle = module.get_submodule(place).register_forward_hook(lambda *given: kept.append(given[2].detach().clone()))
    module(images)
    handle.remove()
    channel, _, position = unit.partition("@")
    maps = kept[0][:, int(channel)]
    if not position:
        return maps.mean((1, 2))
    row, column = map(int, position.split(","))
    return maps[:, row, column]


def by_hand(
    module: nn.Module, image: Tensor, target: str, cover: Tensor, patch: tuple[int, int], stride: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Slide a patch over one picture (C, H, W), pixel loops and all: map (H, W) and drops (rows, columns)."""
    height, width = image.shape[1:]
    clean = answers(module, image[None], target)
    sums, counts = torch.zeros(height, width), torch.zeros(height, width)
    drops = []
    top = 0
    while True:
        left, drops_of_row = 0, []
        while True:
            changed = image.clone()
            inside = [
                (row, column)
                for row, column in itertools.product(range(height), range(width))
                if top <= row < top + patch[0] and left <= column < left + patch[1]
            ]
            for row, column in inside:
                changed[:, row, column] = cover[:, row, column]
            drop = (clean - answers(module, changed[None], target)).item()
            drops_of_row.append(drop)
            for row, column in inside:
                sums[row, column] += drop
                counts[row, column] += 1
            if left + patch[1] >= width:
                break
            left += stride[1]
        drops.append(drops_of_row)
        if top + patch[0] >= height:
            break
        top += stride[0]
    return sums / counts, torch.tensor(drops)


def black(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (SPEC.mean, SPEC.std))
    return (-mean / std).expand_as(image)


@pytest.mark.parametrize("target", ["class:1", "conv_b:3", "conv_a:2@4,11", "relu_a:5"])
@pytest.mark.parametrize(("patch", "stride"), [(5, 3), ((3, 9), (2, 4)), (14, 7)])
@pytest.mark.parametrize("incremental", [True, False])
def test_every_target_and_window_by_a_loop(small, images, target, patch, stride, incremental):
    heatmap = lenses.occlusion(small, images, target, patch=patch, stride=stride, incremental=incremental)
    sides, steps = ((value, value) if isinstance(value, int) else value for value in (patch, stride))
    for index, image in enumerate(images):
        scores, drops = by_hand(small.module, image, target, black(image), sides, steps)
        torch.testing.assert_close(heatmap.scores[index], scores, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(heatmap.native[index], drops, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(heatmap.score_values, answers(small.module, images, target), rtol=1e-5, atol=1e-5)
    assert heatmap.signed


@pytest.mark.parametrize("baseline", ["white", "grey", "mean", "given", "blur", "noise"])
def test_baselines_by_a_loop(small, images, baseline):
    picture = torch.linspace(-1, 1, 14 * 17).view(1, 14, 17).expand(2, -1, -1)
    options = {"patch": 6, "stride": 5, "seed": 3, "baseline": picture if baseline == "given" else baseline}
    heatmap = lenses.occlusion(small, images, "class:2", **options)
    levels = {"white": 1.0, "grey": 0.5}
    if baseline in levels:
        cover = small.spec.normalise(torch.full((2, 14, 17), levels[baseline]))
    elif baseline in ("blur", "noise"):  # how these look is tested where they are made
        from striate.perturbation.fills import fill

        cover = fill(small, images, baseline, 3)[1]
    else:
        cover = {"mean": torch.zeros(2, 14, 17), "given": picture}[baseline]
    scores, _ = by_hand(small.module, images[1], "class:2", cover, (6, 6), (5, 5))
    torch.testing.assert_close(heatmap.scores[1], scores, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- by Captum

WINDOWS = [((40, 56), (40, 40)), ((64, 64), (48, 64))]


@pytest.mark.parametrize(("patch", "stride"), WINDOWS)
@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_occlusion_of_the_trained_network_is_captums(patch, stride, baseline):
    it = case("efficientnet_lite0")
    _equals_captum(it, patch, stride, baseline)


@pytest.mark.parametrize(
    ("patch", "stride"), [((8, 8), (4, 4)), ((5, 12), (5, 7)), ((9, 4), (6, 4)), ((32, 32), (8, 8))]
)
def test_occlusion_of_a_residual_network_is_captums(patch, stride):
    it = case("resnet20-cifar10")
    _equals_captum(it, patch, stride, "black")


def _equals_captum(it, patch, stride, baseline):
    covers = it.network.spec.baseline(baseline, it.images)
    with peers.quiet(), torch.no_grad():
        theirs = attr.Occlusion(it.plain).attribute(
            it.images,
            sliding_window_shapes=(3, *patch),
            strides=(3, *stride),
            baselines=covers.expand_as(it.images),
            target=it.targets,
            perturbations_per_eval=8,
        )
    heatmap = lenses.occlusion(it.network, it.images, patch=patch, stride=stride, baseline=baseline)
    assert peers.deviation(heatmap.scores.double(), theirs[:, 0].double()) < max(it.tolerance, 1e-5)
    assert torch.equal(theirs[:, 0], theirs[:, 2])  # one number for all three colours


def test_patches_side_by_side_are_captums_feature_ablation():
    it = case("resnet20-cifar10")
    down, across = torch.arange(32) // 8, torch.arange(32) // 11
    groups = (down[:, None] * 3 + across)[None, None]
    with peers.quiet(), torch.no_grad():
        covers = it.network.spec.baseline("grey", it.images)
        theirs = attr.FeatureAblation(it.plain).attribute(
            it.images, baselines=covers.expand_as(it.images), target=it.targets, feature_mask=groups
        )
    heatmap = lenses.occlusion(it.network, it.images, patch=(8, 11), stride=(8, 11), baseline="grey")
    assert peers.deviation(heatmap.scores.double(), theirs[:, 0].double()) < 1e-5


# ---------------------------------------------------------------- what must not matter, and limits


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_chunks_never_change_a_result(small, images, chunk):
    whole = lenses.occlusion(small, images, "class:0", patch=5, stride=2)
    pieces = lenses.occlusion(small, images, "class:0", patch=5, stride=2, chunk=chunk)
    torch.testing.assert_close(pieces.scores, whole.scores, rtol=1e-4, atol=1e-5)


def test_a_row_of_a_batch_is_the_picture_alone(small, images):
    for baseline in ("black", "blur", "noise"):
        options = {"patch": 5, "stride": 3, "baseline": baseline}
        together = lenses.occlusion(small, images, ["class:0", "class:2"], **options)
        for index, target in enumerate(["class:0", "class:2"]):
            alone = lenses.occlusion(small, images[index : index + 1], target, **options)
            torch.testing.assert_close(together.scores[index : index + 1], alone.scores, rtol=1e-4, atol=1e-5)


def test_several_classes_of_one_picture_are_sampled_once(small, images):
    counted: list[int] = []
    handle = small.module.conv_b.register_forward_hook(lambda *given: counted.append(len(given[2])))
    options = {"patch": 5, "stride": 3, "incremental": False}
    single = lenses.occlusion(small, images[:1], 2, **options)
    once = sum(counted)
    counted.clear()
    several = lenses.occlusion(small, images[:1], [0, 2, 1, 2], **options)
    handle.remove()
    assert sum(counted) < once + 5  # a few clean pictures, not four times as many
    assert several.target == ("class:0", "class:2", "class:1", "class:2")
    assert len(several.pictures) == 4
    texts = [text.get_text() for text in several.figure().texts]
    assert texts.count("picture 1") == 4  # asked four times, and still one picture
    assert "picture 2" not in texts
    torch.testing.assert_close(several.scores[1:2], single.scores, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(several.scores[3], several.scores[1], rtol=0, atol=0)
    assert (several.scores[0] - several.scores[1]).abs().max() > 1e-3


def test_one_window_over_all_is_the_change_of_the_score():
    it = case("resnet20-cifar10")
    heatmap = lenses.occlusion(it.network, it.images, patch=32, stride=32, baseline="white")
    blank = it.network(it.network.spec.baseline("white", it.images))[0]
    change = it.network(it.images).amax(1) - blank[it.targets]
    torch.testing.assert_close(heatmap.scores, change.float().view(2, 1, 1).expand(2, 32, 32), rtol=1e-5, atol=1e-5)


def test_the_network_and_the_picture_stay_as_they_were(small, images):
    before = images.clone()
    batch = small.batch(images[:1])
    for chunk in (1, None):
        heatmap = lenses.occlusion(small, batch, 1, patch=5, stride=3, chunk=chunk, baseline="white", incremental=False)
        assert torch.equal(batch, before[:1])
        assert (heatmap.pictures == small.spec.pixels(before[:1])).all()


def test_bfloat16_is_near_and_says_so(small, images):
    exact = lenses.occlusion(small, images, 1, patch=7, stride=7)
    near = lenses.occlusion(small, images, 1, patch=7, stride=7, precision="bfloat16")
    assert peers.deviation(near.scores, exact.scores) < 0.1
    assert near.recipe.notes == ("Approximate: worked out in bfloat16.",)
    assert exact.recipe.notes == ()


# ---------------------------------------------------------------- adaptive


def test_adaptive_runs_fewer_windows_and_says_so(small, images):
    options = {"patch": 5, "stride": 1, "baseline": "grey"}
    full = lenses.occlusion(small, images, 1, **options)
    quick = lenses.occlusion(small, images, 1, adaptive=True, **options)
    ran = quick.details["windows_run"]
    total = full.native[0].numel()
    assert full.details["windows_run"] == [total, total]
    assert all(9 <= one < total for one in ran)
    (note,) = quick.recipe.notes
    assert note.startswith(f"Approximate: {sum(ran)} of {2 * total} patches were run ({sum(ran) / 2 / total:.0%}), ")
    assert note.endswith("the other drops are interpolated.")
    # as many windows as were run have the drop of the full map, the strongest of them too
    same = ((quick.native - full.native).abs() < 1e-4 * full.native.abs().max()).flatten(1).sum(1)
    assert (same >= torch.tensor(ran)).all()
    torch.testing.assert_close(quick.native[:, ::5, ::5], full.native[:, ::5, ::5], rtol=1e-4, atol=1e-4)


def test_adaptive_that_refines_everywhere_is_the_full_map(small, images, monkeypatch):
    options = {"patch": 4, "stride": 2}
    full = lenses.occlusion(small, images[:1], [0, 1], **options)
    monkeypatch.setattr(importlib.import_module("striate.lenses.occlusion"), "_MATTERS", 0.0)
    found = lenses.occlusion(small, images[:1], [0, 1], adaptive=True, **options)
    torch.testing.assert_close(found.scores, full.scores, rtol=1e-4, atol=1e-5)
    assert found.details["windows_run"] == [full.native[0].numel()]


def test_adaptive_finds_the_one_spot_that_matters():
    picture = torch.zeros(1, 1, 40, 40)
    picture[0, 0, 9:12, 30:33] = 1.0
    net = network(Sums(), 1, 40, 40)
    full = lenses.occlusion(net, picture, 0, patch=8, stride=2)
    quick = lenses.occlusion(net, picture, 0, patch=8, stride=2, adaptive=True)
    torch.testing.assert_close(quick.scores, full.scores, rtol=0, atol=1e-5)
    assert quick.details["windows_run"][0] < 0.5 * quick.details["windows"]


# ---------------------------------------------------------------- bad input


class Logarithm(nn.Module):
    """Not a number as soon as a pixel is black."""

    def forward(self, images: Tensor) -> Tensor:
        return images.log().mean((2, 3))


@pytest.mark.parametrize("incremental", [True, False])
def test_a_score_that_is_no_number_under_a_patch(incremental):
    net = network(Logarithm(), 2, 6, 6)
    message = r"the score of class:1 is -inf when rows 0 to 2 and columns 0 to 2 are covered, .* Try another baseline"
    with pytest.raises(NetworkError, match=message):
        lenses.occlusion(net, torch.ones(1, 2, 6, 6), 1, patch=3, stride=3, incremental=incremental)
    assert lenses.occlusion(net, torch.ones(1, 2, 6, 6), 1, patch=3, stride=3, baseline="white").scores.abs().max() == 0


def test_a_clean_score_that_is_no_number():
    net = network(Logarithm(), 2, 6, 6)
    with pytest.raises(NetworkError, match=r"the score of class:0 on picture 1 is -inf, so nothing can be compared"):
        lenses.occlusion(net, torch.zeros(1, 2, 6, 6), 0, patch=3, stride=3)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"patch": 15}, OptionError, r"a patch of 15 x 15 pixels is larger than the picture of 14 x 17"),
        ({"patch": 0}, OptionError, r"patch must be at least 1 pixel, got 0 x 0\."),
        ({"patch": 4, "stride": 0}, OptionError, r"stride must be at least 1 pixel, got 0 x 0\."),
        ({"patch": 4, "stride": 5}, OptionError, r"with stride 5 x 5 a patch of 4 x 4 leaves pixels uncovered"),
        ({"patch": 4, "stride": 2, "baseline": "blak"}, OptionError, r"no baseline 'blak'; there are black, white"),
        ({"patch": 4, "stride": 2, "chunk": 0}, OptionError, r"chunk must be at least 1, got 0\."),
        (
            {"patch": 4, "stride": 2, "target": "class:3"},
            AddressError,
            r"no class 3: this network has 3 classes, 0 to 2\.",
        ),
        (
            {"patch": 4, "stride": 2, "target": "conv_c:1"},
            AddressError,
            r"no layer 'conv_c' in this network\. Did you mean conv_b or conv_a\?",
        ),
        ({"patch": 4, "stride": 2, "precision": "float8"}, OptionError, r"no precision 'float8'; there are float32"),
    ],
)
def test_what_makes_no_sense_is_explained(small, images, options, kind, message):
    with pytest.raises(kind, match=message):
        lenses.occlusion(small, images[:1], **options)
