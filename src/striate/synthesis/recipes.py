"""Recipes by name: what is moved, from where, how far, under which warps and regularisers. Declarations only.

Every number is the reference's; where a reference counts from 0 to 255, it is turned into values from 0 to 1 here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from torch import Tensor

from striate.errors import OptionError
from striate.synthesis.climbing import Adam, Climb, Constant, Progress, Settling
from striate.synthesis.penalties import alpha_norm, squared_norm, total_variation
from striate.synthesis.projections import Projection
from striate.synthesis.warps import Warp

__all__ = ["RECIPES", "Name", "Penalty", "Recipe", "recipe_of"]

Name = Literal["lucid", "yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4", "simonyan", "pixels"]
"""What recipes there are: those of `RECIPES`, in their order. Lenses read it here."""


Start = Literal["noise", "grey", "mean"]


@dataclass(frozen=True)
class Penalty:
    """What is subtracted from the value of a picture for being too bright, or too uneven.

    Args:
        kind: "l2" (squared norm), "alpha" (alpha-norm) or "variation" (total variation).
        weight: that it is subtracted with; offsets from the mean colour are taken on the scale from 0 to 1.
        power: alpha or beta.
    """

    kind: Literal["l2", "alpha", "variation"]
    weight: float
    power: float = 2.0

    def cost(self, images: Tensor, centre: Tensor) -> Tensor:
        """Return what is subtracted, (B,), for pictures (B, C, H, W)."""
        if self.kind == "l2":
            return self.weight * squared_norm(images, centre)
        if self.kind == "alpha":
            return self.weight * alpha_norm(images, self.power, centre)
        return self.weight * total_variation(images, self.power)


@dataclass(frozen=True)
class Recipe:
    """How a picture is made.

    Args:
        name: of the recipe.
        about: a sentence on what it is good for.
        canvas: what is moved: "pixels", or "fourier" (the spectrum, in uncorrelated colours, through a sigmoid).
        climb: how far a step goes.
        steps: how many.
        start: "noise" (normal, around the mean colour; of a spectrum, around grey), "grey" or "mean" (flat).
        deviation: of the noise, on the scale from 0 to 1; of a spectrum, of its coefficients.
        focus: share of a channel's value that is the unit in the middle of its map, from 0 to 1; the rest is the mean
            over the map. 0 is lucid's channel, 1 its neuron.
        warp: what is done to the picture before the network sees it; jitter is meant for pictures of 128 pixels and
            shrinks with smaller ones, and with units that see little.
        penalties: what is subtracted from the value.
        projection: what is done to the picture after each step.
        source: of the numbers.
    """

    name: str
    about: str
    canvas: Literal["pixels", "fourier"]
    climb: Climb
    steps: int
    start: Start = "noise"
    deviation: float = 10 / 255
    focus: float = 0.0
    warp: Warp | None = None
    penalties: tuple[Penalty, ...] = ()
    projection: Projection | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.focus <= 1:
            raise OptionError(f"focus is a share from 0 to 1, got {self.focus}.")
        if self.canvas not in ("pixels", "fourier"):
            raise OptionError(f"no canvas {self.canvas!r}; there are pixels and fourier.")
        if self.steps < 1:
            raise OptionError(f"steps must be at least 1, got {self.steps}.")

    def fitted(self, height: int, width: int, seen: int | None = None) -> Warp | None:
        """Return the warp for pictures of a size and units that see so many pixels; None for none.

        Jitter blurs what is smaller than itself: for a unit that sees 7 x 7 pixels there is none.
        """
        if self.warp is None or self.warp.nothing:
            return None
        share = min(1.0, min(height, width) / _MEANT_FOR, 1.0 if seen is None else seen / _MEANT_FOR_SEEN)
        return replace(self.warp, jitter=round(self.warp.jitter * share))


_MEANT_FOR = 128  # pixels of a picture
_MEANT_FOR_SEEN = 85  # pixels that a unit sees: those to which two thirds of such a picture are visible
_LEVELS = 255.0
_YOSINSKI = "Yosinski et al. 2015, arXiv:1506.06579, table 1, and its code (optimize/gradient_optimizer.py)."


def _yosinski(which: int, climb: Climb, steps: int, about: str, projection: Projection) -> Recipe:
    return Recipe(
        f"yosinski-{which}", about, "pixels", climb, steps, focus=1.0, projection=projection, source=_YOSINSKI
    )


_ALL = (
    Recipe(
        "lucid",
        "Clear, colourful, shared by neighbouring pictures: a good first look at any unit.",
        "fourier",
        Adam(0.05),
        256,
        deviation=0.01,
        # lucid's are the channel alone (focus 0) and 512 steps. Of EfficientNet-Lite0's shallow channels the mean alone
        # left half below the best of 1,000 photographs, as a texture is a compromise between neighbours; with a little
        # weight on one unit all passed it, and half the steps were enough.
        focus=0.05,
        # lucid's pad by 12, crop by 8 and crop by 4 move the middle by up to 6 pixels. Its grey frame is a mirror here:
        # units answer to the edge between picture and grey.
        warp=Warp(
            jitter=6,
            scales=(0.9, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1),
            angles=(*range(-10, 11), 0, 0, 0, 0, 0),
        ),
        source="lucid: optvis/render.py, optvis/transform.py, param/images.py.",
    ),
    _yosinski(
        1,
        Progress(2.0, 100 / _LEVELS**2),
        500,
        "Blur and small pixels wiped out: shapes on an empty ground.",
        Projection(blur=0.5, blur_every=4, small_norm=50),
    ),
    _yosinski(
        2,
        Constant(100 / _LEVELS**2),
        750,
        "Strong decay: few, strong strokes.",
        Projection(decay=0.3, small_norm=20),
    ),
    _yosinski(
        3,
        Constant(100 / _LEVELS**2),
        1000,
        "Blur with a little decay, as in most of that paper's pictures.",
        Projection(decay=0.0001, blur=1.0, blur_every=4),
    ),
    _yosinski(
        4,
        Progress(2.0, 1e8 / _LEVELS**2),
        1000,
        "Only the pixels that matter most are kept.",
        Projection(blur=0.5, blur_every=4, small_contribution=90),
    ),
    Recipe(
        "simonyan",
        "The score less a penalty on the squared norm, from the mean colour: the first class pictures.",
        "pixels",
        Settling(0.005, 0.15),
        200,
        start="mean",
        focus=1.0,
        source="Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, section 2 (its penalty's weight is not told).",
    ),
    Recipe(
        "pixels",
        "Plain ascent on pixels with nothing to hold it back: strong and noisy, what fools a network.",
        "pixels",
        Adam(0.02),
        128,
        source="none: the bare method, to see what the others add.",
    ),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}
"""All recipes by name; the first is the usual one."""


def recipe_of(recipe: str | Recipe) -> Recipe:
    """Return a recipe by its name; a recipe itself is returned as it is.

    Raises:
        OptionError: there is none of that name; the text proposes the nearest.
    """
    if isinstance(recipe, Recipe):
        return recipe
    plain = recipe.strip().lower().replace("_", "-")
    if plain in RECIPES:
        return RECIPES[plain]
    close = get_close_matches(plain, RECIPES, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise OptionError(f"no recipe is called {recipe!r}.{hint} Recipes: {', '.join(RECIPES)}.")
