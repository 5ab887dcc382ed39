"""What may be judged: names with options, functions, and what is refused."""

from __future__ import annotations

import pytest

from striate import lenses
from striate.errors import OptionError
from striate.trust import Explainer, explain, explainers
from striate.trust.explainers import parse


def test_options_are_read_as_on_the_command_line():
    found = parse("grad-cam: variant=layer-cam, relu=no, layer=layer4.1")
    assert found.options == {"variant": "layer-cam", "relu": False, "layer": "layer4.1"}
    assert parse("saliency").options == {}


def test_names_functions_and_mappings():
    def mine(network, images, target):
        raise NotImplementedError

    assert [one.name for one in explainers(["saliency", "saliency:rule=guided", mine])] == [
        "saliency",
        "saliency:rule=guided",
        "mine",
    ]
    named = explainers({"a": "grad_cam", "b": mine, "c": Explainer("mine", mine, {"x": 1})})
    assert [(one.name, dict(one.options)) for one in named] == [("a", {}), ("b", {}), ("c", {"x": 1})]
    assert explainers(mine)[0].call is mine


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("salency", "no lens is called 'salency'. Did you mean saliency"),
        ("saliency:rul=guided", "'rul=guided' in 'saliency:rul=guided' is no option of saliency.*it has rule, signed"),
        ("predictions", "predictions explains no decision"),
        ("filters", "filters explains no decision"),
        ("saliency:guided", "'guided' in 'saliency:guided' is no option"),
        ("saliency:rule=giuded", "Did you mean guided"),
        (["saliency", "saliency"], "two lenses are called 'saliency'"),
        ([], "no lens was given"),
        ([3], "3 is no lens"),
        (3, "3 is no lens"),
    ],
)
def test_what_is_no_lens(given, message):
    with pytest.raises(OptionError, match=message):
        explainers(given)


def test_a_lens_that_answers_something_else(small, images):
    def other(network, pictures, target):
        return lenses.saliency(network, pictures, "class:lynx")

    def cut(network, pictures, target):
        return lenses.saliency(network, pictures[:, :, :10], target)

    (one,) = explainers(other)
    with pytest.raises(OptionError, match="other explains class:lynx in picture 1, where class:tabby was asked for"):
        explain(one, small, images, "class:tabby")
    with pytest.raises(OptionError, match="where right:2 was asked for"):
        explain(one, small, images, "right:2")
    assert explain(one, small, images, "class:2").target == ("class:lynx", "class:lynx")
    (short,) = explainers(cut)
    with pytest.raises(OptionError, match="cut gives maps of 2 x 10 x 24 for pictures of 2 x 3 x 20 x 24"):
        explain(short, small, images, 0)
