"""The results of the checks: what they say, what they keep, and that they draw themselves for one lens and for many."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from striate.results import Agreement, DeletionCurves, Randomisation, Stability


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)


def deletion(names: tuple[str, ...], count: int = 2, measure: str = "probability") -> DeletionCurves:
    falling = torch.linspace(1, 0, 6).expand(len(names), count, 6) ** torch.arange(1, len(names) + 1).view(-1, 1, 1)
    return DeletionCurves(
        names=names,
        fractions=torch.linspace(0, 1, 6, dtype=torch.float64),
        deletion=falling.contiguous(),
        insertion=falling.flip(2).contiguous(),
        target=("class:cat", "class:dog")[:count],
        measure=measure,
        baselines=("mean", "blur"),
        pictures=pictures(count),
    )


def randomised(names: tuple[str, ...], left: float = 0.9, stages: int = 4) -> Randomisation:
    similarity = torch.ones(len(names), 1 + stages, 2, dtype=torch.float64)
    similarity[:, 1:] = left
    return Randomisation(
        names=names,
        stages=tuple(f"layer{index}" for index in range(stages)),
        counts=(1, 3, 5, 8)[:stages],
        layers=12,
        similarity=similarity,
        measure="rank",
        maps=tuple(torch.rand(1 + stages, 2, 12, 16) for _ in names),
        signed=tuple(index % 2 == 1 for index in range(len(names))),
        target=("class:cat", "class:dog"),
        pictures=pictures(2),
    )


def agreeing(names: tuple[str, ...]) -> Agreement:
    matrix = torch.rand(2, len(names), len(names), dtype=torch.float64)
    return Agreement(
        names=names, correlation=matrix - 0.2, overlap=matrix, top=0.1, target=("class:cat",) * 2, pictures=pictures(2)
    )


def stable(names: tuple[str, ...]) -> Stability:
    similarity = torch.rand(len(names), 2, 3, dtype=torch.float64)
    return Stability(
        names=names, similarity=similarity, noise=0.02, measure="ssim", target=("class:cat",) * 2, pictures=pictures(2)
    )


MANY = tuple(f"a lens of a long name:option={index},another=yes" for index in range(9))


@pytest.mark.parametrize("make", [deletion, randomised, agreeing, stable])
@pytest.mark.parametrize("names", [("one", "two"), MANY], ids=["two", "many"])
def test_it_draws_and_keeps_itself(make, names, tmp_path):
    result = make(names)
    assert all(drawing.pixels.dtype == np.uint8 for drawing in result.drawings())
    path = result.save(tmp_path / "result.png")
    assert min(Image.open(io.BytesIO(path.read_bytes())).size) > 300
    numbers = json.loads(result.save(tmp_path / "result.json").read_text())
    assert "recipe" in numbers
    with np.load(result.save(tmp_path / "result.npz")) as kept:
        assert set(kept) == {"recipe", *result.arrays()}
    assert result.caption().endswith(".")


def test_nothing_runs_over_the_edge_of_the_sheet():
    for result in (deletion(MANY), randomised(MANY), agreeing(MANY), deletion(("one",), 1), randomised(("one",))):
        figure = result.figure()
        figure.canvas.draw()
        renderer, sheet = figure.canvas.get_renderer(), figure.bbox
        for words in figure.texts:
            box = words.get_window_extent(renderer)
            assert min(box.x0 - sheet.x0, sheet.x1 - box.x1) > -1, words.get_text()
            assert min(box.y0 - sheet.y0, sheet.y1 - box.y1) > -1, words.get_text()


def test_areas_by_hand():
    found = deletion(("one",), 1)
    assert found.deletion_areas.item() == pytest.approx(0.5)  # a straight line from 1 to 0
    assert found.sentence("one", 0) == "Deletion 0.50, insertion 0.50."
    assert found.start(0) == 1
    assert deletion(("one",), measure="score").sentence("one", 1) == "Deletion 0.5, insertion 0.5."


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0.7, "Hardly changes when the top 3 layers of the network get random weights (similarity 0.70): it shows"),
        (0.69, "Changes when the top 3 layers of the network get random weights (similarity 0.69)."),
    ],
)
def test_a_quarter_of_the_layers_decides(left, words):
    found = randomised(("one", "two"), left)
    assert found.judged() == 1
    assert found.sentence("two").startswith(words)
    assert found.depends("one") == (left < 0.7)


def test_where_all_layers_forget_at_once_that_is_said():
    similarity = torch.ones(1, 2, 1, dtype=torch.float64)
    found = Randomisation(
        names=("one",),
        stages=("conv",),
        counts=(1,),
        layers=1,
        similarity=similarity,
        measure="rank",
        maps=(torch.rand(2, 1, 12, 16),),
        signed=(False,),
        target=("class:cat",),
        pictures=pictures(1),
    )
    assert found.sentence("one").startswith("Hardly changes when the only layer of the network gets random weights")
