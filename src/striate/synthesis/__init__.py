"""Pictures made from a network: what for, from what, how held back, and the loop. Knows no lens.

Four parts combine freely, as lucid taught: an `objective` (what for), a canvas with a start (what is moved), penalties
and projections (what holds it back), and warps. A `Recipe` is one choice of the last three; `ascend` runs it.

    goals = [objective(network, "layer3:17", 128), objective(network, "class:tabby - class:tiger cat", 128)]
    pictures = ascend(network, goals, recipe="lucid", size=128).pictures  # (2, 3, 128, 128), values from 0 to 1
"""

from __future__ import annotations

from striate.synthesis.ascent import Ascent, ascend, mean_colour
from striate.synthesis.canvas import Fourier, Pixels
from striate.synthesis.climbing import Adam, Constant, Progress, Settling
from striate.synthesis.objectives import Objective, Term, direction, objective
from striate.synthesis.projections import Projection
from striate.synthesis.recipes import RECIPES, Penalty, Recipe, recipe_of
from striate.synthesis.warps import Between, Warp

__all__ = [
    "RECIPES",
    "Adam",
    "Ascent",
    "Between",
    "Constant",
    "Fourier",
    "Objective",
    "Penalty",
    "Pixels",
    "Progress",
    "Projection",
    "Recipe",
    "Settling",
    "Term",
    "Warp",
    "ascend",
    "direction",
    "mean_colour",
    "objective",
    "recipe_of",
]
