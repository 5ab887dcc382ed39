"""The lectures' networks: weights and shapes against the lectures', the papers' and the libraries' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate import nets
from striate.errors import NetworkError, OptionError
from striate.nets.families.lenet import TABLE

# rows B1 to B6; what the lectures give in millions is written out, as the libraries and the papers have it
PARAMETERS = {
    "small": 93_322,
    "tiny": 42_050,
    "cnn1": 251_210,
    "cnn2": 36_314 - 2 * (8 + 8 + 16 + 16 + 40),  # the lecture counts the running mean and variance as well
    "lenet-5": 60_000 + 850,  # the paper's 60,000 to F6, and a dense layer for its radial basis functions
    "lenet-5-full": 60_000 + 850 - 1_516 + 2_416,
    "lenet-5-modern": 61_706,
    "alexnet": 62_378_344,
    "alexnet-2012": 60_965_224,
    "alexnet-2014": 61_100_840,
    "vgg-a": 132_863_336,
    "vgg-a-lrn": 132_863_336,
    "vgg-b": 133_047_848,
    "vgg-c": 133_638_952,
    "vgg-d": 138_357_544,
    "vgg-e": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet-bn": 6_624_904,
    "resnet-18": 11_689_512,
    "resnet-34": 21_797_672,
    "resnet-50": 25_557_032,
    "resnet-101": 44_549_160,
    "resnet-152": 60_192_808,
    "resnet-20-cifar": 269_722,
    "resnet-32-cifar": 464_154,
    "resnet-44-cifar": 658_586,
    "resnet-56-cifar": 853_018,
    "resnet-110-cifar": 1_727_962,
    # ours; the first layer's bias, convolutions of 3 x 3, four numbers a channel in two norms, a dense layer
    "swift": 24 * (12 + 1) + 9 * (24 * 64 + 64**2 + 64 * 256 + 3 * 256**2) + 4 * (64 + 256 + 256) + 256 * 10 + 10,
    "swift-grey": 8 * (4 + 1) + 9 * (8 * 32 + 32**2 + 32 * 64 + 64**2 + 64 * 128 + 128**2) + 4 * 224 + 1_290,
}
LECTURE_MILLIONS = {"vgg-a": 133, "vgg-a-lrn": 133, "vgg-b": 133, "vgg-c": 134, "vgg-d": 138, "vgg-e": 144}
PAPER_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}  # of the CIFAR networks, table 6


def made(name: str, **options) -> nn.Module:
    """Build a network of shapes alone, which takes neither time nor memory."""
    with torch.device("meta"):
        return nets.create(name, **options).eval()


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def shapes(module: nn.Module, input: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Return what each layer gives for one picture."""
    found: dict[str, tuple[int, ...]] = {}
    for name, part in module.named_modules():
        part.register_forward_hook(lambda _part, _in, out, name=name: found.__setitem__(name, tuple(out.shape[1:])))
    module(torch.empty((1, *input), device="meta"))
    return found


@pytest.mark.parametrize("name", nets.names())
def test_every_network_runs_and_gives_its_classes(name):
    design = nets.design(name)
    module = made(name)
    assert module(torch.empty((2, design.channels, *design.size), device="meta")).shape == (2, design.classes)
    other = made(name, classes=7, channels=2, size=(design.size[0] + 8, design.size[1] + 32))
    size = (design.size[0] + 8, design.size[1] + 32)
    assert other(torch.empty((2, 2, *size), device="meta")).shape == (2, 7)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameters(name, count):
    assert parameters(made(name)) == count


@pytest.mark.parametrize(("name", "millions"), LECTURE_MILLIONS.items())
def test_the_lectures_table_of_vgg(name, millions):
    assert round(parameters(made(name)) / 1e6) == millions


@pytest.mark.parametrize(("depth", "millions"), PAPER_MILLIONS.items())
def test_the_papers_table_of_cifar_networks(depth, millions):
    digits = 1 if millions > 1 else 2
    assert round(parameters(made(f"resnet-{depth}-cifar")) / 1e6, digits) == millions
    # shortcut B adds two projections: 16*32 + 64 and 32*64 + 128
    assert parameters(made(f"resnet-{depth}-cifar-b")) - parameters(made(f"resnet-{depth}-cifar")) == 576 + 2176


