"""What the interface says of an atlas and of a training, against the atlas and the training themselves."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from lenses.small_atlas import make_network
from striate import tap
from striate.atlas.thumbnails import thumbnails
from striate.results.sprite import columns_of
from striate.web.house import House
from web.conftest import IN_ATLAS

pytest.importorskip("fastapi", reason="needs the extra web")

from fastapi.testclient import TestClient

from striate.web.app import application


@pytest.fixture(scope="module")
def house(house_with_atlas):
    return house_with_atlas


@pytest.fixture(scope="module")
def client(house):
    with TestClient(application(house), base_url="http://127.0.0.1:8765") as made:
        yield made


@pytest.fixture(scope="module")
def picture(house):
    """The id of what is picture 4 of the atlas."""
    return house.pictures.all()[0].id


@pytest.fixture(scope="module")
def bare():
    """A house without atlas and training."""
    with TestClient(application(House.open(make_network())), base_url="http://127.0.0.1:8765") as made:
        yield made


def ask(client, path, status=200, **parameters):
    response = client.get(f"/api/{path}", params=parameters)
    assert response.status_code == status, response.text
    return response.json()


def pixels(client, path, **parameters):
    response = client.get(f"/api/{path}", params=parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))


# --- units


def test_the_card_says_what_the_activations_say(client, network, images):
    maps = tap.activations(network, images, ["second_relu"]).outputs["second_relu"].double().numpy()
    channel = int((maps.max((2, 3)) > 0).sum(0).argmax())
    own = maps[:, channel]
    found = ask(client, "unit", layer="second_relu", unit=channel)
    assert (found["mean"], found["std"]) == pytest.approx((own.mean(), own.std()), rel=1e-4)
    assert found["fires"] == pytest.approx((own.max((1, 2)) > 0).mean())
    assert found["dead"] is False
    assert sum(found["histogram"]["counts"]) == IN_ATLAS == found["pictures"]
    order = np.argsort(-own.max((1, 2)), kind="stable")
    assert [one["picture"] for one in found["top"]] == order[:9].tolist()
    best = found["top"][0]
    row, column = best["position"]
    assert own[order[0], row, column] == pytest.approx(best["value"], rel=1e-5)
    assert best["box"] == list(network.graph().layer("second_relu").field.box(row, column))
    assert best["size"] == [26, 22]
    assert best["label"] == ("ant", "bee", "crane")[order[0] % 3]
    by_class = [own[label::3].mean() for label in range(3)]
    assert found["classes"][0]["index"] == int(np.argmax(by_class))
    assert found["similar"][0]["address"] == f"{found['similar'][0]['layer']}:{found['similar'][0]['unit']}"


def test_the_pictures_of_the_atlas_are_shown_as_the_network_saw_them(client, network, images, atlas):
    np.testing.assert_array_equal(pixels(client, "atlas/pictures/7.png"), network.spec.pixels(images[7:8])[0])
    assert pixels(client, "atlas/pictures/7.png", side=13).shape == (13, 11, 3)
    found = ask(client, "atlas/pictures/7")
    assert (found["name"], found["label"]) == (atlas.pictures.name(7), "bee")
    assert found["probability"] == pytest.approx(float(atlas.probabilities[7]))


def test_best_patches_and_their_signals_lie_on_sheets(client, atlas, network):
    found = ask(client, "patches", layer="second_relu")
    sheet = pixels(client, "patches.png", layer="second_relu")
    assert found["channels"] == 6
    assert sheet.shape == (found["rows"] * 48, found["columns"] * 48, 3)
    assert found["values"] == pytest.approx(atlas.layer("second_relu").top_values[:, 0].tolist())
    signals = pixels(client, "unit/signals.png", layer="second_relu", unit=1, top=4, side=32)
    assert signals.shape == (64, 128, 3)
    assert pixels(client, "unit/signals.png", layer="second_relu", unit=1, top=4, side=32, rule="none").shape == (
        32,
        128,
        3,
    )


def test_a_picture_of_the_atlas_can_be_looked_at(client, house, network, images):
    response = client.post("/api/atlas/pictures/9")
    assert response.status_code == 200, response.text
    again = house.looked_at(response.json()["id"], network)
    torch.testing.assert_close(again[0], images[9], atol=0.01, rtol=0)


# --- the map


def test_the_map_and_what_a_region_has_in_common(client, atlas):
    found = ask(client, "map")
    assert (found["layer"], found["method"], found["layers"]) == ("deep", "pca", ["deep"])
    assert len(found["x"]) == len(found["y"]) == IN_ATLAS
    features = np.asarray(atlas.features("deep"), dtype=np.float64)
    centred = features - features.mean(0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    assert abs(np.corrcoef(found["x"], centred @ first)[0, 1]) == pytest.approx(1, abs=1e-4)
    assert found["label_names"] == {"0": "ant", "1": "bee", "2": "crane"}
    response = client.post("/api/map/region", json={"pictures": [0, 3, 6, 9]})
    region = response.json()
    assert region["sentence"].startswith("4 pictures of 30. 4 are of ant (100 %, 33 % of all).")
    assert [one["layer"] for one in region["units"]] == ["deep"] * len(region["units"])
    effects = [one["effect"] for one in region["units"]]
    assert effects == sorted(effects, reverse=True)


def test_thumbnails_lie_row_by_row(client, atlas):
    sheet = pixels(client, "map/thumbnails.png", **{"from": 20, "count": 64, "side": 16})
    columns = columns_of(10, 16, 16)
    made = thumbnails(atlas, range(20, 30), 16)
    for index in range(10):
        row, column = divmod(index, columns)
        np.testing.assert_array_equal(sheet[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16], made[index])
    assert ask(client, "map/thumbnails.png", 400, **{"from": 30})["error"].endswith("none from 30 on.")


def test_what_takes_long_is_a_job_and_then_there(client):
    pytest.importorskip("openTSNE", reason="needs the extra embed")
    begun = client.get("/api/map", params={"method": "tsne"})
    assert begun.status_code == 202
    job = begun.json()["job"]
    assert client.get("/api/map", params={"method": "tsne"}).json().get("job", job) == job  # not begun twice
    deadline = time.monotonic() + 120
    while (standing := ask(client, f"jobs/{job}"))["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert standing["state"] == "done", standing
    assert ask(client, "map", method="tsne")["method"] == "tsne"


def test_neighbours_are_the_nearest_by_features(client, atlas, picture):
    features = np.asarray(atlas.features("deep"), dtype=np.float64)
    far = np.linalg.norm(features - features[4], axis=1)
    order = [int(one) for one in np.argsort(far) if one != 4]
    by_index = ask(client, "neighbours", index=4, top=5)
    by_picture = ask(client, "neighbours", picture=picture, top=5)
    assert [one["picture"] for one in by_index["neighbours"]] == order[:5]
    assert [one["picture"] for one in by_picture["neighbours"]] == order[:5]  # it is in the atlas, and left out
    assert "left out of its own neighbours" in by_picture["notes"][0]


# --- arithmetic


def test_one_value_worked_out_is_the_networks_own(client, network, images, picture):
    own = float(tap.activations(network, images[4:5], ["second"]).outputs["second"][0, 3, 2, 5])
    found = ask(client, "arithmetic", layer="second", unit=3, row=2, col=5, picture=picture, shown=2)
    assert found["value"] == pytest.approx(own, abs=0.02)  # the picture went through 8 bits
    assert (found["channels"], found["window"], len(found["parts"])) == (5, [3, 3], 2)
    for part in found["parts"]:
        np.testing.assert_allclose(np.multiply(part["values"], part["kernel"]), part["products"])
        assert part["sum"] == pytest.approx(np.sum(part["products"]))
    total = sum(part["sum"] for part in found["parts"]) + found["rest"] + found["bias"]
    assert total == pytest.approx(found["sum"])
    assert found["sum"] == pytest.approx(found["value"], abs=1e-5)


def test_arithmetic_of_the_colours_of_the_picture(client, picture):
    found = ask(client, "arithmetic", layer="first", unit=0, row=0, col=0, picture=picture)
    assert found["colour"] is True
    assert [part["channel"] for part in found["parts"]] == [0, 1, 2]
    assert found["padding"][0] == [True, True, True]


# --- a training


def test_a_run_tells_its_course(tmp_path):
    from striate import load
    from striate.learn.loop import fit

    draw = np.random.default_rng(0)
    for label in (0, 1):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True)
        for index in range(12):
            made = draw.integers(0, 120, (12, 12), dtype=np.uint8) + np.uint8(label * 120)
            Image.fromarray(made).save(tmp_path / "pictures" / str(label) / f"{index}.png")
    trained = load("striate:cnn2,classes=2,size=12,channels=1")
    run = fit(trained, tmp_path / "pictures", out=tmp_path / "run", epochs=2, batch=8)
    house = House.open(str(run.path))
    with TestClient(application(house), base_url="http://127.0.0.1:8765") as client:
        found = ask(client, "runs")
    house.jobs.close()
    assert found["checkpoints"] == list(run.checkpoints)
    assert [one["train_loss"] for one in found["history"]] == [one.train_loss for one in run.history]
    assert (found["epochs"], found["finished"], found["best"]) == (2, True, run.best.epoch)
    assert found["verdict"]


# --- questions that make no sense


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("unit?layer=second&unit=60", 400, "no channel 60"),
        ("unit?layer=secnd&unit=0", 400, "no layer 'secnd'"),
        ("unit?layer=second&unit=-1", 422, "unit"),
        ("patches?layer=nothing", 400, "nothing"),
        ("patches.png?layer=nothing", 400, "nothing"),
        ("atlas/pictures/30", 404, "no picture 30 in the atlas: it has 30, 0 to 29"),
        ("atlas/pictures/-1.png", 404, "no picture -1"),
        ("map?layer=first", 400, "no features of 'first'"),
        ("map?method=rainbow", 422, "method"),
        ("neighbours", 400, "give one of picture"),
        ("neighbours?picture=0&index=0", 400, "give one of picture"),
        ("neighbours?index=30", 404, "no picture 30"),
        ("neighbours?picture=00", 404, "no picture 00"),
        ("arithmetic?layer=second&unit=0&row=99&picture=00", 404, "no picture 00"),
        ("runs", 400, "is no training"),
    ],
)
def test_nonsense_gets_a_sentence(client, path, status, words):
    response = client.get(f"/api/{path}")
    assert response.status_code == status
    assert words in response.json()["error"]


def test_a_position_outside_the_map_gets_a_sentence(client, picture):
    found = ask(client, "arithmetic", 400, layer="second", unit=0, row=99, col=0, picture=picture)
    assert "99" in found["error"]


@pytest.mark.parametrize(
    "path",
    ["unit?layer=second&unit=0", "patches?layer=second", "map", "neighbours?index=0", "atlas/pictures/0.png"],
)
def test_without_an_atlas_it_says_how_to_get_one(bare, path):
    response = bare.get(f"/api/{path}")
    assert response.status_code == 400
    assert "striate atlas build" in response.json()["error"]


def test_a_region_of_nothing_is_refused(client):
    for body in ({"pictures": []}, {"pictures": [-1]}, {"pictures": ["a"]}, {}):
        assert client.post("/api/map/region", json=body).status_code == 422
    response = client.post("/api/map/region", json={"pictures": [3, 10**12]})
    assert response.status_code == 400
    assert "in the atlas: it has 30" in response.json()["error"]


def test_a_block_of_the_atlas_is_found_by_the_layer_that_ends_it(tmp_path):
    """The page knows a block by its last layer, an atlas by the name that it was asked for: they are the same."""
    from torch import nn

    from atlas.making import make_atlas
    from striate import InputSpec, Network

    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    module = nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network = Network(module, InputSpec(3, 12, 10), ["ant", "bee", "crane"], name="blocks")
    images = torch.rand(9, 3, 12, 10, generator=torch.Generator().manual_seed(1))
    atlas = make_atlas(tmp_path / "atlas", network, images, ("0", "3"), labels=[index % 3 for index in range(9)])
    house = House.open(network, atlas=atlas)
    with TestClient(application(house), base_url="http://127.0.0.1:8765") as client:
        assert ask(client, "session")["atlas"]["layers"] == ["0.1", "3"]
        assert ask(client, "network")["aliases"]["0"] == "0.1"
        for path, more in (("patches", {}), ("unit", {"unit": 2})):
            assert ask(client, path, layer="0.1", **more) == ask(client, path, layer="0", **more)
        like = ask(client, "unit", layer="3", unit=0)["similar"]
        assert {one["layer"] for one in like} <= {"0.1", "3"}
        assert (pixels(client, "patches.png", layer="0.1") == pixels(client, "patches.png", layer="0")).all()
    house.jobs.close()


def test_an_atlas_of_an_older_version_is_refused_in_a_sentence(client, house):
    entry = house.atlas.manifest["features"][0]
    number = entry.pop("number")
    try:
        told = ask(client, "map", 400, seed=77)["error"]
    finally:
        entry["number"] = number
    assert "was built by a version that kept features in another way" in told
    assert "anew in another folder" in told
