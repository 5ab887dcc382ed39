"""The section "What it looks for": which channels and classes it asks for, and what stands below each picture."""

from __future__ import annotations

import re

import pytest
import torch

from striate.report import sections
from striate.report.page import render, sections_in
from striate.report.sections import sought
from striate.report.sections.sought import CHANNELS, build
from striate.report.visit import arrive
from striate.tap import activations


@pytest.fixture
def visit(network, paths):
    return arrive(network, paths, None)


def test_channels_are_those_shown_first_above(visit):
    values = build(visit)
    result = visit.runs["activations"].result
    assert [depth["layer"] for depth in values["depths"]] == list(dict.fromkeys(d["layer"] for d in values["depths"]))
    for depth in values["depths"]:
        firsts = {result.strongest(depth["layer"], index, 1, by="spread")[0] for index in range(2)}
        shown = [cell["channel"] for cell in depth["cells"]]
        assert firsts <= set(shown)
        assert len(shown) == len(set(shown)) == CHANNELS


def test_beside_each_value_stands_the_best_of_the_pictures(visit):
    values = build(visit)
    result = visit.runs["activations"].result
    for depth in values["depths"]:
        for cell in depth["cells"]:
            peaks = result.grid(depth["layer"])[:, cell["channel"]].amax((1, 2))
            assert cell["real"] == pytest.approx(float(peaks.max()))
            assert cell["name"] == visit.names[int(peaks.argmax())]
            assert cell["below"] == (cell["reached"] < 0.999 * cell["real"])
            assert cell["reached"] == pytest.approx(float(_peak(visit, cell["address"])))


def test_a_picture_that_stays_below_a_photograph_is_marked(visit):
    build(visit)
    made = visit.runs["synthesize"].result.made[0]
    made.peaks[:] = [-1e9, *[1e9] * (len(made) - 1)]
    values = build(visit)
    assert values["below"]
    assert [cell["below"] for cell in values["depths"][0]["cells"]] == [True] + [False] * (len(made) - 1)
    (section,) = [section for section in sections_in(sections) if section.name == "sought"]
    text = str(render(section, visit, network=visit.network))
    assert "such a picture fell short" in text
    assert text.count('class="other"') == sum(cell["below"] for one in values["depths"] for cell in one["cells"])


def _peak(visit, address):
    """Return the largest value of a channel in the picture that was made for it."""
    layer, channel = address.split(":")
    for made in visit.runs["synthesize"].result.made:
        if address in made.labels:
            image = torch.from_numpy(made.pictures[made.labels.index(address)][None]).float() / 255
            maps = activations(visit.network, visit.network.spec.normalise(image), [layer]).outputs[layer]
            return maps[0, int(channel)].max()
    raise AssertionError(address)


def test_a_class_picture_for_each_class_that_was_said(visit):
    values = build(visit)
    tops = visit.runs["predictions"].result.logits.argmax(1).unique().tolist()
    names = [visit.network.class_name(index) for index in tops]
    assert sorted(cell["name"] for cell in values["classes"]) == sorted(names)


def test_slow_networks_get_fewer_steps(visit, monkeypatch):
    build(visit)
    assert visit.runs["synthesize"].result.recipe.options["steps"] == sought.STEPS == 4

    monkeypatch.setattr(sought, "USUAL", 1.0)
    slow = arrive(visit.network, visit.paths, None)
    build(slow)
    assert slow.runs["class_picture"].result.recipe.options["steps"] == sought.FEWEST == 2


def test_on_the_page(visit):
    (section,) = [section for section in sections_in(sections) if section.name == "sought"]
    text = str(render(section, visit, network=visit.network))
    assert text.count("<img") == 2 * CHANNELS + len(build(visit)["classes"])
    assert re.search(r"<code title=\"\d:\d+\">:\d+</code> reaches [\d.]+; <span title=\"[^\"]+\"", text)


def test_one_channel_and_no_names(grey_network, paths):
    values = build(arrive(grey_network, paths, None))
    assert values["classes"][0]["name"] in "012"
    assert values["depths"]
