"""Fashion-MNIST in a few minutes on two cores. Data only."""

from __future__ import annotations

from striate.learn.pictures.augment import Augment
from striate.learn.recipes.recipe import Recipe
from striate.learn.settings import Settings

__all__ = ["RECIPE"]

RECIPE = Recipe(
    name="fast-fashion",
    summary="Small grey pictures that may be mirrored, such as Fashion-MNIST.",
    net="swift-grey",
    settings=Settings(
        epochs=12,
        batch=250,
        optimizer="muon",
        rate=0.06,
        momentum=0.9,
        weight_decay=0.1,
        schedule="triangle",
        warmup=0.2,
        smoothing=0.1,
        augment=Augment(pad=2, border=0.0, flip="alternating"),
        standardize="channel",
        frozen=("whiten.weight",),
    ),
    mark=93.5,
)
