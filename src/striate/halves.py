"""A network's run in two parts, cut at a layer: the first is run once for a picture, the second alone is asked again.

With other outputs of the layer (ablation), or with a gradient to them (Grad-CAM), which then costs one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.folding import folded
from striate.fusing import fused
from striate.lean import few_of, once, shared
from striate.program import Program, Unwritten
from striate.recording import record

__all__ = ["Halves", "halved", "sloped"]


@dataclass(frozen=True)
class Halves:
    """A network's run as far as a layer, and from there to what is asked for.

    Attributes:
        before: the first part, for which nothing is differentiated.
        after: the second.
        start: number of the layer's output.
        others: numbers of what the second part reads besides.
        end: number of the value that is asked for.
    """

    before: Program
    after: Program
    start: int
    others: tuple[int, ...]
    end: int

    def until(self, images: Tensor) -> dict[int, Tensor]:
        """Return the layer's output and what else `onwards` takes, by number, without a graph."""
        with torch.no_grad():
            return self.before.run({0: images}, [self.start, *self.others], len(images))

    def onwards(self, values: Mapping[int, Tensor], output: Tensor) -> Tensor:
        """Return what is asked for, where the layer has given something.

        Args:
            values: of `until`, for as many pictures as `output` has or for one.
            output: of the layer.
        """
        count = len(output)
        given = {index: self._for(values[index], index, count) for index in self.others}
        return self.after.run(given | {self.start: output}, [self.end], count)[self.end]

    def _for(self, value: Tensor, index: int, count: int) -> Tensor:
        if index not in self.after.batched:
            raise Unwritten(f"value {index} does not count pictures in its first dimension")
        return value if len(value) == count else value.expand(count, *value.shape[1:])


def halved(module: nn.Module, image: Tensor, at: str, place: str | None, *, sparing: bool = False) -> Halves:
    """Return a run cut at a layer, neither part of which is to be differentiated.

    It is not tried. Call it, and what it returns, within `running.undisturbed` and ``torch.no_grad``.

    Args:
        module: that would be run.
        image: (1, C, H, W).
        at: layer behind which it is cut, "name" (the last call) or "name~k".
        place: layer that is asked for; None for what the network returns.
        sparing: see `fusing.fused`.

    Raises:
        Unwritten: the run cannot be written down; the text says why.
    """

    def make() -> Halves | str:
        try:
            program, found = _cut(module, image, at, place, sparing)
            ends = [found.start, found.end, *found.others]
            after = fused(folded(program, ends), ends, sparing=sparing)
            return replace(found, after=shared(module, replace(after, values=())))
        except Unwritten as error:
            return str(error)

    found = once(module, ("halved", *image.shape[1:], at, place, sparing), make)
    if isinstance(found, str):
        raise Unwritten(found)
    return found


def sloped(
    module: nn.Module,
    images: Tensor,
    at: str,
    place: str | None,
    rule: str,
    check: Callable[[Halves], bool],
    *,
    sparing: bool = False,
) -> Halves | None:
    """Return a run cut at a layer whose second part can be gone back; None where that gives other gradients.

    It would where much lies behind the layer: rounding switches a few rectifiers whose input is all but zero, and
    each sends a part of the signal another way (a few percent of the largest number of a saliency map). So behind the
    layer may stand one rectifier or maximum. Call it within `running.undisturbed`, where `lean.pays`.

    Args:
        module: that would be run.
        images: (N, C, H, W), of which the first is used.
        at: layer with respect to whose output gradients are taken.
        place: layer that is asked for; None for what the network returns.
        rule: by which gradients pass rectifiers, for `check`.
        check: tells whether its gradients are those of the network; asked once.
        sparing: see `fusing.fused`; of the part before the layer.
    """

    def make() -> Halves | None:
        try:
            with torch.no_grad():
                program, found = _cut(module, images[:1], at, place, sparing)
            behind = [program.steps[number] for number in program.needed(found.start, found.end)]
            few = sum(step.name in _BENT for step in behind) <= _FEW_BENDS
            return found if few and check(found) else None
        except Exception:  # whatever a stranger's network raises: it is run as it is
            return None

    return once(module, ("sloped", *images.shape[1:], at, place, rule, sparing), make)


_FEW_BENDS = 1
_BENT = frozenset(
    "relu hardtanh clamp clamp_min clamp_max threshold leaky_relu _prelu_kernel maximum minimum amax amin max min abs "
    "max_pool2d_with_indices adaptive_max_pool2d hardswish hardsigmoid where topk sort".split()
)
"""Operations whose slope jumps."""


def _cut(module: nn.Module, image: Tensor, at: str, place: str | None, sparing: bool) -> tuple[Program, Halves]:
    """Write the run down; its first part is made lean, its second is as it was."""
    few = few_of(image)
    program = record(module, few[:1], few[1:2], [at] if place is None else [at, place])
    start = program.places[at]
    end = program.output if place is None else program.places[place]
    after = [program.steps[number] for number in program.needed(start, end)]
    made = {start, *(out for step in after for out in step.outs)}
    others = tuple(sorted({index for step in after for index in step.inputs} - made))
    ends = [start, *others]
    before = shared(module, replace(fused(folded(program, ends), ends, sparing=sparing), values=()))
    return program, Halves(before, replace(program, values=()), start, others, end)
