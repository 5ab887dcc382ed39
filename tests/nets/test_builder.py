"""Networks from a line of text: depths deduced, mistakes named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.errors import NetworkError, OptionError
from striate.nets import LocallyConnected2d, SameConv2d, sequential

ISSUE = "conv 32 3x3 relu, pool 2, conv 64 3x3 relu, pool 2, flatten, dense 64 relu, dense 10"


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_depths_are_deduced():
    # row B1: 320 + 18,496 + 36,928 + 576 * 64 + 64 + 650 = 93,322
    text = "conv 32 3x3 relu, pool, conv 64 relu, pool, conv 64 relu, flatten, dense 64 relu, dense 10"
    assert parameters(sequential(text, (1, 28, 28))) == 93_322
    text = "conv 6 3x3 relu, pool, conv 16 relu, pool, flatten, dense 100 relu, dense 10"
    assert parameters(sequential(text, (1, 28, 28))) == 42_050


def test_layers_and_names():
    stack = sequential(ISSUE, (1, 28, 28))
    assert list(dict(stack.named_children())) == (
        "conv1 relu1 pool1 conv2 relu2 pool2 flatten1 dense1 relu3 dense2".split()
    )
    assert stack.conv2.in_channels == 32
    assert stack.dense1.in_features == 64 * 5 * 5
    assert stack(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_a_part_is_plain_layers():
    stack = sequential(ISSUE, (1, 28, 28)).eval()
    images = torch.rand(1, 1, 28, 28)
    assert list(dict(stack[:3].named_children())) == ["conv1", "relu1", "pool1"]
    torch.testing.assert_close(stack[6:](stack[:6](images)), stack(images))
    assert stack[-1] is stack.dense2


def test_print_shows_the_table():
    stack = sequential(ISSUE, (1, 28, 28))
    lines = str(stack).splitlines()
    assert lines[0].split()[:3] == ["address", "kind", "output"]
    assert lines[4].startswith("conv2")
    assert "64 x 11 x 11" in lines[4]
    assert "18,496" in lines[4]
    assert "8 px /2 @ 3.5 exact" in lines[4]
    assert lines[-1] == "10 layers, 121,930 parameters, 2.53 M mult-adds for a picture of 1 x 28 x 28"
    assert repr(stack).startswith("Stack(\n  (conv1): Conv2d(1, 32")


@pytest.mark.parametrize(
    ("piece", "layer", "shape"),
    [
        ("conv 5", nn.Conv2d, (5, 10, 12)),
        ("conv 5 5", nn.Conv2d, (5, 8, 10)),
        ("conv 5 3x5 /2", nn.Conv2d, (5, 5, 5)),
        ("conv 5 3x3 stride 2x3 pad 1", nn.Conv2d, (5, 6, 5)),
        ("conv 5 3x3 same", nn.Conv2d, (5, 12, 14)),
        ("conv 5 4x4 same", SameConv2d, (5, 12, 14)),
        ("conv 5 3x3 same /5", SameConv2d, (5, 3, 3)),
        ("conv 4 3x3 dilation 2 groups 2 nobias", nn.Conv2d, (4, 8, 10)),
        ("local 5 3x3 /2 pad 1", LocallyConnected2d, (5, 6, 7)),
        ("pool", nn.MaxPool2d, (2, 6, 7)),
        ("pool 3 /2 pad 1 average", nn.AvgPool2d, (2, 6, 7)),
        ("pool 3x2 l2", nn.Module, (2, 4, 7)),
        ("pool 3 stride 1 distance", nn.Module, (2, 10, 12)),
        ("global average", nn.AdaptiveAvgPool2d, (2, 1, 1)),
        ("Conv 5  3X3", nn.Conv2d, (5, 10, 12)),
        ("lrn", nn.Module, (2, 12, 14)),
        ("bn", nn.BatchNorm2d, (2, 12, 14)),
        ("flatten", nn.Flatten, (336,)),
    ],
)
def test_every_word(piece, layer, shape):
    stack = sequential(piece, (2, 12, 14)).eval()
    assert isinstance(stack[0], layer)
    assert stack(torch.rand(1, 2, 12, 14)).shape[1:] == shape


def test_settings_reach_the_layer():
    conv = sequential("conv 4 3x5 stride 2x1 pad 1x2 dilation 1x2 groups 2 nobias", (2, 12, 14))[0]
    assert (conv.kernel_size, conv.stride, conv.padding, conv.dilation) == ((3, 5), (2, 1), (1, 2), (1, 2))
    assert conv.groups == 2
    assert conv.bias is None
    assert sequential("flatten dropout 0.3 dense 4 nobias bn", (1, 2, 2)).dropout1.p == 0.3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "conv 8 5x5, pool 4, conv 8 3x3",
            r"layer 3: 'conv 8 3x3': a window of 3 x 3 does not fit the map of 2 x 2 that layer 2 \(pool 4\) gives",
        ),
        ("conv 8 13x13", r"layer 1: .* a window of 13 x 13 does not fit the map of 12 x 12 that the picture gives\."),
        ("pool 2, conv 8 3x3 dilation 4", r"layer 2: .* a window of 9 x 9 does not fit the map of 6 x 6"),
        ("conv 8 14x14, pad 1", r"layer 1: .* does not fit"),
        ("conv 8, local 2 11x11", r"layer 2: 'local 2 11x11': a window of 11 x 11 does not fit the map of 10 x 10"),
        ("pool 13", r"layer 1: .* a window of 13 x 13 does not fit"),
        (
            "conv 8, dense 10",
            r"layer 2: 'dense 10': a dense layer takes numbers in a row, .* maps of 8 x 10 x 10. Put 'flatten'",
        ),
        ("flatten, conv 8", r"layer 2: 'conv 8': conv works on a map, and layer 1 \(flatten\) gives 144 numbers"),
        ("conv 8 groups 3", r"layer 1: .*: 3 groups divide 1 maps into 8 filters unevenly"),
    ],
)
def test_shapes_that_do_not_fit(text, message):
    with pytest.raises(NetworkError, match=message):
        sequential(text, (1, 12, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv 8, relo", r"layer 2: 'relo': 'relo' is not understood\. Did you mean relu\?"),
        ("conv", r"layer 1: 'conv': say how many filters the conv has, as in 'conv 32 3x3': a whole number"),
        ("conv 0", r"layer 1: .* at least 1, not '0'"),
        ("conv -3", r"layer 1: .* not '-3'"),
        ("conv 8 0x3", r"layer 1: .*: sizes are at least 1, got '0x3'"),
        ("conv 8 3x3 stride 0", r"layer 1: .*: sizes are at least 1, got '0'"),
        ("conv 8 3x3 stride", r"layer 1: .*: say how much 'stride'"),
        ("conv 8 groups 2x3", r"layer 1: .*: groups is one number, got 2x3"),
        ("conv 8 same pad 1", r"layer 1: .*: 'same' finds the padding by itself"),
        ("pool 2 max average", r"layer 1: .*: a pool is max or average"),
        ("pool 3 pad 2", r"layer 1: .*: padding of 2 x 2 is more than half the window of 3 x 3"),
        ("global", r"layer 1: .*: say which: 'global average' or 'global max'"),
        ("flatten, dense ten", r"layer 2: .*: say how many units .* not 'ten'"),
        ("dropout 1", r"layer 1: .*: dropout takes the share"),
        ("dropout much", r"layer 1: .*: dropout takes the share"),
        (" , \n", r"there are no layers in the text"),
    ],
)
def test_words_that_are_not_understood(text, message):
    with pytest.raises(OptionError, match=message):
        sequential(text, (1, 12, 12))


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ("local", "say how many filters the locally connected layer has, as in 'local 32 3x3': a whole number of at"),
        ("local eight", "a whole number of at least 1, not 'eight'."),
        ("local 3x3", "not '3x3' (that is a size, and stands behind it)."),
        ("local 8 0x3", "sizes are at least 1, got '0x3'. Write such as '3', or '3x5' for two sides."),
        ("local 8 3x", "'3x' is no size: write whole numbers without spaces, '3x5', or '3' for both. It takes 'stride"),
        ("local 8 3 x 3", "'x' is no size: write whole numbers without spaces, '3x5', or '3' for both."),
        ("local 8 3x3x3", "'3x3x3' is no size"),
        ("local 8 -3", "'-3' is no size"),
        ("local 8 3x3 2", "the number '2' stands alone: say what it is for, as in 'stride 2', or write a size"),
        ("local 8 3x3 /", "say how much 'stride', as in 'stride 2' or 'stride 2x1'."),
        ("local 8 3x3 pad -1", "say how much 'pad', as in 'pad 2' or 'pad 2x1', not '-1'."),
        ("local 8 3x3 same", "takes no 'same': say how many zeros stand around the map, as in 'pad 1'."),
        ("local 8 3x5 same", "as in 'pad 1x2'."),
        ("local 8 groups 2", "a locally connected layer takes no 'groups'. It takes 'stride 2', 'pad 1', 'nobias'."),
        ("local 8 padding 1", "'padding' is not understood after a locally connected layer. Did you mean pad?"),
        ("local 8 3x3 relo", "Did you mean relu? It takes 'stride 2', 'pad 1', 'nobias'. Then comes the next layer."),
        ("lokal 8 3x3", "'lokal' is not understood. Did you mean local?"),
        ("local 8 11x4", "a window of 11 x 4 does not fit the map of 10 x 10 that layer 1 (conv 4) gives. Take one"
         " of at most 10 x 10, or 'pad', or pool less before."),
        ("local 8 4x13 pad 1", "gives, padded by 1 x 1. Take one of at most 12 x 12, or more 'pad', or pool less"),
        ("flatten local 8", "a locally connected layer works on a map, and"),
        ("flatten dense 3 3", "the number '3' stands alone: say what it is for: one number is all it has."),
        ("pool 2 same", "pool takes no 'same'. It takes 'stride 2', 'pad 1', 'max', 'average', 'l2', 'distance'."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_to_write(piece, message):
    with pytest.raises((NetworkError, OptionError)) as caught:
        sequential(f"conv 4, {piece}, relu", (1, 12, 12))
    assert str(caught.value).startswith(f"layer 2: {piece!r}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("around", ["pad 1", "pad 1x2"])
def test_what_is_proposed_for_same_keeps_the_size(around):
    size = "3x3" if around == "pad 1" else "3x5"
    assert sequential(f"local 2 {size} {around}", (1, 7, 7))(torch.zeros(1, 1, 7, 7)).shape == (1, 2, 7, 7)


@pytest.mark.parametrize("input", [(28, 28), (0, 28, 28), (1, -1, 28)])
def test_pictures_that_make_no_sense(input):
    with pytest.raises(OptionError, match=r"input is channels, height and width"):
        sequential("flatten, dense 10", input)


def test_far_too_large_a_layer_is_refused_before_it_takes_memory():
    with pytest.raises(NetworkError, match=r"layer 2: 'dense 2000000000': one layer would have 2000000000 x 784"):
        sequential("flatten, dense 2000000000", (1, 28, 28))


def test_draws_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, again = (sequential(ISSUE, (1, 28, 28), generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), again.parameters(), strict=True))
