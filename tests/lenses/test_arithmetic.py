"""One value by hand: worked numbers, every kind of convolution against plain padding and slicing, real networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import AddressError, NetworkError, OptionError
from striate.lenses import arithmetic
from striate.lenses.arithmetic import working
from truth.cases import case

PICTURE = [[6, 2, 3, 1, 0], [9, 5, 1, 1, 3], [2, 6, 5, 8, 7], [3, 4, 4, 8, 3]]
LAPLACE = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def network(module: nn.Module, channels: int, height: int, width: int) -> striate.Network:
    return striate.Network(module.double().eval(), striate.InputSpec(channels, height, width), name="small")


def picture(channels: int, height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(0)).double()


class Head(nn.Sequential):
    """Layers to look at, then something that a network ends with."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).mean((2, 3))


def test_the_lecture_by_hand():
    conv = nn.Conv2d(1, 1, 3, bias=False)
    conv.weight.data = torch.tensor([[LAPLACE]], dtype=torch.float64)
    images = torch.tensor([[PICTURE]], dtype=torch.float64)
    net = network(Head(conv), 1, 4, 5)
    answers = [[-2, 10, 9], [-8, -1, -11]]
    for row, column in np.ndindex(2, 3):
        (one,) = arithmetic(net, images, f"0:0@{row},{column}").computed
        np.testing.assert_array_equal(one.values[0], np.array(PICTURE)[row : row + 3, column : column + 3])
        np.testing.assert_array_equal(one.products[0], one.values[0] * np.array(LAPLACE))
        assert (one.total, one.own, one.error, one.bias) == (answers[row][column], answers[row][column], 0, None)


CONVOLUTIONS = {
    "plain": {},
    "stride": {"stride": (2, 1)},
    "dilation": {"dilation": (1, 2), "padding": 2},
    "groups": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "padding": (2, 1), "stride": 2},
    "even same": {"padding": "same", "kernel_size": (2, 4)},
    "no bias": {"bias": False},
    "reflect": {"padding": 2, "padding_mode": "reflect", "stride": 2},
    "circular": {"padding": (1, 2), "padding_mode": "circular"},
    "replicate": {"padding": (2, 1), "padding_mode": "replicate", "dilation": 2},
    "reflect same": {"padding": "same", "padding_mode": "reflect", "kernel_size": 5},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_convolution_adds_up(name):
    options = {"kernel_size": 3, **CONVOLUTIONS[name]}
    torch.manual_seed(1)
    conv = nn.Conv2d(4, 8, **options)
    images = picture(4, 9, 11)
    net = network(Head(conv), 4, 9, 11)
    mode = {"zeros": "constant"}.get(conv.padding_mode, conv.padding_mode)
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    padded = F.pad(images, (left, right, top, bottom), mode=mode)[0].numpy()
    inside = F.pad(torch.ones(1, 1, 9, 11), (left, right, top, bottom))[0, 0].numpy() == 1
    height, width = net.graph().layer("0").map_size
    for channel, row, column in (
        (0, 0, 0),
        (7, height - 1, width - 1),
        (3, height // 2, width // 2),
        (5, 0, width - 1),
    ):
        (one,) = arithmetic(net, images, f"0:{channel}@{row},{column}").computed
        rows = row * conv.stride[0] + conv.dilation[0] * np.arange(conv.kernel_size[0])
        columns = column * conv.stride[1] + conv.dilation[1] * np.arange(conv.kernel_size[1])
        group = channel // (8 // conv.groups)
        depth = 4 // conv.groups
        seen = padded[group * depth : (group + 1) * depth][:, rows][:, :, columns]
        np.testing.assert_array_equal(one.values, seen)
        np.testing.assert_array_equal(one.kernel, conv.weight[channel].detach().numpy())
        np.testing.assert_array_equal(one.padding, ~inside[rows][:, columns])
        assert one.rows == tuple(rows - top)
        assert one.channels == tuple(range(group * depth, (group + 1) * depth))
        assert one.error < 1e-13
        assert one.total == pytest.approx(float((seen * one.kernel).sum()) + (one.bias or 0), abs=1e-13)


def test_padding_by_a_module_of_its_own_is_no_padding_of_the_layer():
    net = network(Head(nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3)), 2, 6, 7)
    (one,) = arithmetic(net, picture(2, 6, 7), "1:2@0,0").computed
    assert not one.padding.any()
    assert one.error < 1e-13


