"""What the tests of the page need: a small real network, served, and a client that speaks to it as a browser does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import striate
from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate.images import encode_png, read_image
from web.browsing import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("fastapi", reason="needs the extra web")
pytest.importorskip("httpx", reason="the test client needs httpx")

ADDRESS = "http://127.0.0.1:8765"
IN_ATLAS = 30
"""Pictures in the atlas that comes with it."""


def small_network(seed: int = 0) -> striate.Network:
    """Make a network of 24 x 20 pixels with a convolution, a depthwise one, a merge and four classes."""
    torch.manual_seed(seed)

    class Merge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 3, padding=1, groups=6)

        def forward(self, x):
            return x + self.conv(x)

    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), Merge(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    names = ["ant", "bee", "crane", "dog"]
    return striate.Network(module, striate.InputSpec(3, 24, 20), names, name=f"small {seed}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def pictures(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small photographs, and a file beside it that is none of them."""
    import numpy as np

    around = tmp_path_factory.mktemp("around")
    (around / "secret.png").write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    folder = around / "pictures"
    folder.mkdir()
    for name in ("astronaut.png", "chelsea.png"):
        picture = read_image(photographs / name)
        picture.resize((picture.width // 8, picture.height // 8)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def house(pictures: Path):
    from striate.web.house import House, Limits

    limits = Limits(upload=200_000, pixels=1_000_000, uploads=3, room=400_000, body=20_000)
    made = House.open(small_network(), compare=small_network(1), pictures=[pictures], limits=limits)
    yield made
    made.jobs.close()


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def images(network):
    return pictures_of(network, IN_ATLAS)


@pytest.fixture(scope="module")
def atlas(network, images, tmp_path_factory: pytest.TempPathFactory):
    return small_atlas(tmp_path_factory.mktemp("atlas") / "a", network, images, features=["deep"])


@pytest.fixture(scope="module")
def house_with_atlas(network, images, atlas, tmp_path_factory: pytest.TempPathFactory):
    """A house whose only picture is number 4 of its atlas."""
    from striate.web.house import House

    folder = tmp_path_factory.mktemp("pictures")
    (folder / "fourth.png").write_bytes(encode_png(network.spec.pixels(images[4:5])[0]))
    made = House.open(network, atlas=atlas, pictures=[folder])
    yield made
    made.jobs.close()


@pytest.fixture(scope="module")
def client(house):
    """A browser on this machine, without a token."""
    from fastapi.testclient import TestClient

    from striate.web.app import application

    with TestClient(application(house), base_url=ADDRESS) as made:
        yield made


@pytest.fixture(scope="module")
def picture(client) -> str:
    """The id of the cat, 56 x 37 pixels."""
    return next(one["id"] for one in client.get("/api/session").json()["pictures"] if one["name"] == "chelsea.png")
