"""The grammar of addresses: every form read and written, and what is said when one is wrong."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.address import Address, class_name, find_class, find_layer, parse
from striate.errors import AddressError

FORMS = {
    "layer4.1.conv2": Address("layer4.1.conv2"),
    "layer1.0.relu~2": Address("layer1.0.relu", call=2),
    "layer4:17": Address("layer4", channel=17),
    "layer4:17@6,5": Address("layer4", channel=17, position=(6, 5)),
    "layer4:17@max": Address("layer4", channel=17, position="max"),
    "features.3~1:0@0,12": Address("features.3", call=1, channel=0, position=(0, 12)),
    "class:281": Address(label="281"),
    "class:tiger cat": Address(label="tiger cat"),
    "relu@1:3": Address("relu@1", channel=3),  # exported programs name a second call so
}
CLASSES = ["tabby, tabby cat", "tiger cat", "crane", "crane", "Egyptian cat"]


@pytest.mark.parametrize(("text", "address"), FORMS.items())
def test_every_form_is_read_and_written_back(text, address):
    assert parse(text) == address
    assert str(address) == text


@given(
    st.from_regex(r"[a-z_]\w*(\.\w+)*", fullmatch=True),
    st.none() | st.integers(1, 99),
    st.none() | st.integers(0, 5000),
    st.none() | st.just("max") | st.tuples(st.integers(0, 999), st.integers(0, 999)),
)
def test_what_is_written_can_be_read(layer, call, channel, position):
    address = Address(layer, call, channel, position if channel is not None else None)
    if layer != "class":
        assert parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "conv1:", "conv1:x", "conv1:1@", "conv1:1@3", "conv1:-1", "conv1~0", "a:1:2"])
def test_what_is_no_address_is_said_with_the_grammar(text):
    with pytest.raises(AddressError, match=r"is no address\. Write LAYER, LAYER:CHANNEL"):
        parse(text)


def test_a_class_needs_a_name():
    with pytest.raises(AddressError, match="names no class"):
        parse("class: ")


def test_a_wrong_layer_gets_the_nearest_and_the_list():
    with pytest.raises(AddressError, match=r"'layr1\.conv'.*mean layer1\.conv\?.*Layers: layer1\.conv, fc"):
        find_layer("layr1.conv", ["layer1.conv", "fc"])
    with pytest.raises(AddressError, match=r"\.\.\. \(40 in all\)"):
        find_layer("x", [f"conv{index}" for index in range(40)])


@pytest.mark.parametrize(
    ("label", "index"),
    [("tabby", 0), ("Tabby Cat", 0), ("tabby_cat", 0), ("tabby, tabby cat", 0), ("1", 1), ("EGYPTIAN CAT", 4)],
)
def test_classes_are_found_by_index_name_and_synonym(label, index):
    assert find_class(label, CLASSES, 5) == index


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("crane", "stands for 2 classes (2, 3). Give the index"),
        ("taby", "Did you mean tabby"),
        ("7", "no class 7: this network has 5 classes, 0 to 4"),
        ("-1", "no class -1"),
    ],
)
def test_wrong_classes_are_explained(label, message):
    with pytest.raises(AddressError, match=re.escape(message)):
        find_class(label, CLASSES, 5)


def test_a_comma_in_the_name_of_a_folder_parts_nothing():
    names = ["dogs, small", "dogs, big", "cats, ", ", birds"]
    assert [class_name(names, index) for index in range(4)] == names


def test_of_the_synonyms_of_imagenet_the_first_is_enough_unless_another_class_is_called_so():
    names = ["tabby, tabby cat", "crane", "crane, of a harbour", *(f"class {index}, thing" for index in range(997))]
    assert [class_name(names, index) for index in (0, 1, 2, 9)] == ["tabby", "crane", "crane, of a harbour", "class 6"]


def test_a_network_without_names_takes_indices():
    assert find_class("3", None, 4) == 3
    with pytest.raises(AddressError, match="has no class names"):
        find_class("cat", None, 4)


def test_a_name_that_is_a_number_outside_the_indices_is_found():
    assert find_class("1000", ["10", "100", "1000"], 3) == 2
