"""What the lenses on an atlas look at: a small network, as many pictures as a file of tests says by COUNT, an atlas.

A file whose network should have other weights says so by SEED; one that needs something else has fixtures of its own.
"""

from __future__ import annotations

import pytest
from torch import Tensor

import striate
from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate.atlas.opened import Atlas


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> striate.Network:
    """The small network."""
    return make_network(seed=getattr(request.module, "SEED", 0))


@pytest.fixture(scope="module")
def images(network: striate.Network, request: pytest.FixtureRequest) -> Tensor:
    """COUNT pictures for it."""
    return pictures_of(network, request.module.COUNT)


@pytest.fixture(scope="module")
def atlas(network: striate.Network, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """The atlas of these pictures, with all that there is."""
    return small_atlas(tmp_path_factory.mktemp("atlas") / "a", network, images)
