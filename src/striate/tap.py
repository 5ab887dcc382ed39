"""Run a network up to what is asked for, capture it, and send gradients back by one of three rules.

Everything hangs on hooks that live inside a context manager, or on the autograd graph of one pass,
and is gone afterwards, after an exception too. Knows networks and targets; knows no lens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate import halves, lean
from striate.errors import NetworkError, OptionError
from striate.network import Network
from striate.norms import still_norms
from striate.rectifiers import Rule, backward
from striate.running import first_tensor, run, undisturbed, with_first_tensor
from striate.streaming import in_chunks
from striate.targets import Target, Targets, join, resolve

__all__ = ["Gradient", "Rule", "Tapped", "activations", "follow", "gradient", "respond", "settle", "watching"]


_STRAYED = 1e-2  # of a gradient's length: what rounding may send another way


class _Reached(BaseException):
    """Ends a run early. No Exception, so that a network's own error handling lets it through."""


@dataclass(frozen=True)
class Tapped:
    """What one run gave.

    Attributes:
        outputs: by place, each (N, C, h, w) or (N, C).
        logits: (N, K) when they were asked for, else None.
    """

    outputs: dict[str, Tensor]
    logits: Tensor | None


@dataclass(frozen=True)
class Gradient:
    """The gradient of one score for each picture.

    Attributes:
        values: gradient, shaped like `activation`.
        activation: what it was taken with respect to: the pictures, or a layer's output.
        scores: (N,), the score of each picture.
        targets: the targets, made definite.
        logits: (N, K) when the target is a class, else None.
        rectifiers: how many rectifiers followed the rule; 0 for the plain gradient.
        passed: other non-linear operations, which the plain gradient passed, with counts.
    """

    values: Tensor
    activation: Tensor
    scores: Tensor
    targets: Targets
    logits: Tensor | None
    rectifiers: int
    passed: dict[str, int]


def activations(network: Network, images: Tensor, places: Sequence[str], *, logits: bool = False) -> Tapped:
    """Run a batch as far as the deepest place that is asked for, and capture all of them.

    Args:
        network: that is run.
        images: (N, C, H, W), as `Network.batch` gives them.
        places: layers, "name" (the last call) or "name~k".
        logits: also run to the end.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer was not reached on these pictures, or is neither map nor vector.
    """
    wanted = list(dict.fromkeys(places))
    graph = network.graph(*images.shape[2:])
    layers = {place: graph.layer(place) for place in wanted}
    outputs: dict[str, Tensor] = {}
    final: list[Tensor] = []
    ready: Callable[[Tensor], dict[str, Tensor]] | None = None

    def run_piece(start: int, stop: int) -> None:
        reached: set[str] = set()

        def keep(place: str, output: Tensor) -> None:
            # copied, since the next operation may write into it (in-place ReLU)
            arranged = layers[place].arranged(output, stop - start)
            if place not in outputs:
                shape = (len(images), *arranged.shape[1:])
                order = torch.channels_last if arranged.dim() == 4 else torch.contiguous_format
                outputs[place] = torch.empty(shape, dtype=output.dtype, device=output.device, memory_format=order)
            outputs[place][start:stop] = arranged
            reached.add(place)
            if not logits and len(reached) == len(wanted):
                raise _Reached

        if ready is not None:
            found = ready(images[start:stop])
            if logits:
                final.append(network.logits(found.pop("")))
            with suppress(_Reached):
                for place in wanted:
                    keep(place, found[place])
            return
        with _watching(network, images, wanted, keep):
            try:
                output = run(network.module, images[start:stop])
                if logits:
                    final.append(network.logits(output))
            except _Reached:
                pass
        _check_reached(wanted, reached)

    with undisturbed(network.module), torch.no_grad():
        if lean.pays(network.module, images):
            sparing = network.spares(images.shape[2:], len(images))
            ready = lean.outputs(network.module, images, wanted, logits=logits, sparing=sparing)
        in_chunks(len(images), run_piece, size=network.piece(), task="activations")
    return Tapped({place: outputs[place] for place in wanted}, torch.cat(final) if logits else None)


def follow(network: Network, images: Tensor, places: Sequence[str], *, logits: bool = False) -> Tapped:
    """Run a batch as far as the deepest place that is asked for, and keep the way back to the pictures.

    What `activations` does, in one piece, for whoever moves the pictures: gradients flow from every output to
    `images` where those ask for them, and to no weight. They are taken within `running.undisturbed` as well: a network
    that saves memory (checkpointing) runs parts of itself once more on the way back.

    Args:
        network: that is run.
        images: (N, C, H, W), normalised, on the network's device; not checked again.
        places: layers, "name" (the last call) or "name~k".
        logits: also run to the end.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer was not reached on these pictures, or is neither map nor vector.
    """
    wanted = list(dict.fromkeys(places))
    graph = network.graph(*images.shape[2:])
    layers = {place: graph.layer(place) for place in wanted}
    outputs: dict[str, Tensor] = {}
    final: Tensor | None = None

    def keep(place: str, output: Tensor) -> None:
        last = not logits and len(outputs) == len(wanted) - 1
        # copied where the run goes on, since the next operation may write into it (in-place ReLU)
        outputs[place] = layers[place].arranged(output if last else output.clone(), len(images))
        if last:
            raise _Reached

    with (
        undisturbed(network.module),
        torch.enable_grad(),
        _watching(network, images, wanted, keep),
        suppress(_Reached),
    ):
        final = network.logits(run(network.module, images))
    _check_reached(wanted, outputs)
    return Tapped({place: outputs[place] for place in wanted}, final if logits else None)