def randomised(module: nn.Module) -> nn.Module:
    """Give a batch normalisation numbers that do something."""
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.running_mean, part.weight.data, part.bias.data):
                values.copy_(torch.randn(values.shape, generator=generator))
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.2)
    return module


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_normalisation_is_folded_into_the_kernel(affine):
    torch.manual_seed(3)
    conv, norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3, affine=affine)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.2, 2)
    net = network(
        Head(randomised(nn.Sequential(conv, norm)) if affine else nn.Sequential(conv, norm), nn.ReLU()), 2, 5, 6
    )
    images = picture(2, 5, 6)
    result = arithmetic(net, images, "0.1:2@0,5")
    (one,) = result.computed
    assert result.folded == "0.0"
    assert "folded into the kernel of 0.0" in result.caption()
    scale = (norm.running_var[2] + norm.eps).rsqrt() * (norm.weight[2] if affine else 1)
    torch.testing.assert_close(torch.tensor(one.kernel), (conv.weight[2] * scale).detach(), rtol=1e-14, atol=0)
    with torch.no_grad():
        assert one.own == norm(conv(images))[0, 2, 0, 5].item()
    assert one.error < 1e-13
    (plain,) = arithmetic(net, images, "0.0:2@0,5").computed
    assert plain.total != pytest.approx(one.total)


def test_what_an_activation_makes_of_the_sum():
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.PReLU(4))
    layers[3].weight.data.uniform_(-1, 1)
    net = network(Head(*randomised(layers)), 2, 5, 6)
    images = picture(2, 5, 6)
    outputs = striate.lenses.activations(net, images, layers=["1", "3"]).maps
    channel, row, column = (int(index) for index in (outputs["1"][0] < 0).nonzero()[0])
    result = arithmetic(net, images, f"3:{channel}@{row},{column}")
    (one,) = result.computed
    assert result.kind == "Conv2d"
    assert [name for name, _ in one.steps] == ["PReLU"]
    assert one.total == pytest.approx(float(outputs["1"][0, channel, row, column]), rel=1e-6)
    assert one.answer == pytest.approx(one.total * float(layers[3].weight.detach()[channel]), rel=1e-12)
    assert one.error < 1e-12
    assert "PReLU makes that" in one.sentence()


def test_the_scaled_tanh_of_lenet():
    images = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    (one,) = arithmetic(striate.load("striate:lenet-5"), images, "activation1:2").computed
    assert one.steps[0][0] == "ScaledTanh"
    assert one.answer == pytest.approx(1.7159 * np.tanh(2 / 3 * one.total), rel=1e-6)
    assert one.error < 1e-5


POOLED = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]


def test_max_pooling_of_the_lecture():
    net = network(Head(nn.MaxPool2d(2)), 1, 4, 4)
    images = torch.tensor([[POOLED]], dtype=torch.float64)
    found = [arithmetic(net, images, f"0:0@{row},{column}").computed[0] for row, column in np.ndindex(2, 2)]
    assert [one.total for one in found] == [6, 8, 3, 4] == [one.own for one in found]
    assert found[0].kernel is None
    assert found[0].sentence() == "The largest of 4 values is 6; the network says 6 (the same)."


