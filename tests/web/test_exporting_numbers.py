"""What an exported page works out itself is what the server says: columns, single values, arithmetic, regions."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate
from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate.images import encode_png
from striate.results.words import number
from striate.web.app import application
from striate.web.asking import Asking
from striate.web.exporting import every_layer, export
from striate.web.house import House
from web.browsing import new_tab, until
from web.test_exporting import index_of

PICTURE = (3, 30, 26)
ROUNDED = ("silu", "tanh")
ASK = """async ([path, parameters]) => {
  const { get, post } = await import('striate/api');
  try { return await (path === 'map/region' ? post : get)(path, parameters); }
  catch (error) { return { error: error.message }; }
}"""


def windows() -> striate.Network:
    """Make a network with every kind of window, and every function that the page knows."""
    torch.manual_seed(3)
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(3, 8, (5, 3), stride=2, padding=(2, 1)),
        "norm": nn.BatchNorm2d(8),
        "relu6": nn.ReLU6(),
        "depthwise": nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        "hardswish": nn.Hardswish(),
        "highest": nn.MaxPool2d(3, stride=2, padding=1),
        "reflected": nn.Conv2d(8, 12, 3, padding=1, groups=4, padding_mode="reflect", bias=False),
        "leaky": nn.LeakyReLU(0.2),
        "mean": nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        "counted": nn.AvgPool2d(2, stride=1, padding=1),
        "pointwise": nn.Conv2d(12, 10, 1),
        "silu": nn.SiLU(),
        "parts": nn.AdaptiveAvgPool2d((3, 2)),
        "wide": nn.Conv2d(10, 9, 3, padding=1),
        "gelu": nn.GELU(),
        "flat": nn.Flatten(),
        "dense": nn.Linear(54, 7),
        "tanh": nn.Tanh(),
        "head": nn.Linear(7, 5),
    }
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    norm = module.get_submodule("norm")
    for values in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        values.copy_(torch.rand(8) + 0.3)
    return striate.Network(module, striate.InputSpec(*PICTURE), name="windows")


@pytest.fixture(scope="module")
def of_windows(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Path]:
    folder = tmp_path_factory.mktemp("windows")
    draw = np.random.default_rng(0)
    (folder / "any.png").write_bytes(encode_png(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)))
    house = House.open(windows(), pictures=[folder / "any.png"])
    export(house, folder / "page", layers=every_layer(house.network), lenses=[], covers=False)
    return house, folder / "page"


def differences(live: Any, page: Any, where: str = "") -> list[str]:
    """Compare two answers: numbers to twelve digits, for they may be added up in another order."""
    if isinstance(live, dict) and isinstance(page, dict):
        return [text for key in live for text in differences(live[key], page.get(key, "not there"), f"{where}.{key}")]
    if isinstance(live, list) and isinstance(page, list) and len(live) == len(page):
        pairs = enumerate(zip(live, page, strict=True))
        return [text for at, (one, two) in pairs for text in differences(one, two, f"{where}[{at}]")]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (live, page))
    same = live == pytest.approx(page, rel=1e-12, abs=1e-12) if numbers else live == page
    return [] if same else [f"{where}: {live!r} live, {page!r} in the page"]


def test_columns_values_and_arithmetic_are_those_of_the_server(browser, of_windows):
    house, folder = of_windows
    given, draw = house.pictures.all()[0].id, random.Random(0)
    tab, complaints = new_tab(browser)
    tab.goto((folder / "index.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    refused, worked_out = [], 0
    with Asking(application(house)) as live:
        for layer in every_layer(house.network):
            found = house.network.graph().layer(layer)
            height, width = found.map_size or (1, 1)
            for corner in ((0, 0), (height - 1, width - 1), (height // 2, draw.randrange(width))):
                at = {"layer": layer, "picture": given, "unit": draw.randrange(found.channels)}
                at |= {"row": corner[0], "col": corner[1]}
                asked = live.get("arithmetic", {**at, "shown": 6})
                page = tab.evaluate(ASK, ["arithmetic", {**at, "shown": 6}])
                if not asked.good or "kind" not in page:
                    refused.append((layer, asked.good, page["error"]))
                    assert asked.good or page["error"] == asked.error
                    continue
                answer = asked.json()
                answer.pop("caption")  # the page shows none
                error = answer.pop("error")
                if layer in ROUNDED:  # an exponential differs in the last bit of single precision
                    assert answer["steps"][-1]["value"] == pytest.approx(page["steps"][-1]["value"], rel=3e-7)
                    answer["steps"], answer["sentence"] = page["steps"], page["sentence"]
                else:
                    assert abs(error - page["error"]) < 1e-12
                if error < 1e-12:  # sums in another order may be the same, or not quite
                    answer["sentence"], page["sentence"] = (
                        re.sub(r"\(.*?\)", "", one["sentence"]) for one in (answer, page)
                    )
                assert differences(answer, page) == [], layer
                worked_out += 1
                place = {"layer": layer, "picture": given, "y": f"{draw.random():.4f}", "x": f"{draw.random():.4f}"}
                if found.map_size is None:
                    continue
                assert live.get("column", place).json() == tab.evaluate(ASK, ["column", place])  # bit by bit
                assert live.get("field", at).json()["value"] == tab.evaluate(ASK, ["field", at])["value"]
    assert {layer for layer, good, _ in refused if good} == {"gelu"}  # of this alone the page knows less
    assert all("ends in GELU" in sentence for layer, _, sentence in refused if layer == "gelu")
    assert worked_out >= 3 * 15
    assert complaints == []
    tab.context.close()


def test_numbers_are_written_as_the_library_writes_them(browser, of_windows):
    tab, _ = new_tab(browser)
    tab.goto((of_windows[1] / "index.html").as_uri())
    draw = np.random.default_rng(0)
    values = [0.0, 0.125, 0.375, 2.5, 3.5, 1234.5, -0.0625, 12.5, 1e-7, 123456.789, 0.99951, 9.995]
    values += (draw.normal(size=400) * 10.0 ** draw.integers(-5, 6, 400)).tolist()
    code = """async values => { const { figure } = await import('striate/exported_numbers');
      return values.map(one => [1, 3, 4].map(digits => figure(one, digits))); }"""
    for value, texts in zip(values, tab.evaluate(code, values), strict=True):
        assert texts == [number(value, digits) for digits in (1, 3, 4)], value
    tab.context.close()


def test_regions_have_in_common_what_the_server_says(browser, tmp_path):
    network = make_network()
    images = pictures_of(network, 24)
    (tmp_path / "one.png").write_bytes(encode_png(network.spec.pixels(images[4:5])[0]))
    atlas = small_atlas(tmp_path / "atlas", network, images, features=["deep"])
    house = House.open(network, atlas=atlas, pictures=[tmp_path / "one.png"])
    export(house, tmp_path / "page", covers=False, cards=False, lenses=[])
    tab, complaints = new_tab(browser)
    tab.goto((tmp_path / "page" / "index.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    draw = random.Random(1)
    with Asking(application(house)) as live:
        map_ = live.get("map").json()
        for count in (1, 2, 5, 12, 23, 24):
            body = {"pictures": draw.sample(map_["pictures"], count), "layer": map_["layer"]}
            answer = live.post("map/region", body).json()
            assert differences(answer, tab.evaluate(ASK, ["map/region", body])) == [], count
            assert bool(answer["units"]) == (count < 24)
    assert complaints == []
    tab.context.close()


def test_where_there_is_no_room_the_page_says_so(browser, of_windows, tmp_path):
    house, _ = of_windows
    told: list[str] = []
    made = export(
        house, tmp_path / "some", layers=["conv", "head"], lenses=[], covers=False, room=2000, tell=told.append
    )
    assert made.left_out == ()
    assert re.match(r"Numbers of 1 layer: \d+ bytes at most .* For those of conv there is no room: .* kB more", told[0])
    export(house, tmp_path / "none", layers=["conv"], lenses=[], covers=False, room=0, tell=told.append)
    assert "stay with the server" in told[1]
    assert not (tmp_path / "none" / "numbers").exists()
    tab, complaints = new_tab(browser)
    tab.goto((tmp_path / "some" / "index.html").as_uri() + "#/conv/2")
    tab.wait_for_selector("body[data-ready]")
    until(tab, "document.querySelector('.column p').textContent.includes('numbers of this layer were not exported')")
    until(tab, "document.querySelector('.focus canvas').width > 10")
    tab.locator(".pad").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("a")
    until(tab, "document.querySelector('#arithmetic').textContent.includes('numbers of conv were not exported')")
    assert "striate serve windows" in tab.inner_text("#arithmetic")
    assert complaints == []
    tab.context.close()


def test_arithmetic_that_has_no_finite_numbers_is_left_out_and_said(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Hardtanh(0.0, float("inf")), nn.Flatten(), nn.Linear(72, 2))
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    house = House.open(striate.Network(module, striate.InputSpec(3, 8, 8)), pictures=[tmp_path / "a.png"])
    export(house, tmp_path / "page", layers=["1"], covers=False, lenses=["saliency"])
    assert "numbers without end" in index_of(tmp_path / "page")["refused"]["window?layer=1"]
