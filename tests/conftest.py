"""What several tests need: real photographs, real networks, one thread a process. Makes nothing up."""

from __future__ import annotations

import os

# The processes of pytest-xdist share the cores already; more threads than cores make all of them slower. This has to
# be said before torch is imported for the first time, and holds for the commands that tests start as well.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")

import signal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from striate.memory import keep_memory

if TYPE_CHECKING:
    from striate import Network

keep_memory()

# Where the tests are started in the background, a shell has them ignore Ctrl-C, and the commands that they start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU, and torch finds none")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data lent beside the checkout (`../shared/data`)."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            "needs ../shared/data beside the checkout: photographs and networks that are not part of the project"
        )
    return folder


@pytest.fixture(scope="session")
def sample_photographs(shared_data: Path) -> list[tuple[Path, int]]:
    """A thousand photographs, one of each ImageNet class, with the index of the class."""
    import csv

    folder = shared_data / "imagenet-sample"
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return [(folder / row["file"], int(row["class_index"])) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of pictures inside scikit-image's own package (astronaut.png, chelsea.png, rocket.jpg, ...)."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="session")
def astronaut(photographs: Path) -> Path:
    """A photograph of 512 x 512 pixels in colour."""
    return photographs / "astronaut.png"


@pytest.fixture(scope="session")
def chelsea(photographs: Path) -> Path:
    """A photograph of a cat, 451 x 300 pixels in colour."""
    return photographs / "chelsea.png"


@pytest.fixture(scope="session")
def lite0() -> Network:
    """EfficientNet-Lite0 as trained on ImageNet; no lens may change it, so one serves all tests of a process."""
    import striate

    return striate.load("efficientnet_lite0")


@pytest.fixture(scope="session")
def small_lite0(lite0: Network) -> Network:
    """The same network for pictures of 112 x 112, which take a quarter of the time."""
    from striate import Network

    return Network(lite0.module, lite0.spec.changed(height=112, width=112, resize=128), lite0.class_names, name="small")
