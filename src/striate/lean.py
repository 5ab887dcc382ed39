"""A network's run with less to do, for whoever asks it about many pictures: the same numbers up to rounding, sooner.

The run is written down (`program`), batch norm goes into the convolutions before it (`folding`), and where no gradient
is wanted the convolutions take in the sums and rectifiers behind them (`fusing`). What a network has written down once
is kept until something about it changes. Not for training, and only on a processor, in float32.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooked

from striate.folding import folded
from striate.fusing import Fused, can_fuse, fused
from striate.program import Program
from striate.recording import record
from striate.running import first_tensor, run
from striate.state import SAMPLES, Marks, state_of

__all__ = ["ALIKE", "FEWEST", "few_of", "once", "outputs", "pays", "shared"]

FEWEST = 8
"""Pictures in one call from which on it is used: to write it down takes as long as some ten."""

ALIKE = 1e-4  # of the largest number: what rounding may change
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WAYS = 6  # ways through a network that are kept
_Made = TypeVar("_Made")


def pays(module: nn.Module, images: Tensor) -> bool:
    """Tell whether a run of these pictures may be made leaner.

    A fixed rule, so that the same call gives the same numbers each time: `FEWEST` pictures or more, on a processor, in
    float32, and nobody watches the network or has told PyTorch to do something else with it.
    """
    if len(images) < FEWEST or not can_fuse(images):
        return False
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return False
    if any(getattr(hooked, f"_global{kind}") for kind in _HOOKS):
        return False
    return not any(getattr(part, kind) for part in module.modules() for kind in _HOOKS)


def outputs(
    module: nn.Module, images: Tensor, places: Sequence[str], *, logits: bool, sparing: bool = False
) -> Callable[[Tensor], dict[str, Tensor]] | None:
    """Return what gives the outputs of layers in less time; None where the network's run cannot be written down.

    Call it, and what it returns, within `running.undisturbed` and ``torch.no_grad``. Where `pays` says no it is right
    as well, on a GPU too, but may not gain.

    Args:
        module: that would be run.
        images: (N, C, H, W), of which the first is used, to try it.
        places: layers, "name" (the last call) or "name~k".
        logits: also give what the network returns, as place "".
        sparing: see `fusing.fused`.

    Returns:
        From pictures (M, C, H, W) to the output of each place, as the network itself gives it. To be read only: two
        may lie in the same memory, or in that of the pictures. Where a sum in the network overflows to NaN, a
        rectifier behind it may make 0 of it.
    """

    def make() -> Callable[[Tensor], dict[str, Tensor]] | None:
        few = few_of(images)
        try:
            program = record(module, few[:1], few[1:2], places)
            ends = dict(program.places) | ({"": program.output} if logits else {})
            wanted = sorted(set(ends.values()))
            short = fused(folded(program, wanted), wanted, sparing=sparing)
            short = shared(module, replace(short, values=()))

            def answer(pictures: Tensor) -> dict[str, Tensor]:
                found = short.run({0: pictures}, wanted, len(pictures))
                return {place: found[index] for place, index in ends.items()}

            # on three, which neither of the runs was of that were written down
            found, expected = answer(few), _given(module, few, places)
            same = all(_alike(found[place], expected[place]) for place in ends)
        except Exception:  # whatever a stranger's network raises: it is run as it is
            return None
        return answer if same else None

    answer = once(module, ("outputs", *images.shape[1:], tuple(places), logits, sparing), make)
    if answer is None:
        return None

    def answer_or_run(pictures: Tensor) -> dict[str, Tensor]:
        try:
            return answer(pictures)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # so many pictures the network takes in another way, or not at all
            return _given(module, pictures, places)

    return answer_or_run


def few_of(images: Tensor) -> Tensor:
    """Return the first picture and two others, so different that whatever is measured of it by stealth shows."""
    first = images[:1].detach()
    turned = first.flip(3)  # alone it would have the same mean and the same largest number
    return torch.cat([first, 1.5 * turned + 0.25, 0.5 * first - 0.25])


def _given(module: nn.Module, images: Tensor, places: Sequence[str]) -> dict[str, Tensor]:
    """Return what the network itself gives, at places and, as place "", at its end."""
    calls: Counter[str] = Counter()
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        calls[name] += 1
        tensor = first_tensor(output)
        if tensor is not None:
            found.update((place, tensor.clone()) for place in (name, f"{name}~{calls[name]}") if place in places)

    def watch(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: keep(name, output)

    names = {place.partition("~")[0] for place in places}
    handles = [module.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    try:
        output = first_tensor(run(module, images))
    finally:
        for handle in handles:
            handle.remove()
    return found if output is None else found | {"": output}


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two tensors are the same up to rounding; NaN and infinity are like nothing."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool((found - expected).abs().max() <= ALIKE * expected.abs().max())


# --- keeping what was made


@dataclass
class _Kept:
    """What was made of a network.

    Attributes:
        state: of the network, for which it was made.
        loose: places that a run of the network itself writes to (a counter, what it keeps of the latest pictures).
        ways: what was made, the latest last.
        convolutions: in these ways, by shape and geometry.
    """

    state: Marks
    loose: set[tuple[int, str]]
    ways: OrderedDict[Hashable, Any]
    convolutions: dict[str, WeakSet[Fused]]

    def holds(self, state: Marks) -> bool:
        """Tell whether the network is still what it was."""
        return _without(self.state, self.loose) == _without(state, self.loose)


_made: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def once(module: nn.Module, key: Hashable, make: Callable[[], _Made]) -> _Made:
    """Make something of a network once, as long as nothing about the network changes; the latest are kept."""
    state = state_of(module)
    kept = _made.get(module)
    if kept is None or not kept.holds(state):
        kept = _made[module] = _Kept(state, set(), OrderedDict(), {})
    if key not in kept.ways:
        kept.ways[key] = make()
        after = state_of(module)
        changed = {place for place in state.keys() | after.keys() if state.get(place) != after.get(place)}
        kept.loose |= changed - {SAMPLES}  # buffers are put back
        while len(kept.ways) > _WAYS:
            kept.ways.popitem(last=False)
    kept.ways.move_to_end(key)
    found: _Made = kept.ways[key]
    return found


def shared(module: nn.Module, program: Program) -> Program:
    """Return a program with the convolutions that other ways through the network have as well, to be held once.

    Folded and laid out they take up to twice the memory of the network's own. Call it while something is made (`once`).
    """
    known = _made[module].convolutions

    def found(new: Fused) -> Fused:
        geometry = new.stride, new.padding, new.dilation, new.groups, new.activation, new.sparing
        alike = known.setdefault(f"{tuple(new.weight.shape)} {geometry}", WeakSet())
        same = (old for old in alike if _same(old.weight, new.weight) and _same(old.bias, new.bias))
        one = next(same, new)
        alike.add(one)
        return one

    steps = (replace(step, op=found(step.op)) if isinstance(step.op, Fused) else step for step in program.steps)
    return replace(program, steps=tuple(steps))


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _without(state: Marks, loose: set[tuple[int, str]]) -> Marks:
    return {place: mark for place, mark in state.items() if place not in loose} if loose else state