POOLS = {
    "padded max": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
    "dilated max": nn.MaxPool2d(2, 1, dilation=2),
    "average": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "average without padding": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    "average by 5": nn.AvgPool2d(2, 2, divisor_override=5),
    "adaptive average": nn.AdaptiveAvgPool2d((3, 4)),
    "adaptive maximum": nn.AdaptiveMaxPool2d((3, 4)),
    "global": nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("name", POOLS)
def test_every_pooling_adds_up(name):
    images = picture(2, 8, 10)
    net = network(Head(POOLS[name], nn.Conv2d(2, 2, 1)), 2, 8, 10)  # in double precision, by its weights
    height, width = net.graph().layer("0").shape[2:]
    for row, column in ((0, 0), (height - 1, width - 1), (height // 2, 0)):
        (one,) = arithmetic(net, images, f"0:1@{row},{column}").computed
        assert one.error < 1e-14
        assert one.channels == (1,)


def test_dense_layers_of_vectors_and_of_maps_with_channels_last():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.head = nn.Linear(3, 5), nn.Linear(5, 4, bias=False)

        def forward(self, images):
            return self.head(self.mix(images.permute(0, 2, 3, 1)).mean((1, 2)))

    torch.manual_seed(0)
    net = network(Last(), 3, 4, 6)
    images = picture(3, 4, 6)
    (one,) = arithmetic(net, images, "mix:2@3,1").computed
    np.testing.assert_array_equal(one.values[:, 0, 0], images[0, :, 3, 1])
    assert one.error < 1e-13
    result = arithmetic(net, images, "head:1", shown=2)
    assert result.boxes == (None,)
    (head,) = result.computed
    assert (head.values.shape, len(head.shown), head.bias) == ((5, 1, 1), 2, None)
    assert head.error < 1e-13


def test_channels_that_count_for_most_are_shown_and_the_rest_is_summed():
    torch.manual_seed(0)
    net = network(Head(nn.Conv2d(12, 2, 3)), 12, 6, 6)
    (one,) = arithmetic(net, picture(12, 6, 6), "0:1@2,2", shown=4).computed
    sizes = np.abs(one.sums)
    assert sorted(one.shown, key=lambda place: -sizes[place]) == list(one.shown)
    assert min(sizes[list(one.shown)]) >= max(np.delete(sizes, list(one.shown)))
    assert one.sums[list(one.shown)].sum() + one.rest + one.bias == pytest.approx(one.total, abs=1e-13)
    assert one.maps.shape == (4, 6, 6)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet20-cifar10", ["conv1:3@31,0", "layer2.0.conv1:7", "layer2.0.bn1:7@4,4", "layer3.2.conv2", "linear:5"]),
        ("efficientnet_lite0", ["conv_stem:3@0,0", "bn1:7", "blocks.2.1.conv_dw:5", "blocks.3.0.bn2", "conv_head:100"]),
        ("resnet18", ["conv1:2@0,63", "bn1:2@0,63", "layer2.0.downsample:3", "maxpool:9", "avgpool:4", "fc:7"]),
        ("densenet121", ["features.denseblock2.denselayer3.conv2:3", "features.transition2.pool:4", "classifier:9"]),
        ("squeezenet1_1", ["features.6.expand3x3_activation:3", "features.5:7"]),
        ("mobilenet_v2", ["features.5.conv.1.0:30", "features.5.conv.1:30", "features.18.2:4"]),
        ("googlenet", ["inception3b.branch2.1.conv:5", "inception4c.branch4.0:3@0,0"]),
    ],
)
def test_real_networks_add_up(name, layers):
    it = case(name)
    for target in layers:
        result = arithmetic(it.network, it.images, target)
        for index, one in enumerate(result.computed):
            scale = max(float(np.abs(one.values).max()), abs(one.own))
            assert one.error <= (1e-5 if it.images.dtype == torch.float32 else 1e-10) * scale, target
            address = striate.address.parse(result.addresses[index])
            maps = striate.lenses.activations(it.network, it.images, layers=address.place).maps[address.place][index]
            place = (address.channel, *(address.position or ()))
            assert one.own == pytest.approx(float(maps[place]), rel=1e-5, abs=1e-9)


def test_the_first_layer_is_in_colour_and_what_it_reads_is_the_picture(lite0, chelsea):
    images = lite0.read(chelsea)
    result = arithmetic(lite0, images)
    assert result.colour
    assert result.addresses[0].startswith("conv_stem:")
    (one,) = result.computed
    rows, columns = (slice(places[0], places[-1] + 1) for places in (one.rows, one.columns))
    np.testing.assert_array_equal(one.values, images[0, :, rows, columns].double())
    assert not arithmetic(lite0, images, "blocks.0.0.conv_dw:3").colour


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(3, 6, 2, groups=3)])
def test_a_first_layer_that_reads_one_colour_says_which(layer):
    net = network(Head(layer, nn.Conv2d(6 if hasattr(layer, "groups") else 3, 2, 1)), 3, 6, 6)
    result = arithmetic(net, picture(3, 6, 6), f"0:{5 if hasattr(layer, 'groups') else 2}@1,1")
    words = [text.get_text() for text in result.figure().axes[0].texts]
    assert result.computed[0].channels == (2,)
    assert ("blue" in words, "red" in words) == (True, False)


