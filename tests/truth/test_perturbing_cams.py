"""Score-CAM and Ablation-CAM by hand, by a loop, and by pytorch-grad-cam where it is right."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_grad_cam import AblationCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

import striate
from striate import lenses
from striate.errors import AddressError, NetworkError, OptionError
from truth import peers
from truth.cases import case
from truth.nets import ConvOne, Rectified

BOTH = pytest.mark.parametrize("lens", [lenses.score_cam, lenses.ablation_cam], ids=["score_cam", "ablation_cam"])


def network(module: nn.Module, channels: int, height: int, width: int) -> striate.Network:
    """Wrap a network whose pixels are taken as they are."""
    return striate.Network(module.eval(), striate.InputSpec(channels, height, width, mean=(0.0,), std=(1.0,)))


def rows(text: str) -> Tensor:
    return torch.tensor([[float(number) for number in row.split()] for row in text.split("/")])[None]


@pytest.fixture(scope="module")
def small() -> striate.Network:
    return striate.Network(Rectified("module").eval(), striate.InputSpec(2, 21, 18))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 2, 21, 18, generator=torch.Generator().manual_seed(4))


def replaced(module: nn.Module, layer: str, image: Tensor, change) -> tuple[Tensor, Tensor]:
    """Run a network with a layer's output changed: the output as it was, (1, C, h, w), and the logits (1, K)."""
    kept: list[Tensor] = []

    def hook(_module, _inputs, output):
        kept.append(output.clone())
        return change(output.clone())

    handle = module.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        logits = module(image.clone())
    handle.remove()
    return kept[0], logits


# ---------------------------------------------------------------- Ablation-CAM


@pytest.mark.parametrize(
    ("layer", "answer"),
    [
        # without channel 0 the score falls from 54 to 0, without channel 1 it rises to 75: weights 1 and -7/18
        ("relu1", f"0 4/{31 - 6 * 7 / 18} {40 - 15 * 7 / 18}"),
        ("conv1", f"{-5 + 30 * 7 / 18} {4 + 21 * 7 / 18}/{31 - 6 * 7 / 18} {40 - 15 * 7 / 18}"),
    ],
)
def test_ablation_cam_of_conv_one_by_hand(layer, answer):
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    heatmap = lenses.ablation_cam(network(ConvOne(), 1, 4, 4), ramp, "class:0", layer=layer, relu=False)
    torch.testing.assert_close(heatmap.native, rows(answer), rtol=1e-5, atol=1e-5)
    assert heatmap.details["largest_drop"] == pytest.approx([54.0])


def ablated_by_a_loop(module: nn.Module, layer: str, image: Tensor, index: int) -> Tensor:
    """Set one channel after another to zero, one pass each, and sum the weighed maps: (h, w)."""
    maps, clean = replaced(module, layer, image, lambda output: output)
    total = torch.zeros_like(maps[0, 0])
    for channel in range(maps.shape[1]):

        def without(output: Tensor, channel: int = channel) -> Tensor:
            output[:, channel] = 0
            return output

        _, logits = replaced(module, layer, image, without)
        drop = clean[0, index] - logits[0, index]
        total += drop / clean[0, index].abs() * maps[0, channel]
    return total


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet20-cifar10", "layer3"), ("resnet20-cifar10", "layer2.1.conv1"), ("efficientnet_lite0", "blocks.2.1")],
)
def test_ablation_cam_is_a_loop_over_the_channels(name, layer):
    it = case(name)
    images = it.images[:1]
    _, logits = replaced(it.plain, layer, images, lambda output: output)
    best = int(logits.argmax())
    heatmap = lenses.ablation_cam(it.network, images, layer=layer, relu=False)
    expected = ablated_by_a_loop(it.plain, layer, images, best)
    assert peers.deviation(heatmap.native[0].double(), expected.double()) < max(it.tolerance, 1e-5)
    cut = lenses.ablation_cam(it.network, images, layer=layer)
    torch.testing.assert_close(cut.native, heatmap.native.clamp(min=0), rtol=0, atol=0)


