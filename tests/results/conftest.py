from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.geometry import Field, convolved, input_span
from striate.results import Activations, FilterBank, Heatmap, Predictions, ReceptiveFields, Recipe


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        lens="saliency",
        network="toy",
        weights="0f3a",
        target=("class:cat", "class:dog"),
        options={"rule": "gradient", "steps": 50},
        version="0.1.0",
        seconds=0.041,
        device="cpu",
        dtype="float32",
        torch="2.6.0",
        notes=("caught 4 rectifiers",),
    )


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)


@pytest.fixture
def heatmap(recipe, pictures) -> Heatmap:
    scores = torch.rand(2, 12, 16, generator=torch.Generator().manual_seed(0))
    return Heatmap(
        scores=scores,
        native=scores,
        target=("class:cat", "class:dog"),
        score_values=torch.tensor([8.5, 3.25]),
        signed=False,
        pictures=pictures,
        details={"rectifiers": 4},
        meaning="largest change of the score for a change of this pixel",
        recipe=recipe,
    )


@pytest.fixture
def predictions(recipe, pictures) -> Predictions:
    probabilities = torch.tensor([[0.83, 0.11, 0.06], [0.001, 0.0, 0.999]])
    return Predictions(
        logits=probabilities.log().clamp(min=-9),
        probabilities=probabilities,
        class_names=("tabby", "tiger cat", "lynx"),
        pictures=pictures,
        recipe=recipe,
    )


@pytest.fixture
def filters(recipe) -> FilterBank:
    weights = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return FilterBank(weights=weights, layer="conv1", colour=True, recipe=recipe)


@pytest.fixture
def activations(recipe, pictures) -> Activations:
    span = convolved(input_span(), 3, 2, 1)
    maps = torch.rand(2, 5, 6, 8, generator=torch.Generator().manual_seed(0))
    return Activations(
        maps={"conv1": maps, "head": maps.mean(dim=(2, 3)) - 0.5},
        fields={"conv1": Field(span, span, (12, 16))},
        pictures=pictures,
        recipe=recipe,
    )


@pytest.fixture
def receptive_fields(recipe, pictures) -> ReceptiveFields:
    span = convolved(input_span(), 3, 2, 1)
    at = Field(span, span, (12, 16))
    return ReceptiveFields(
        addresses=("conv1:2@0,0", "conv1:2@3,4"),
        field=at,
        boxes=(at.box(0, 0), at.box(3, 4)),
        pictures=pictures,
        values=torch.tensor([1.5, 2.5]),
        recipe=recipe,
    )


@pytest.fixture(params=["heatmap", "predictions", "filters", "activations", "receptive_fields"])
def result(request):
    """Every kind of result in turn."""
    return request.getfixturevalue(request.param)