def test_every_network_has_its_number():
    assert set(nets.names()) - {name for name in nets.names() if name.endswith("-b")} == set(PARAMETERS) - {"vgg-b"}


def test_cnn2_counted_as_in_the_lecture():
    module = made("cnn2")
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert len(norms) == 5
    assert parameters(module) + sum(2 * norm.num_features for norm in norms) == 36_314


def test_shapes_of_alexnet():
    found = shapes(made("alexnet"), (3, 227, 227))
    layers = "conv1 pool1 lrn1 conv2 pool2 lrn2 conv3 conv4 conv5 pool3 dense1 dense2 dense3".split()
    assert [found[layer] for layer in layers] == [
        (96, 55, 55),
        (96, 27, 27),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
        (4096,),
        (4096,),
        (1000,),
    ]
    assert made("alexnet-2014").features[0].weight.shape == (64, 3, 11, 11)


def test_shapes_of_lenet():
    found = shapes(made("lenet-5"), (1, 32, 32))
    assert [found[layer] for layer in "c1 s2 c3 s4 c5 f6 output".split()] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (84,),
        (10,),
    ]


def test_weights_of_lenet_layer_by_layer():
    # the paper's own counts, section II.B
    module = made("lenet-5")
    counts = {name: parameters(part) for name, part in module.named_children() if parameters(part)}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 850}


def test_lenets_table_is_the_papers():
    # table I, column after column: which maps of S2 each map of C3 sees
    columns = "012 123 234 345 450 501 0123 1234 2345 3450 4501 5012 0134 1245 0235 012345".split()
    assert [set(row) for row in TABLE] == [{int(digit) for digit in column} for column in columns]


@pytest.mark.parametrize(("name", "convolutions"), [("a", 8), ("a-lrn", 8), ("b", 10), ("c", 13), ("d", 13), ("e", 16)])
def test_depth_of_vgg(name, convolutions):
    module = made(f"vgg-{name}")
    kernels = [part.kernel_size for part in module.modules() if isinstance(part, nn.Conv2d)]
    assert len(kernels) == convolutions
    assert kernels.count((1, 1)) == (3 if name == "c" else 0)
    assert sum(isinstance(part, nets.LocalResponseNorm) for part in module.modules()) == (name == "a-lrn")


