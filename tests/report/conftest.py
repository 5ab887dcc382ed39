from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.network import Network
from striate.progress import Event, listen
from striate.report import look
from striate.spec import InputSpec


def small_network(activation: type[nn.Module] = nn.ReLU, channels: int = 3, names: bool = True) -> Network:
    """A network of three classes on 40 x 48 pixels, its weights always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            activation(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            activation(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 3),
        )
    spec = InputSpec(channels=channels, height=40, width=48, mean=(0.5,), std=(0.25,))
    return Network(module, spec, ("tabby", "tiger cat", "lynx") if names else None, name="small")


@pytest.fixture
def network() -> Network:
    return small_network()


@pytest.fixture
def gelu_network() -> Network:
    """Without rectifiers, so that guided backprop has nothing to follow."""
    return small_network(nn.GELU)


@pytest.fixture
def grey_network() -> Network:
    """One channel, classes without names."""
    return small_network(channels=1, names=False)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two pictures of noise."""
    return noise(tmp_path / "pictures")


def noise(folder: Path) -> list[Path]:
    """Write two pictures of noise, always the same."""
    random = np.random.default_rng(0)
    made = []
    for name in ("first.png", "second <b>&.png"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (60, 70, 3), dtype=np.uint8)).save(path)
        made.append(path)
    return made


@pytest.fixture(autouse=True)
def short_ascents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pictures in a few steps: what a report says of them is tested here, not how good they are."""
    shorten(monkeypatch)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Let ascents end early."""
    patch.setattr("striate.report.sections.sought.STEPS", 4)
    patch.setattr("striate.report.sections.sought.FEWEST", 2)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The page of `network` and `paths` with everything in it, and what was told while it was made: read, not written.

    A whole report takes a second or two, so that those who only read one read this.
    """
    folder, events = tmp_path_factory.mktemp("looked"), []
    with pytest.MonkeyPatch.context() as patch, listen(events.append):
        shorten(patch)
        return look(small_network(), noise(folder / "pictures"), folder / "out"), events