@pytest.mark.parametrize("layer", ["relu_a", "relu_b"])
def test_ablation_cam_is_pytorch_grad_cams_on_rectified_maps(small, images, layer):
    # on maps with values below zero the peer writes their minimum less ten million: no comparison
    targets = [ClassifierOutputTarget(2), ClassifierOutputTarget(1)]
    module = Rectified("module").eval()
    kept, logits = replaced(module, layer, images, lambda output: output)
    assert kept.min() == 0
    assert logits[0, 2] > 0
    assert logits[1, 1] > 0
    peer = AblationCAM(module, [module.get_submodule(layer)], batch_size=3)
    # the peer's get_cam_weights swaps the layer and puts it back
    weights = peer.get_cam_weights(images, module.get_submodule(layer), targets, kept.numpy(), None)
    peer.activations_and_grads.release()
    expected = torch.einsum("nc,nchw->nhw", torch.from_numpy(weights), kept)
    heatmap = lenses.ablation_cam(small, images, [2, 1], layer=layer, relu=False)
    assert peers.deviation(heatmap.native, expected) < 1e-5


class Shifted(nn.Module):
    """A network whose first score is moved by a constant, which no ablation changes."""

    def __init__(self, module: nn.Module, shift: float) -> None:
        super().__init__()
        self.module, self.shift = module, shift

    def forward(self, images: Tensor) -> Tensor:
        return self.module(images)[:, :1] + self.shift


@pytest.mark.parametrize("offset", [10.0, 0.5, 1e-6, 0.0, -1e-6, -0.5, -10.0])
def test_the_pattern_does_not_depend_on_the_size_of_the_score(images, offset):
    module = Rectified("module").eval()
    with torch.no_grad():
        score = module(images[:1])[0, 0].item()
    heatmap = lenses.ablation_cam(network(Shifted(module, offset - score), 2, 21, 18), images[:1], 0, relu=False)
    plain = lenses.ablation_cam(network(module, 2, 21, 18), images[:1], 0, relu=False)
    largest = plain.details["largest_drop"][0]
    # map times divisor is the same for all; the divisor is the score's size, or 0.01 of the largest drop
    divisor = max(abs(offset), 0.01 * largest)
    torch.testing.assert_close(heatmap.native * divisor, plain.native * abs(score), rtol=2e-3, atol=2e-3)
    assert heatmap.native.isfinite().all()


def test_channels_that_are_zero_are_not_run(images):
    module = Rectified("module").eval()
    with torch.no_grad():
        module.conv_b.bias[2:] = -1000.0  # six of eight channels never wake
    counted: list[int] = []
    handle = module.head.register_forward_hook(lambda *given: counted.append(len(given[2])))
    heatmap = lenses.ablation_cam(network(module, 2, 21, 18), images[:1], 0, layer="relu_b", relu=False)
    handle.remove()
    assert heatmap.details["channels_run"] <= 2
    assert sum(counted) <= 2 + 4  # the clean passes besides
    assert (heatmap.details["channels"], heatmap.details["layer"]) == (8, "relu_b")
    with torch.no_grad():
        module.conv_b.bias[:] = -1000.0
    asleep = lenses.ablation_cam(network(module, 2, 21, 18), images[:1], 0, layer="relu_b", relu=False)
    assert asleep.scores.abs().max() == 0
    assert asleep.details["channels_run"] == 0


def test_a_score_that_no_channel_changes_is_pointed_out(images):
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.conv(images).mean((2, 3)) * 0 + 7

    heatmap = lenses.ablation_cam(network(Constant(), 2, 21, 18), images, 0)
    assert heatmap.scores.abs().max() == 0
    assert heatmap.recipe.notes == ("class:0 does not change when any one channel of conv is set to zero.",)


def test_a_target_before_the_layer_is_refused(small, images):
    with pytest.raises(NetworkError, match=r"conv_a:3 does not depend on relu_b: .* Choose a layer up to conv_a\."):
        lenses.ablation_cam(small, images, "conv_a:3", layer="relu_b")
    assert lenses.ablation_cam(small, images, "conv_b:3", layer="conv_a").scores.abs().max() > 0


def test_a_score_that_is_infinite_without_a_channel(images):
    class Inverse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, images: Tensor) -> Tensor:
            return 1 / self.conv(images).square().mean((2, 3))

    message = r"the score of class:1 is inf when channel 1 of conv is set to zero, so it has no weight"
    with pytest.raises(NetworkError, match=message):
        lenses.ablation_cam(network(Inverse(), 2, 21, 18), images, 1)


# ---------------------------------------------------------------- Score-CAM


