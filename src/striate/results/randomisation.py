"""How maps change as a network forgets what it has learned, layer by layer. Runs no network."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._charts import Line, draw_legend, draw_lines, draw_words, words_height
from striate.results._gallery import GREY, MONOSPACE, blank, draw_picture, text
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count

__all__ = ["ALIKE", "Randomisation"]

ALIKE = 0.7  # similarity from which on a map is said to hardly change
TOP = 0.25  # share of the layers, from the top, after whose loss a map should have changed
_EDGE, _NAME, _STRIP, _STEP, _LINE = 0.3, 1.5, 0.95, 1.01, 0.28  # inches
_PERCENTILE = 99.5


@dataclass(frozen=True, eq=False)
class Randomisation(Result):
    """The similarity of E lenses' maps to those of the trained network, at S stages of forgetting, for N pictures.

    Args:
        names: of the lenses, E of them.
        stages: the lowest layer that has forgotten at each stage, S of them.
        counts: how many layers have forgotten at each stage, S of them, growing.
        layers: how many could.
        similarity: shape (E, 1 + S, N), float64: 1 for the same map; the first is the trained network itself.
        measure: "rank" (of the pixels' absolute values) or "ssim" (of structure).
        maps: for each lens the maps themselves, shape (1 + S, M, H, W), of the first M pictures.
        signed: for each lens, whether values below zero mean something.
        target: the address explained in each picture, N of them.
        pictures: uint8, shape (M, H, W, 3), as the network saw them.
    """

    names: tuple[str, ...]
    stages: tuple[str, ...]
    counts: tuple[int, ...]
    layers: int
    similarity: Tensor
    measure: str
    maps: tuple[Tensor, ...]
    signed: tuple[bool, ...]
    target: tuple[str, ...]
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.target)

    def judged(self) -> int:
        """Return the stage by which a map should have changed: the top quarter of the layers, or as near as can be."""
        return int(np.abs(np.array(self.counts) / self.layers - TOP).argmin())

    def left(self, name: str, stage: int | None = None) -> float:
        """Return the mean similarity over the pictures that is left of a lens's maps at a stage.

        Args:
            name: of the lens.
            stage: from 0; the judged one unless given.
        """
        at = self.judged() if stage is None else stage
        return float(self.similarity[self.names.index(name), 1 + at].mean())

    def depends(self, name: str) -> bool:
        """Tell whether the maps of a lens change when the top of the network forgets."""
        return self.left(name) < ALIKE

    def sentence(self, name: str) -> str:
        """Say whether the maps of a lens depend on what the network has learned."""
        stage = self.judged()
        how_many = self.counts[stage]
        if how_many == self.layers:
            what = "only layer" if how_many == 1 else f"{how_many} layers"
        else:
            what = "top layer" if how_many == 1 else f"top {how_many} layers"
        left = f"similarity {self.left(name):.2f}"
        if self.depends(name):
            return f"Changes when the {what} of the network {_forget(self.counts[stage])} ({left})."
        return (
            f"Hardly changes when the {what} of the network {_forget(self.counts[stage])} ({left}): "
            "it shows the picture, not the decision."
        )

    def short(self, name: str) -> str:
        """Say the same in few words where all is well, in full where it is not."""
        return (
            f"Depends on the weights (similarity {self.left(name):.2f})." if self.depends(name) else self.sentence(name)
        )

    def caption(self) -> str:
        """Say what is shown."""
        how = "the order of their pixels (rank correlation of absolute values)" if self.measure == "rank" else "SSIM"
        return (
            f"Maps of a copy of the network whose {count(self.layers, 'layer')} get random weights from the top down, "
            f"compared with those of the trained network by {how}. 1 is the same map; a map that stays there does not "
            "show why the network decides."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "measure": self.measure,
            "layers": self.layers,
            "stages": [
                {"down_to": stage, "layers": how_many} for stage, how_many in zip(self.stages, self.counts, strict=True)
            ],
            "target": list(self.target),
            "maps": {
                name: {
                    "sentence": self.sentence(name),
                    "depends": self.depends(name),
                    "similarity": self.similarity[row, 1:].tolist(),
                }
                for row, name in enumerate(self.names)
            },
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "names": np.array(self.names),
            "stages": np.array(self.stages),
            "counts": np.array(self.counts),
            "similarity": self.similarity.numpy(),
            "target": np.array(self.target),
            "pictures": self.pictures,
        }
        return arrays | {f"maps {index}": maps.numpy() for index, maps in enumerate(self.maps)}

    def drawings(self) -> list[Drawing]:
        """Return for each lens and picture its maps in turn, each on a scale of its own: only order is compared."""
        drawings = []
        for row, name in enumerate(self.names):
            for picture in range(len(self.pictures)):
                for stage, (words, maps) in enumerate(zip(self._titles(), self.maps[row], strict=True)):
                    alike = f"Similarity {float(self.similarity[row, stage, picture]):.2f}."
                    title = f"{name} {self.target[picture]}"
                    caption = words if stage == 0 else f"{words}. {alike}"
                    drawings.append(Drawing(title, caption, _coloured(maps[picture], self.signed[row])))
        return drawings

    def figure(self) -> Figure:
        """Draw the similarities as lines, and below them the maps of the first picture at every stage."""
        columns = 1 + len(self.stages)
        width = max(2 * _EDGE + _NAME + columns * _STEP + 0.3, 9.5)
        tall = _STRIP * min(self.pictures.shape[1] / self.pictures.shape[2], 2)
        chart = _EDGE + words_height(self.caption(), width - 2 * _EDGE) + 0.45
        strips = chart + 2.6 + 0.2 * (len(self.names) + 1) + 0.45
        figure = blank(width, strips + (tall + _LINE) * len(self.names) + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "randomisation", self.caption())
        self._draw_chart(figure, chart)
        self._draw_strips(figure, strips, tall)
        return figure

    def _draw_chart(self, figure: Figure, top: float) -> None:
        """Draw a line for each lens, every stage above its maps, and the figures below."""
        columns = 1 + len(self.stages)
        places = np.arange(columns) + 0.5
        means = self.similarity.mean(2).numpy()
        over = f", mean of {count(len(self), 'picture')}" if len(self) > 1 else ""
        draw_lines(
            figure,
            (_EDGE + _NAME, top, columns * _STEP, 2.0),
            places,
            [Line(name, means[row]) for row, name in enumerate(self.names)],
            title=f"Similarity to the map of the trained network{over}",
            across="layers with random weights, from the top",
            ends=(min(0.0, float(np.floor(means.min() * 10) / 10)), 1.0),
            ticks=list(zip(places.tolist(), ["0", *map(str, self.counts)], strict=True)),
            dots=True,
        )
        figure.axes[0].set_xlim(0, columns)
        whole = "all" if self.counts[-1] == self.layers else "top"
        rows = [("lens", f"top {self.counts[self.judged()]}", f"{whole} {self.counts[-1]}")]
        for row, name in enumerate(self.names):
            rows.append((name, f"{means[row, 1 + self.judged()]:.2f}", f"{means[row, -1]:.2f}"))
        draw_legend(figure, _EDGE + _NAME, top + 2.6, rows, (3.2, 0.7, 0.7))

    def _draw_strips(self, figure: Figure, top: float, tall: float) -> None:
        """Draw the maps of the first picture, a row for each lens."""
        left = _EDGE + _NAME
        text(figure, left, top - 0.25, f"The maps of {self.target[0]}, each on its own scale", size=8.5, weight="bold")
        for row, name in enumerate(self.names):
            down = top + (tall + _LINE) * row
            for line, words in enumerate(textwrap.wrap(_spaced(name), 20)[:4]):
                text(figure, _EDGE, down + 0.15 * line, words, size=7.5, family=MONOSPACE)
            for stage, maps in enumerate(self.maps[row]):
                at = left + stage * _STEP
                draw_picture(figure, Drawing("", "", _coloured(maps[0], self.signed[row])), at, down, _STRIP)
                value = f"{float(self.similarity[row, stage, 0]):.2f}".replace("-", "−")
                text(figure, at, down + tall + 0.03, value if stage else "trained", size=7, colour=GREY)

    def _titles(self) -> list[str]:
        """Say of each stage, the trained network first, which layers have forgotten."""
        words = [f"Random down to {stage}" for stage in self.stages]
        return ["Trained network.", *words]


def _spaced(name: str) -> str:
    """Write a lens with its options so that it can be wrapped."""
    return name.replace(":", ": ").replace(",", ", ")


def _forget(how_many: int) -> str:
    return "gets random weights" if how_many == 1 else "get random weights"


def _coloured(values: Tensor, signed: bool) -> Pixels:
    """Draw one map on its own scale."""
    numbers = np.nan_to_num(values.float().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
    sizes = np.abs(numbers) if signed else numbers
    high = float(np.percentile(sizes, _PERCENTILE))
    high = high if high > 0 else max(float(sizes.max()), 0.0) or 1.0
    return drawing.colour(numbers, signed=signed, low=-high if signed else 0.0, high=high)