def _check_reached(wanted: Sequence[str], reached: Container[str]) -> None:
    """Refuse a run that has gone past a layer."""
    if missing := [place for place in wanted if place not in reached]:
        raise NetworkError(
            f"layer {missing[0]!r} was not reached on these pictures: the network takes another way for them."
        )


def respond(network: Network, images: Tensor, place: str | None) -> Tensor:
    """Return the output of one place, (N, C, h, w) or (N, C); of the whole network, (N, K), for None."""
    if place is not None:
        return activations(network, images, [place]).outputs[place]
    return network(images)


def settle(network: Network, images: Tensor, target: Target | Targets) -> tuple[Targets, Tensor]:
    """Make targets definite on clean pictures, and return them with their scores (N,)."""
    targets = target if isinstance(target, Targets) else resolve(network, target, images)
    output = respond(network, images, targets.place)
    targets = targets.settle(output, network)
    return targets, targets.scores(output)


def gradient(
    network: Network,
    images: Tensor,
    target: Target | Targets,
    *,
    rule: Rule = "gradient",
    at: str | None = None,
    chunk: int | None = None,
) -> Gradient:
    """Return the gradient of each picture's score, in one forward and one backward pass.

    The forward pass stops at the layer of the target; the backward pass stops at `at`, before which
    no graph is built at all. Weights get no gradient. A large batch goes through in pieces,
    which takes less memory and is no slower.

    Args:
        network: that is run.
        images: (N, C, H, W), as `Network.batch` gives them.
        target: what is explained; see `targets.resolve`.
        rule: how the signal R passes a rectifier with input a, coming back as g. "gradient": g where a > 0.
            "deconvnet": max(g, 0). "guided": both. Max pooling always sends it to where the maximum was
            (the switches of the deconvnet).
        at: layer with respect to whose output the gradient is taken; None for the pictures.
        chunk: pictures in one pass; chosen by the device unless given.

    Raises:
        AddressError: no such target or layer.
        RuleError: rule "guided" or "deconvnet" in a network without rectifiers.
        NetworkError: the target does not depend on `at`, or not by way of a gradient.

    Source: Springenberg et al. 2014, arXiv:1412.6806, figure 1 (the three rules);
        Zeiler and Fergus 2013, arXiv:1311.2901, section 2.1 (deconvnet).
    """
    if rule not in ("gradient", "guided", "deconvnet"):
        raise OptionError(f"no backward rule {rule!r}; there are gradient, guided, deconvnet.")
    targets = target if isinstance(target, Targets) else resolve(network, target, images)
    pieces: list[Gradient] = []
    short: halves.Halves | None = None

    def run_piece(start: int, stop: int) -> None:
        piece = images[start:stop]
        piece = piece.clone() if piece.is_inference() else piece
        pieces.append(_gradient(network, piece, targets.pick(range(start, stop)), rule, at, short))

    def check(found: halves.Halves) -> bool:
        # by the slope of all outputs at once: what is kept is used for other targets at this place as well
        return _same_way(*(_all_slopes(network, images[:2], targets.place, rule, at, way) for way in (None, found)))

    with undisturbed(network.module):
        if at is not None and lean.pays(network.module, images):
            sparing = network.spares(images.shape[2:], len(images))
            short = halves.sloped(network.module, images, at, targets.place, rule, check, sparing=sparing)
        in_chunks(len(images), run_piece, size=network.piece(chunk), task=rule)
    return pieces[0] if len(pieces) == 1 else _joined(pieces)


def _joined(pieces: list[Gradient]) -> Gradient:
    """Put the pieces of a batch together."""
    logits = [piece.logits for piece in pieces if piece.logits is not None]
    return Gradient(
        values=torch.cat([piece.values for piece in pieces]),
        activation=torch.cat([piece.activation for piece in pieces]),
        scores=torch.cat([piece.scores for piece in pieces]),
        targets=join([piece.targets for piece in pieces]),
        logits=torch.cat(logits) if logits else None,
        rectifiers=pieces[0].rectifiers,
        passed=pieces[0].passed,
    )