def test_each_picture_its_own_unit():
    torch.manual_seed(0)
    net = network(Head(nn.Conv2d(1, 2, 3)), 1, 6, 6)
    images = picture(1, 6, 6, count=3)
    maps = striate.lenses.activations(net, images, layers="0").maps["0"]
    result = arithmetic(net, images, "0:1")
    assert [one.own for one in result.computed] == pytest.approx(maps[:, 1].amax((1, 2)).tolist())
    assert len(set(result.addresses)) > 1
    again = arithmetic(net, images, result.recipe.target)
    assert [one.total for one in again.computed] == [one.total for one in result.computed]


def test_what_cannot_be_worked_out_is_said(lite0):
    images = torch.zeros(1, 3, 224, 224)
    wrong = {
        "conv_stem:40@0,0": (AddressError, r"no channel 40 in 'conv_stem'"),
        "conv_stem:4@112,0": (AddressError, r"no unit 112,0 in 'conv_stem': its map is 112 x 112"),
        "conv_stam:4": (AddressError, r"no layer 'conv_stam'.* Did you mean conv_stem"),
        "blocks.2.1:4": (
            NetworkError,
            r"'blocks\.2\.1' \(.*\) is made of several layers\. Name a .* such as blocks\.2\.1\.",
        ),
    }
    for target, (kind, message) in wrong.items():
        with pytest.raises(kind, match=message):
            arithmetic(lite0, images, target)
    with pytest.raises(OptionError, match="shown must be at least 1, got 0"):
        arithmetic(lite0, images, "conv_stem:3", shown=0)


def test_a_class_is_the_unit_of_the_dense_layer_that_gives_it(lite0):
    images = torch.zeros(1, 3, 224, 224)
    result = arithmetic(lite0, images, "class:tabby")
    assert result.addresses == ("classifier:281",)
    with torch.no_grad():
        assert result.computed[0].own == pytest.approx(float(lite0.module.eval()(images)[0, 281]), abs=1e-4)
    assert "a Linear by hand: 1,280 inputs, each times its weight, added up" in result.caption()
    words = {text.get_text() for text in result.figure().axes[0].texts}
    assert {"input", "weight", "product"} <= words
    assert not {"window", "kernel"} & words


def test_a_class_that_no_dense_layer_gives_is_said():
    net = network(Head(nn.Conv2d(1, 2, 3)), 1, 6, 6)
    with pytest.raises(AddressError, match=r"class:1 is a class, and here no dense layer gives its score as it is"):
        arithmetic(net, picture(1, 6, 6), "class:1")


