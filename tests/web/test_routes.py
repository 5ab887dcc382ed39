"""The interface says what the library says: every answer against the same question asked directly."""

from __future__ import annotations

import io
import json
import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import drawing, registry
from striate.images import encode_png


def pixels(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))


def ask(client, path, **parameters):
    response = client.get(f"/api/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_session_says_what_there_is(client, house):
    found = ask(client, "session")
    assert found["network"]["name"] == "small 0"
    assert found["network"]["input"] == "3 x 24 x 20"
    assert found["network"]["class_names"] == ["ant", "bee", "crane", "dog"]
    assert found["network"]["weights"] == house.network.weights_hash
    assert found["other"]["name"] == "small 1"
    assert found["atlas"] is None
    assert found["lenses"] == registry.names()
    assert {one["name"]: (one["width"], one["height"]) for one in found["pictures"]} == {
        "astronaut.png": (64, 64),
        "chelsea.png": (56, 37),
    }


def test_a_file_name_that_is_no_text_is_shown_all_the_same(tmp_path):
    from fastapi.testclient import TestClient

    from striate.web.app import application
    from striate.web.house import House
    from web.conftest import ADDRESS, small_network

    name = os.fsdecode(b"\xff.png")
    (tmp_path / name).write_bytes(encode_png(np.zeros((24, 20, 3), np.uint8)))
    with TestClient(application(House.open(small_network(), pictures=[tmp_path])), base_url=ADDRESS) as client:
        assert client.get("/api/session").json()["pictures"][0]["name"] == r"\udcff.png"


def test_the_structure_has_the_merge_between_the_picture_and_the_classes(client):
    found = ask(client, "network")
    assert [layer["address"] for layer in found["layers"]] == ["0", "1", "2.conv", "2", "3", "4", "5", "6", "7", "8"]
    assert ["", "0"] in found["edges"]
    assert sorted(edge[0] for edge in found["edges"] if edge[1] == "2") == ["1", "2.conv"]
    assert [stage["name"] for stage in found["stages"]] == ["24 x 20", "12 x 10", "10 x 8", "vectors"]
    by_address = {layer["address"]: layer for layer in found["layers"]}
    assert by_address["0"]["shape"] == [6, 24, 20]
    assert by_address["0"]["field"] == {"size": [3, 3], "status": "exact"}
    assert by_address["8"]["shape"] == [4]
    assert (by_address["8"]["units"], by_address["8"]["parameters"]) == (4, 36)


def test_predictions_are_those_of_the_network(client, house, picture, pictures):
    logits = house.network([pictures / "chelsea.png"])[0]
    found = ask(client, "predictions", picture=picture, top=4)["classes"]
    assert [one["index"] for one in found] == logits.argsort(descending=True).tolist()
    assert [one["probability"] for one in found] == pytest.approx(logits.softmax(0).sort(descending=True)[0].tolist())
    assert found[0]["logit"] == pytest.approx(float(logits.max()))
    other = ask(client, "predictions", picture=picture, top=4, other=True)["classes"]
    assert [one["logit"] for one in other] != [one["logit"] for one in found]


def test_activations_and_their_sheet_are_those_of_the_layer(client, house, picture, pictures):
    maps = striate.lenses.activations(house.network, [pictures / "chelsea.png"], layers="4").maps["4"][0].numpy()
    found = ask(client, "activations", layer="4", picture=picture)
    assert (found["channels"], found["height"], found["width"], found["cell"]) == (8, 10, 8, [10, 8])
    assert found["signed"]
    np.testing.assert_allclose(found["maxima"], maps.max((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found["means"], maps.mean((1, 2)), rtol=1e-4, atol=1e-6)
    sheet = pixels(client.get("/api/activations.png", params={"layer": "4", "picture": picture}))
    assert sheet.shape == (found["rows"] * 10, found["columns"] * 8, 3)
    row, column = divmod(5, found["columns"])
    cell = sheet[row * 10 : row * 10 + 10, column * 8 : column * 8 + 8]
    expected = drawing.diverging(np.clip(maps[5] / found["high"], -1, 1))
    assert np.abs(cell.astype(int) - expected).max() <= 4  # the sheet has 255 colours, the library 511


def test_each_map_on_its_own_scale_reaches_the_last_colour(client, picture):
    found = ask(client, "activations", layer="1", picture=picture, scale="own")
    sheet = pixels(client.get("/api/activations.png", params={"layer": "1", "picture": picture, "scale": "own"}))
    brightest = drawing.magma(np.array([1.0]))[0]
    for channel, most in enumerate(found["maxima"]):
        row, column = divmod(channel, found["columns"])
        cell = sheet[row * 24 : row * 24 + 24, column * 20 : column * 20 + 20]
        assert (cell == brightest).all(2).any() == (most > 0)


def test_kernels_in_colour_by_sign_and_by_strength(client, house):
    found = ask(client, "filters", layer="0")
    assert (found["channels"], found["cell"], found["shows"]) == (6, [3, 3], "colour")
    assert ask(client, "filters", layer="2.conv")["shows"] == "kernel"
    assert ask(client, "filters", layer="4")["shows"] == "strength"
    weights = house.network.module[4].weight.detach().numpy()
    assert ask(client, "filters", layer="4")["norms"] == pytest.approx(np.sqrt((weights**2).sum((1, 2, 3))).tolist())
    assert pixels(client.get("/api/filters.png", params={"layer": "4"})).shape == (9, 9, 3)


def test_a_unit_s_field_lies_in_the_picture_as_it_was_given(client, house, picture):
    # 56 x 37 becomes 36 x 24 and is cropped to 20 x 24: one input pixel is 56 / 36 and 37 / 24 wide and high
    box = house.network.graph().layer("4").field.box(3, 2)
    found = ask(client, "field", layer="4", row=3, col=2, picture=picture, unit=5)
    assert found["top"] == pytest.approx(box[0] * 37 / 24)
    assert found["bottom"] == pytest.approx((box[2] + 1) * 37 / 24)
    assert found["left"] == pytest.approx((box[1] + 8) * 56 / 36)
    assert found["right"] == pytest.approx((box[3] + 1 + 8) * 56 / 36)
    middle = {
        "y": (found["top"] + found["bottom"]) / 2 / 37,
        "x": (found["left"] + found["right"]) / 2 / 56,
    }
    column = ask(client, "column", layer="4", picture=picture, **middle)
    assert (column["row"], column["col"]) == (3, 2)
    assert column["values"][5] == found["value"]
    assert column["strongest"][0] == int(np.argmax(column["values"]))


def test_a_patch_changes_what_the_network_says_as_when_the_pixels_are_grey(client, house, picture, pictures):
    network = house.network
    image = network.read([pictures / "chelsea.png"])
    covered = image.clone()
    covered[:, :, 8:16, 6:14] = network.spec.baseline("grey", image)[:, :, 8:16, 6:14]
    expected = torch.cat([network(image), network(covered)]).softmax(1)
    found = ask(client, "occlude", picture=picture, x=0.5, y=0.5, size=8, top=4, target="class:bee")
    assert {one["index"]: one["p"] for one in found["before"]} == pytest.approx(dict(enumerate(expected[0].tolist())))
    assert {one["index"]: one["p"] for one in found["after"]} == pytest.approx(dict(enumerate(expected[1].tolist())))
    logits = network(torch.cat([image, covered]))[:, 1]
    assert found["drop"] == pytest.approx(float(logits[0] - logits[1]), abs=1e-5)
    assert found["target"] == "class:bee"
    outside = client.get("/api/occlude", params={"picture": picture, "x": 0, "y": 0.5, "size": 2})
    assert outside.status_code == 400
    assert "lies outside" in outside.json()["error"]


def test_a_quick_lens_answers_at_once_with_map_and_picture(client, house, picture, pictures):
    body = {"lens": "saliency", "picture": picture, "target": ["class:bee"], "options": {"rule": "guided"}}
    found = client.post("/api/run", json=body).json()
    heatmap = striate.lenses.saliency(house.network, [pictures / "chelsea.png"], "class:bee", rule="guided")
    assert found["target"] == ["class:bee"]
    assert found["caption"] == heatmap.caption()
    assert found["options"]["rule"] == "guided"
    assert len(found["drawings"]) == 2
    np.testing.assert_array_equal(pixels(client.get(found["drawings"][0]["url"])), heatmap.drawings()[0].pixels)
    overlay = found["overlays"][0]
    np.testing.assert_array_equal(pixels(client.get(overlay["picture"])), heatmap.pictures[0])
    np.testing.assert_array_equal(pixels(client.get(overlay["alone"])), heatmap.drawings()[1].pixels)
    layer = np.asarray(Image.open(io.BytesIO(client.get(overlay["map"]).content)))
    assert layer.shape == (24, 20, 4)
    assert layer[..., 3].flatten()[heatmap.scores[0].argmax()] == 255
    again = client.post("/api/run", json=body).json()
    assert again["result"] == found["result"]
    assert client.get(f"/api/results/{found['result']}").json() == found
    numbers = client.get(f"/api/results/{found['result']}/numbers.json").json()
    assert numbers["recipe"]["lens"] == "saliency"


def events(client, job):
    with client.stream("GET", f"/api/jobs/{job}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_a_long_lens_is_a_job_with_progress_and_the_same_picture_as_the_library(client, house):
    body = {"lens": "synthesize", "target": ["4:2"], "options": {"steps": 6, "seed": 3}}
    begun = client.post("/api/run", json=body)
    assert begun.status_code == 202
    heard = list(events(client, begun.json()["job"]))
    assert heard[-1][0] == "done"
    progress = [data for name, data in heard if name == "progress"]
    assert progress
    assert progress[-1]["done"] == progress[-1]["total"]
    assert any((data["picture"] or "").startswith("data:image/png;base64,") for data in progress)
    made = striate.lenses.synthesize(house.network, target="4:2", steps=6, seed=3)
    shown = pixels(client.get(heard[-1][1]["drawings"][0]["url"]))
    np.testing.assert_array_equal(shown, made.drawings()[0].pixels)
    assert client.get(f"/api/jobs/{begun.json()['job']}").json()["state"] == "done"
    assert client.post("/api/run", json=body).status_code == 200  # what was made is kept


def test_how_far_to_believe_a_map_is_what_the_library_says(client, house, picture, pictures):
    body = {"kind": "trust", "lens": "saliency", "picture": picture, "target": "class:bee", "options": {"signed": True}}
    name, found = list(events(client, client.post("/api/jobs", json=body).json()["job"]))[-1]
    assert name == "done", found
    image = house.network.read([pictures / "chelsea.png"])
    heatmap = striate.lenses.saliency(house.network, image, "class:bee", signed=True)
    curves = striate.trust.curves(house.network, image, heatmap, steps=20)
    assert found["numbers"]["deletion"] == pytest.approx(float(curves.deletion_areas[0, 0]), abs=1e-6)
    assert found["sentence"].startswith("Deletion ")
    assert found["doubt"] == ("Hardly changes" in found["sentence"])
    wrong = client.post("/api/jobs", json={"kind": "trust", "lens": "predictions", "picture": picture}).json()["job"]
    assert "gives no map" in list(events(client, wrong))[-1][1]["error"]


def test_a_stopped_synthesis_keeps_its_best(client):
    body = {"kind": "lens", "lens": "synthesize", "target": "4:1", "options": {"steps": 100_000}}
    job = client.post("/api/jobs", json=body).json()["job"]
    until = time.monotonic() + 60
    while (client.get(f"/api/jobs/{job}").json()["progress"] or {"done": 0})["done"] < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    waiting = client.post("/api/jobs", json={**body, "target": "4:0"}).json()["job"]
    assert client.get(f"/api/jobs/{waiting}").json()["state"] == "waiting"
    assert client.delete(f"/api/jobs/{waiting}").json()["state"] == "stopped"
    # short questions do not wait for the long one
    started = time.monotonic()
    assert client.get("/api/network", params={"other": True}).status_code == 200
    assert time.monotonic() - started < 30
    client.delete(f"/api/jobs/{job}")
    name, data = list(events(client, job))[-1]
    assert name == "done"
    assert any("Stopped at step" in note for note in data["notes"])
    assert list(events(client, waiting))[-1] == ("failed", {"error": "Stopped before it was begun.", "stopped": True})


def test_every_lens_has_a_form(client):
    found = {one["name"]: one for one in ask(client, "lenses")}
    assert list(found) == registry.names()
    rule = next(option for option in found["saliency"]["options"] if option["name"] == "rule")
    assert (rule["type"], rule["choices"], rule["default"]) == (
        "choice",
        ["gradient", "guided", "deconvnet"],
        "gradient",
    )
    assert next(option for option in found["style"]["options"] if option["name"] == "style")["type"] == "picture"


WRONG = {
    "no lens is called 'salience'. Did you mean saliency": {"lens": "salience"},
    "saliency looks at a picture": {"lens": "saliency"},
    "no picture 0123": {"lens": "saliency", "picture": "0123"},
    "has no option 'rul'. Did you mean rule": {"lens": "saliency", "picture": "", "options": {"rul": "x"}},
    "rule is one of gradient": {"lens": "saliency", "picture": "", "options": {"rule": "back"}},
    "noise is a number": {"lens": "smoothgrad", "picture": "", "options": {"noise": "nan"}},
    "no class 'cow'": {"lens": "saliency", "picture": "", "target": "class:cow"},
    "synthesize needs an address": {"lens": "synthesize"},
    "there is none: striate serve --atlas": {"lens": "patches", "target": ["4:0"]},
    "no picture /etc/passwd": {"lens": "style", "picture": "", "options": {"style": "/etc/passwd"}},
    "there are no epochs here": {"lens": "saliency", "picture": "", "epoch": 3},
}


@pytest.mark.parametrize("text", WRONG)
def test_what_makes_no_sense_is_said_in_a_sentence(client, picture, text):
    body = {**WRONG[text]}
    if body.get("picture") == "":
        body["picture"] = picture
    response = client.post("/api/run", json=body)
    if response.status_code == 202:  # told by the job
        error = list(events(client, response.json()["job"]))[-1][1]["error"]
    else:
        assert 400 <= response.status_code < 500
        error = response.json()["error"]
    assert text in error


def test_an_answer_that_the_browser_holds_is_not_sent_again(client, picture):
    first = client.get("/api/activations.png", params={"layer": "4", "picture": picture})
    tag = first.headers["etag"]
    again = client.get(
        "/api/activations.png", params={"picture": picture, "layer": "4"}, headers={"If-None-Match": tag}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/api/activations.png", params={"layer": "4", "picture": picture, "other": True})
    assert other.headers["etag"] != tag
    assert other.content != first.content


def test_pictures_are_shown_upright_and_as_the_network_sees_them(client, house, picture, pictures):
    whole = np.asarray(Image.open(pictures / "chelsea.png").convert("RGB"))
    np.testing.assert_array_equal(pixels(client.get(f"/api/pictures/{picture}.png")), whole)
    assert pixels(client.get(f"/api/pictures/{picture}.png?side=28")).shape == (18, 28, 3)
    expected = house.network.spec.pixels(house.network.read([pictures / "chelsea.png"]))[0]
    np.testing.assert_array_equal(pixels(client.get(f"/api/pictures/{picture}/input.png")), expected)


def test_the_page_and_its_modules_come_from_the_package(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/style.css").status_code == 200
    module = client.get("/modules/main.js")
    assert module.headers["content-type"].startswith("text/javascript")