def _gradient(
    network: Network, images: Tensor, targets: Targets, rule: Rule, at: str | None, short: halves.Halves | None
) -> Gradient:
    graph = network.graph(*images.shape[2:])
    if short is None:
        # not where a part runs without gradients: there attention would go another way inside the block
        with still_norms() if at is None else nullcontext():
            leaf, output = _forward(network, images, targets.place, at)
    else:
        leaf, output = _short_forward(short, images, alone=targets.place == at)
    with torch.enable_grad():
        layer = None if targets.place is None else graph.layer(targets.place)
        values = network.logits(output) if layer is None else layer.arranged(output, len(images))
        targets = targets.settle(values, network)
        scores = targets.scores(values)
        if not leaf.requires_grad or not scores.requires_grad:
            raise NetworkError(
                f"{targets.labels[0]} does not depend on {at or 'the picture'} by way of a gradient: "
                "the layer comes after it, or the network cuts the gradient in between (detach, a forest of "
                "decisions). Occlusion, LIME, RISE and Score-CAM need no gradient."
            )
        found, rectifiers, passed = backward(scores, leaf, rule)
    shown, activation = found, leaf.detach()
    if at is not None:
        tapped = graph.layer(at)
        shown, activation = (tapped.arranged(one, len(images)) for one in (shown, activation))
    logits = values.detach() if targets.place is None else None
    return Gradient(shown, activation, scores.detach(), targets, logits, rectifiers, passed)


def _forward(network: Network, images: Tensor, place: str | None, at: str | None) -> tuple[Tensor, Any]:
    """Run the network; return what gradients are wanted to, and what was asked for: a layer's output, or the end's."""
    reached: dict[str, Tensor] = {}
    leaf = images.detach().requires_grad_(at is None)

    def stop_or_branch(name: str, output: Tensor) -> Tensor | None:
        nonlocal leaf
        if name == at:
            leaf = output.detach().requires_grad_()
            torch.set_grad_enabled(True)
            # a copy goes on, which may be written into; the target may be this very layer
            output = leaf.clone()
            if name != place:
                return output
        reached[name] = output
        raise _Reached

    places = [one for one in (at, place) if one is not None]
    with torch.set_grad_enabled(at is None), _watching(network, images, places, stop_or_branch):
        try:
            output: Any = run(network.module, leaf if at is None else images)
        except _Reached:
            assert place is not None
            return leaf, reached[place]
    if place is not None:
        _check_reached([place], reached)
    return leaf, output


def _short_forward(short: halves.Halves, images: Tensor, *, alone: bool) -> tuple[Tensor, Tensor]:
    """Do as `_forward` by the run that was written down; `alone` where the layer itself is asked for."""
    values = short.until(images)
    leaf = values[short.start].detach().requires_grad_()
    with torch.enable_grad():
        return leaf, leaf.clone() if alone else short.onwards(values, leaf)


_Slopes = tuple[Tensor, int, dict[str, int]]  # and how many rectifiers and others they came past


def _all_slopes(
    network: Network, images: Tensor, place: str | None, rule: Rule, at: str | None, short: halves.Halves | None
) -> _Slopes:
    """Return the gradient of a random sum of all that is asked for."""
    if short is None:
        leaf, output = _forward(network, images.clone(), place, at)
    else:
        leaf, output = _short_forward(short, images.clone(), alone=place == at)
    with torch.enable_grad():
        found = first_tensor(output)
        assert found is not None
        drawn = torch.randn(found.shape, generator=torch.Generator().manual_seed(0)).to(found)
        return backward((drawn * found).flatten(1).sum(1), leaf, rule)


def _same_way(plain: _Slopes, short: _Slopes) -> bool:
    """Tell whether two gradients are those of one network.

    Rounding can switch a rectifier whose input is all but zero, and with it the way of a little of the signal. What is
    not written down (a gradient of somebody's own making, one that is cut) changes all of it.
    """
    same = plain[1:] == short[1:]
    return same and bool((plain[0] - short[0]).norm() <= _STRAYED * plain[0].norm())


@contextmanager
def watching(
    module: nn.Module, wanted: Mapping[str, Mapping[int, Sequence[str]]], act: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call ``act(place, output)`` when a layer gives its output; what it returns takes the output's place.

    Args:
        module: that is going to be run, once.
        wanted: places by the name of a module and the number of its call, from 1.
        act: gets the very output, which the next operation may write into.
    """
    calls: Counter[str] = Counter()

    def watch(name: str) -> Callable[..., Any]:
        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            calls[name] += 1
            changed = output
            for place in wanted[name].get(calls[name], ()):
                tensor = first_tensor(changed)
                if tensor is None:
                    raise NetworkError(f"layer {place!r} returned no tensor.")
                new = act(place, tensor)
                if new is not None:
                    changed = with_first_tensor(changed, new)
            return None if changed is output else changed

        return hook

    handles = [module.get_submodule(name).register_forward_hook(watch(name)) for name in wanted]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watching(
    network: Network, images: Tensor, places: Iterable[str], act: Callable[[str, Tensor], Tensor | None]
) -> AbstractContextManager[None]:
    """Watch places of a network that is going to be run on such pictures."""
    graph = network.graph(*images.shape[2:])
    wanted: dict[str, dict[int, list[str]]] = {}
    for place in dict.fromkeys(places):
        layer = graph.layer(place)
        wanted.setdefault(layer.name, {}).setdefault(layer.call, []).append(place)
    return watching(network.module, wanted, act)