class Opposites(nn.Module):
    """A layer of the picture and of its negative; the score is the sum of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)[:, :1].sum((2, 3))


def test_score_cam_by_hand():
    # masks x/4 and 1 - x/4: scores 0.25 + 1 + 4 = 5.25 and 0.75 + 1 + 0 = 1.75; softmax of a difference of 3.5;
    # the map is (w0 - w1) x = tanh(3.5 / 2) x
    picture = torch.tensor([0.0, 1.0, 2.0, 4.0]).view(1, 1, 2, 2)
    heatmap = lenses.score_cam(network(Opposites(), 1, 2, 2), picture, 0, layer="conv", relu=False)
    torch.testing.assert_close(heatmap.scores, picture[:, 0] * math.tanh(1.75), rtol=1e-5, atol=1e-6)
    # on white instead: 0 becomes 1, so the scores are 5.25 + 1 + 0.75 + 0.5 and 1.75 + 0 + 0.25 + 0.5 + 1
    white = lenses.score_cam(network(Opposites(), 1, 2, 2), picture, 0, layer="conv", relu=False, baseline="white")
    torch.testing.assert_close(white.scores, picture[:, 0] * math.tanh((7.5 - 3.5) / 2), rtol=1e-5, atol=1e-6)


def scored_by_a_loop(it, layer: str, image: Tensor, index: int) -> Tensor:
    """Mask the picture with one enlarged map after another, one pass each: (h, w)."""
    maps, _ = replaced(it.plain, layer, image, lambda output: output)
    scores, living = [], []
    for one in maps[0]:
        if one.min() == one.max():
            continue
        large = F.interpolate(one[None, None], size=image.shape[2:], mode="bilinear", align_corners=False)
        mask = (large - large.min()) / (large.max() - large.min())
        with torch.no_grad():
            scores.append(it.plain(image * mask)[0, index])
        living.append(one)
    weights = torch.stack(scores).softmax(0)
    return sum(weight * one for weight, one in zip(weights, living, strict=True))


@pytest.mark.parametrize(("name", "layer"), [("resnet20-cifar10", "layer3"), ("efficientnet_lite0", "blocks.2.1")])
def test_score_cam_is_a_loop_over_the_channels(name, layer):
    it = case(name)
    image = it.images[:1]
    heatmap = lenses.score_cam(it.network, image, 3, layer=layer, relu=False, placement="stretch")
    expected = scored_by_a_loop(it, layer, image, 3)
    assert peers.deviation(heatmap.native[0].double(), expected.double()) < max(it.tolerance, 1e-5)
    large = F.interpolate(expected[None, None].float(), size=image.shape[2:], mode="bilinear", align_corners=False)
    assert peers.deviation(heatmap.scores[0], large[0, 0]) < 1e-4


@pytest.mark.parametrize("layer", ["conv1", "layer1.1.bn2"])
def test_score_cam_is_pytorch_grad_cams_where_nothing_is_enlarged(layer):
    # maps of the picture's size: the peer stretches from corner to corner, which is nothing here
    it = case("resnet20-cifar10")
    kept, _ = replaced(it.plain, layer, it.images, lambda output: output)
    assert (kept.amax((2, 3)) > kept.amin((2, 3))).all()
    targets = [ClassifierOutputTarget(int(index)) for index in it.targets]
    peer = ScoreCAM(it.plain, [])
    weights = peer.get_cam_weights(it.images, it.plain.get_submodule(layer), targets, kept.numpy(), None)
    expected = torch.einsum("nc,nchw->nhw", torch.from_numpy(weights).double(), kept)
    heatmap = lenses.score_cam(it.network, it.images, layer=layer, relu=False)
    assert peers.deviation(heatmap.native.double(), expected) < 1e-4  # its scores and weights are in single precision


def test_constant_channels_are_left_out_and_counted(images):
    module = Rectified("module").eval()
    with torch.no_grad():
        module.conv_b.bias[2:] = -1000.0
    heatmap = lenses.score_cam(network(module, 2, 21, 18), images[:1], 0, layer="relu_b")
    weighed = heatmap.details["channels_weighed"]
    assert weighed <= 2
    assert heatmap.recipe.notes == (f"{8 - weighed} of 8 channels are constant on these pictures and were left out.",)
    with torch.no_grad():
        module.conv_b.bias[:] = -1000.0
    heatmap = lenses.score_cam(network(module, 2, 21, 18), images[:1], 0, layer="relu_b")
    assert heatmap.scores.abs().max() == 0


def test_a_score_that_is_no_number_under_a_mask():
    class Logarithm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.conv(images).mean((2, 3)) + (images.amin((1, 2, 3)) - 0.4).log()[:, None]

    picture = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
    with pytest.raises(NetworkError, match=r"the score of class:1 is nan when part of the picture is hidden"):
        lenses.score_cam(network(Logarithm(), 1, 9, 9), picture, 1)


# ---------------------------------------------------------------- both


@BOTH
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_never_change_a_result(small, images, lens, chunk):
    whole = lens(small, images, 1, layer="conv_a", relu=False)
    pieces = lens(small, images, 1, layer="conv_a", relu=False, chunk=chunk)
    torch.testing.assert_close(pieces.scores, whole.scores, rtol=1e-4, atol=1e-4 * whole.scores.abs().max().item())


@BOTH
def test_a_row_of_a_batch_is_the_picture_alone(small, images, lens):
    together = lens(small, images, [0, 2])
    for index, target in enumerate([0, 2]):
        alone = lens(small, images[index : index + 1], target)
        torch.testing.assert_close(together.scores[index : index + 1], alone.scores, rtol=1e-4, atol=1e-4)
        assert together.target[index] == alone.target[0]


@BOTH
def test_several_classes_of_one_picture_cost_as_much_as_one(small, images, lens):
    counted: list[int] = []
    handle = small.module.head.register_forward_hook(lambda *given: counted.append(len(given[2])))
    single = lens(small, images[:1], 2)
    once = sum(counted)
    counted.clear()
    several = lens(small, images[:1], [0, 2, 1])
    handle.remove()
    assert sum(counted) <= once + 2
    assert several.target == ("class:0", "class:2", "class:1")
    torch.testing.assert_close(several.scores[1:2], single.scores, rtol=1e-5, atol=1e-5)


@BOTH
@pytest.mark.parametrize("target", ["relu_b:1", "relu_b:2@3,1"])
def test_channels_and_units_are_targets_too(small, images, lens, target):
    heatmap = lens(small, images, target, layer="conv_a", relu=False)
    kept, _ = replaced(small.module, "relu_b", images, lambda output: output)
    expected = kept[:, 1].mean((1, 2)) if "@" not in target else kept[:, 2, 3, 1]
    torch.testing.assert_close(heatmap.score_values, expected, rtol=1e-5, atol=1e-5)
    assert heatmap.scores.shape == (2, 21, 18)


@BOTH
def test_rectifiers_that_write_in_place_change_nothing(images, lens):
    expected = lens(network(Rectified("module"), 2, 21, 18), images, 1, layer="conv_b", relu=False)
    for way in ("in place", "method in place", "clamp in place"):
        found = lens(network(Rectified(way), 2, 21, 18), images, 1, layer="conv_b", relu=False)
        torch.testing.assert_close(found.native, expected.native, rtol=1e-5, atol=1e-5, msg=way)


@BOTH
def test_the_layer_is_chosen_as_for_grad_cam(small, images, lens):
    chosen = lenses.grad_cam(small, images).details["layer"]
    assert lens(small, images).details["layer"] == chosen
    stretched = lens(small, images, placement="stretch")
    large = F.interpolate(stretched.native[:, None], size=(21, 18), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(stretched.scores, large, rtol=1e-4, atol=1e-4)


@BOTH
def test_the_network_stays_as_it_was_after_an_error_too(images, lens):
    module = Rectified("module").train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = striate.Network(module, striate.InputSpec(2, 21, 18))
    lens(net, images, 1)
    with pytest.raises(OptionError, match=r"chunk must be at least 1, got 0\."):
        lens(net, images, 1, chunk=0)
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@BOTH
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"layer": "head"}, NetworkError, r"layer 'head' gives 1 x 3, no map, which (Score|Ablation)-CAM needs"),
        ({"layer": "conv_c"}, AddressError, r"no layer 'conv_c' in this network\. Did you mean"),
        ({"target": "class:9"}, AddressError, r"no class 9: this network has 3 classes"),
        ({"placement": "center"}, OptionError, r"no placement 'center'; there are centres, stretch"),
    ],
)
def test_what_makes_no_sense_is_explained(small, images, lens, options, kind, message):
    with pytest.raises(kind, match=message):
        lens(small, images, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("lens", [lenses.score_cam, lenses.ablation_cam, lenses.occlusion])
def test_a_gpu_gives_the_same_maps(images, lens):
    options = {"patch": 5, "stride": 3} if lens is lenses.occlusion else {}
    here = lens(network(Rectified("module"), 2, 21, 18), images, [0, 2], **options)
    there = lens(network(Rectified("module"), 2, 21, 18).to("cuda"), images, [0, 2], **options)
    assert peers.deviation(there.scores, here.scores) < 1e-2  # TF32 may be on
    assert there.scores.device.type == "cpu"