@pytest.mark.parametrize("bias", [True, False])
def test_each_place_of_a_locally_connected_layer_has_its_own_kernel(bias):
    torch.manual_seed(0)
    layer = striate.nets.LocallyConnected2d(2, 3, (7, 6), (3, 2), (2, 1), (1, 0), bias=bias)
    net = network(Head(layer, nn.BatchNorm2d(3)), 2, 7, 6)
    net.module[1].running_mean.normal_()
    images = picture(2, 7, 6)
    padded = F.pad(images, (0, 0, 1, 1))[0]
    for row, column in np.ndindex(*layer.output_size):
        for channel in range(3):
            (one,) = arithmetic(net, images, f"0:{channel}@{row},{column}").computed
            window = padded[:, row * 2 : row * 2 + 3, column : column + 2]
            np.testing.assert_array_equal(one.values, window)
            np.testing.assert_array_equal(one.kernel, layer.weight[row, column, channel].detach())
            assert (one.bias is not None) == bias
            assert one.error < 1e-13
    assert arithmetic(net, images, "1:2@3,1").computed[0].error < 1e-13  # with batch norm folded in
    assert arithmetic(net, images).recipe.target[0].startswith("0:")  # the first that there is
    with pytest.raises(NetworkError, match=r"each place of '0' \(LocallyConnected2d\) has kernels of its own"):
        working(net, images, "0")  # one kernel for all places


def test_layers_that_are_no_sum():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.conv = nn.Upsample(scale_factor=2), nn.Conv2d(1, 2, 1)
            self.relu, self.after = nn.ReLU(), nn.ConvTranspose2d(2, 2, 3)

        def forward(self, images):
            return self.after(self.relu(self.conv(self.up(images)) + 1)).mean((2, 3))

    net = network(Odd(), 1, 4, 4)
    images = picture(1, 4, 4)
    with pytest.raises(NetworkError, match=r"of 'up' \(Upsample\) are no sum over a window\. Name a conv"):
        arithmetic(net, images, "up:0")
    with pytest.raises(NetworkError, match=r"'relu' does not take its values straight from one convolution"):
        arithmetic(net, images, "relu:0")
    with pytest.raises(NetworkError, match=r"of 'after' \(ConvTranspose2d\) are no sum"):
        arithmetic(net, images, "after:0")


def test_a_layer_that_does_more_than_its_window_is_refused():
    class Sly(nn.Conv2d):
        def forward(self, images):
            return super().forward(images).square()

    torch.manual_seed(0)
    net = network(Head(Sly(1, 2, 3)), 1, 6, 6)
    with pytest.raises(NetworkError, match=r"while its window gives .* the Sly does more than that"):
        arithmetic(net, picture(1, 6, 6), "0:0@1,1")


@pytest.mark.parametrize("target", ["conv_stem:3@0,0", "blocks.2.1.conv_pwl:3", "classifier:281"])
def test_it_is_drawn_and_kept(lite0, chelsea, tmp_path, target):
    result = arithmetic(lite0, chelsea, target, shown=3)
    (one,) = result.drawings()
    assert one.caption == result.computed[0].sentence()
    assert one.pixels.dtype == np.uint8
    assert one.pixels.ndim == 3
    words = [text.get_text() for text in result.figure().axes[0].texts]
    heads = {"input", "weight", "product"} if one.title.startswith("classifier") else {"window", "kernel", "products"}
    assert heads | {"the network's own", "×", "="} <= {word.split(",")[0] for word in words}
    left_out = len(result.computed[0].channels) - 3
    assert any("other" in word for word in words) == (left_out > 0)
    assert (f"{left_out:,} other channels" in words) == (target.startswith("blocks"))
    assert result.save(tmp_path / "sum.png").stat().st_size > 10_000
    kept = json.loads(result.save(tmp_path / "sum.json").read_text(encoding="utf-8"))["pictures"][0]
    assert kept["sum"] == result.computed[0].total
    values = striate.results.decode_array(kept["values"])
    kernel = striate.results.decode_array(kept["kernel"])
    assert (values * kernel).sum() + (kept["bias"] or 0) == pytest.approx(kept["value"], rel=1e-5)
    with np.load(result.save(tmp_path / "sum.npz")) as arrays:
        np.testing.assert_array_equal(arrays["values_0"], result.computed[0].values)