def test_shapes_of_googlenet_against_the_papers_table():
    # table 1: channels and side of what each gives (its counts of weights do not follow from its own widths)
    table = {
        "conv1": (64, 112),
        "maxpool1": (64, 56),
        "conv3": (192, 56),
        "maxpool2": (192, 28),
        "inception3a": (256, 28),
        "inception3b": (480, 28),
        "maxpool3": (480, 14),
        "inception4a": (512, 14),
        "inception4b": (512, 14),
        "inception4c": (512, 14),
        "inception4d": (528, 14),
        "inception4e": (832, 14),
        "maxpool4": (832, 7),
        "inception5a": (832, 7),
        "inception5b": (1024, 7),
        "avgpool": (1024, 1),
    }
    module = made("googlenet")
    found = shapes(module, (3, 224, 224))
    assert {name: found[name] for name in table} == {name: (count, side, side) for name, (count, side) in table.items()}
    # 3a by hand: 192*64 + 192*96 + 96*128*9 + 192*16 + 16*32*25 + 192*32, and a bias for each filter
    assert parameters(module.inception3a) == 163_328 + 64 + 96 + 128 + 16 + 32 + 32


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet-18", 18), ("resnet-34", 34), ("resnet-50", 50), ("resnet-152", 152)]
)
def test_depth_of_residual_networks(name, layers):
    module = made(name)
    counted = [part for path, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    projections = [path for path, part in module.named_modules() if path.endswith("downsample.0")]
    assert len(counted) - len(projections) == layers


@pytest.mark.parametrize("name", nets.names())
def test_the_smallest_picture(name):
    design = nets.design(name)
    side = design.smallest
    module = made(name, size=side)
    assert module(torch.empty((2, design.channels, side, side), device="meta")).shape == (2, design.classes)
    if side == 1:
        return
    with pytest.raises(
        NetworkError, match=rf"{name} cannot be built for pictures of {side - 1} x {side + 1}.*{side} x {side}\."
    ):
        made(name, size=(side - 1, side + 1))
    with torch.device("meta"), pytest.raises(Exception):  # noqa: B017, PT011  # whatever PyTorch says of an empty map
        design.build(design.classes, design.channels, (side - 1, side - 1)).eval()(
            torch.empty((2, design.channels, side - 1, side - 1))
        )


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("vgg16", "vgg-d"),
        ("resnet50", "resnet-50"),
        ("lenet", "lenet-5"),
        ("alexnt", "alexnet"),
        ("cnn3", "cnn2 or cnn1"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, proposed):
    with pytest.raises(
        NetworkError, match=rf"there is no network '{name}'\. Did you mean {proposed}.*There are alexnet,"
    ):
        nets.create(name)


def test_names_are_read_kindly():
    assert nets.design("VGG_D") is nets.design("vgg-d")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"classes": 0}, r"classes of tiny must be a whole number of at least 1, got 0"),
        ({"channels": -1}, r"channels of tiny must be a whole number of at least 1, got -1"),
        ({"size": 0}, r"size of tiny must be a whole number of at least 1, got 0"),
        ({"size": (28, -28)}, r"size of tiny must be a whole number of at least 1, got -28"),
        ({"size": (28, 28, 1)}, r"size of tiny must be one whole number, or two for rows and columns"),
        ({"size": 28.5}, r"size of tiny must be a whole number of at least 1, got 28.5"),
        ({"classes": 2.5}, r"classes of tiny must be a whole number of at least 1, got 2.5"),
        ({"initial": "zeros"}, r"no rule 'zeros' for first weights"),
    ],
)
def test_numbers_that_make_no_sense(options, text):
    with pytest.raises(OptionError, match=text):
        nets.create("tiny", **options)


def test_numbers_of_other_libraries_are_numbers():
    module = made("tiny", classes=torch.tensor([2, 6]).max() + 1, size=np.int64(32), channels=np.uint8(2))
    assert (module.dense2.out_features, module.conv1.in_channels) == (7, 2)
    assert module.made_as == "striate:tiny,classes=7,channels=2,size=32"
    assert nets.LocallyConnected2d(np.int64(3), 2, 8, np.int64(3)).output_size == (6, 6)


def test_a_generator_repeats_and_leaves_the_common_one_alone():
    before = torch.random.get_rng_state()
    first, again, other = (nets.create("lenet-5", generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(one, same) for one, same, _ in pairs)
    assert any(not torch.equal(one, different) for one, _, different in pairs)
    # without one, PyTorch's own is drawn from
    torch.manual_seed(4)
    seeded = nets.create("tiny")
    torch.manual_seed(4)
    assert torch.equal(seeded.conv1.weight, nets.create("tiny").conv1.weight)


@pytest.mark.parametrize("name", ["small", "cnn2", "lenet-5", "lenet-5-modern", "resnet-20-cifar", "resnet-20-cifar-b"])
def test_small_networks_learn(name):
    """Eight pictures of noise are told apart after some steps: every weight is reached."""
    torch.manual_seed(0)
    module = nets.create(name)
    design = nets.design(name)
    images, labels = torch.randn(8, design.channels, *design.size), torch.arange(8)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(images), labels)
        loss.backward()
        assert all(weight.grad is not None for weight in module.parameters())
        optimizer.step()
    assert loss.item() < 0.5


def test_shortcut_a_by_hand():
    shortcut = made("resnet-20-cifar").layer2[0].shortcut
    images = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 16, 4, 4)
    out = shortcut(images)
    assert out.shape == (1, 32, 2, 2)
    assert not out[:, :8].any()
    assert not out[:, 24:].any()
    assert out[0, 8].tolist() == [[0, 2], [8, 10]]
