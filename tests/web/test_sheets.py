"""Pictures that were made before: read from what `synthesize` saved, for this network alone, unit for unit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.drawing import resample_bilinear
from striate.errors import OptionError
from striate.web.house import House
from striate.web.sheets import SIDE, Sheets
from web.browsing import new_tab, served, until
from web.conftest import ADDRESS, small_network


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def made(network):
    """Pictures of layer 4, which has eight channels, and of some of layer 0."""
    return striate.lenses.synthesize(network, ["4", "0:5", "0:2"], steps=2, size=(24, 20))


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    made.save(folder / "some.npz")
    return folder


@pytest.fixture(scope="module")
def client(network, folder, pictures):
    from fastapi.testclient import TestClient

    from striate.web.app import application

    house = House.open(network, pictures=[pictures], sheets=folder)
    with TestClient(application(house), base_url=ADDRESS) as made:
        yield made


def test_the_sheet_holds_the_pictures_of_the_result(client, made):
    assert sorted(client.get("/api/session").json()["sheets"]) == ["0", "4"]
    info = client.get("/api/synthesised", params={"layer": "0"}).json()
    assert (info["channels"], info["count"], info["made"]) == (6, 6, [2, 5])
    sheet = np.asarray(Image.open(io.BytesIO(client.get("/api/synthesised.png", params={"layer": "0"}).content)))
    high, wide = info["cell"]
    assert (high, wide) == (24, 20)
    for unit in range(6):
        row, column = divmod(unit, info["columns"])
        cell = sheet[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        if unit in (2, 5):
            np.testing.assert_array_equal(cell, made.picture(f"0:{unit}"))
        else:
            assert (cell == 128).all()
    whole = client.get("/api/synthesised", params={"layer": "4"}).json()
    assert whole["made"] == list(range(8))


def test_large_pictures_are_made_smaller(network, tmp_path):
    large = striate.lenses.synthesize(network, "4:1", steps=1, size=(240, 200))
    large.save(tmp_path / "large.npz")
    found = Sheets(tmp_path, network).sheet("4", 8)
    assert found.cell == (SIDE, int(200 * SIDE / 240))
    cell = found.pixels[: found.cell[0], found.cell[1] : 2 * found.cell[1]]
    np.testing.assert_array_equal(cell, resample_bilinear(large.picture("4:1"), found.cell))


def test_what_is_not_of_this_network_is_left_out_and_said(network, folder, tmp_path, made):
    with pytest.raises(OptionError, match="holds no pictures made for the units of small 1"):
        Sheets(folder, small_network(1))
    made.save(tmp_path / "good.npz")
    striate.lenses.synthesize(small_network(1), "4:1", steps=1, size=24).save(tmp_path / "other.npz")
    striate.lenses.filters(network, layer="0").save(tmp_path / "filters.npz")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:500])
    np.savez(tmp_path / "mine.npz", a=torch.zeros(3).numpy())
    found = Sheets(tmp_path, network)
    assert sorted(found.layers) == ["0", "4"]
    said = " ".join(found.left_out)
    assert "other.npz was made for a network of other weights" in said
    assert "filters.npz was made by filters" in said
    assert "broken.npz cannot be read" in said
    assert "mine.npz" in said


def test_without_them_the_way_to_them_is_said(house):
    from fastapi.testclient import TestClient

    from striate.web.app import application

    with TestClient(application(house), base_url=ADDRESS) as client:
        answer = client.get("/api/synthesised", params={"layer": "4"})
        assert answer.status_code == 400
        assert "--sheets FOLDER" in answer.json()["error"]


def test_the_grid_shows_them(browser, network, folder, pictures):
    with served(House.open(network, pictures=[pictures], sheets=folder)) as address:
        tab, complaints = new_tab(browser)
        tab.goto(f"{address}/#/4/3?show=synthesised")
        tab.wait_for_selector("body[data-ready]")
        until(tab, "document.querySelector('.focus figcaption').textContent.includes('made for it before')")
        assert tab.locator("#show-synthesised").get_attribute("aria-pressed") == "true"
        tab.evaluate("location.hash = '#/0/1?show=synthesised'")  # for this one nothing was made
        until(tab, "document.querySelector('.focus figcaption').textContent.includes('no picture is made')")
        assert complaints == []
        tab.context.close()
