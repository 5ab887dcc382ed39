"""MNIST in a minute on two cores. Data only."""

from __future__ import annotations

from striate.learn.pictures.augment import Augment
from striate.learn.recipes.recipe import Recipe
from striate.learn.settings import Settings

__all__ = ["RECIPE"]

RECIPE = Recipe(
    name="fast-mnist",
    summary="Digits and letters, which mean something else when mirrored, such as MNIST.",
    net="swift-grey",
    settings=Settings(
        epochs=4,
        batch=250,
        optimizer="muon",
        rate=0.02,
        momentum=0.9,
        schedule="triangle",
        warmup=0.2,
        smoothing=0.1,
        augment=Augment(pad=2, border=0.0),
        standardize="channel",
        frozen=("whiten.weight",),
    ),
    mark=99.4,
)
