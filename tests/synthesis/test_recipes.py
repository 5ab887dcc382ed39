"""Recipes: the numbers of the references, names, typos."""

from __future__ import annotations

import pytest
import torch

from striate.errors import OptionError
from striate.synthesis import RECIPES, Adam, Constant, Penalty, Progress, recipe_of

# Yosinski's table: decay, blur, every, small norm, small contribution, steps
TABLE = {
    1: (0, 0.5, 4, 50, 0, 500),
    2: (0.3, 0, 1, 20, 0, 750),
    3: (0.0001, 1.0, 4, 0, 0, 1000),
    4: (0, 0.5, 4, 0, 90, 1000),
}


@pytest.mark.parametrize("which", TABLE)
def test_yosinskis_settings(which):
    recipe = RECIPES[f"yosinski-{which}"]
    after = recipe.projection
    found = (after.decay, after.blur, after.blur_every, after.small_norm, after.small_contribution, recipe.steps)
    assert found == TABLE[which]
    assert recipe.warp is None
    assert recipe.deviation == 10 / 255


def test_yosinskis_rates_on_the_scale_from_0_to_1():
    # with x = 255 y a step of rate r along dS/dx is one of r / 255^2 along dS/dy
    assert RECIPES["yosinski-3"].climb == Constant(100 / 255**2)
    assert RECIPES["yosinski-1"].climb == Progress(2.0, 100 / 255**2)
    assert RECIPES["yosinski-4"].climb == Progress(2.0, 1e8 / 255**2)


def test_lucids_settings():
    recipe = recipe_of("lucid")
    assert next(iter(RECIPES)) == "lucid"
    assert (recipe.canvas, recipe.climb, recipe.deviation) == ("fourier", Adam(0.05), 0.01)
    assert min(recipe.warp.scales) == 0.9
    assert max(recipe.warp.scales) == 1.1
    assert sum(angle == 0 for angle in recipe.warp.angles) == 6
    assert min(recipe.warp.angles) == -10
    assert max(recipe.warp.angles) == 10


def test_small_pictures_and_units_that_see_little_are_jittered_less():
    recipe = recipe_of("lucid")
    assert recipe.fitted(128, 128) == recipe.fitted(300, 200, 400) == recipe.warp
    assert recipe.fitted(64, 90).jitter == round(recipe.warp.jitter / 2)
    assert recipe.fitted(128, 128, 43).jitter == round(recipe.warp.jitter * 43 / 85)
    assert recipe.fitted(48, 48, 7).jitter == 0
    assert recipe_of("pixels").fitted(8, 8) is None


def test_names_are_found_and_typos_explained():
    assert recipe_of("Yosinski_3").name == "yosinski-3"
    assert recipe_of(RECIPES["pixels"]) is RECIPES["pixels"]
    with pytest.raises(OptionError, match=r"no recipe is called 'lucide'\. Did you mean lucid\? Recipes: lucid, yos"):
        recipe_of("lucide")


def test_penalties_by_hand():
    images = torch.tensor([[[[0.5, 1.0], [0.5, 0.5]]]])
    centre = torch.tensor([[[0.5]]])
    assert Penalty("l2", 2.0).cost(images, centre).tolist() == [0.5]
    assert Penalty("alpha", 2.0, power=4.0).cost(images, centre).tolist() == [2 * 0.5**4]
    # the step is seen from the left and from above
    assert Penalty("variation", 1.0).cost(images, centre).tolist() == [0.5]
