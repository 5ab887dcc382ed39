"""The scores of a picture when the output of one layer is replaced, for many replacements. Knows no lens.

Only what comes after the layer is run, from the program of the network; where it has none, or gives other scores for
the first replacement, all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.halves import halved
from striate.network import Network
from striate.perturbation.incremental import Unfollowable
from striate.perturbation.precision import tolerance
from striate.perturbation.readout import Readout, Scored, apart
from striate.program import Unwritten
from striate.running import first_tensor, run, undisturbed, with_first_tensor
from striate.streaming import in_chunks
from striate.tap import respond
from striate.targets import Targets

__all__ = ["suffix_scores"]


def suffix_scores(
    network: Network,
    image: Tensor,
    place: str,
    changed: Callable[[int, int], Tensor],
    total: int,
    targets: Targets,
    *,
    chunk: int | None = None,
    task: str = "suffix",
) -> Scored:
    """Return the scores of one picture for each replacement of a layer's output.

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised.
        place: layer whose output is replaced, "name" (its last call) or "name~k".
        changed: gives replacements `start` to `stop`, each (channels, h, w) or, for a vector, (channels,).
        total: number of replacements.
        targets: T settled targets of this picture, all at one place.
        chunk: replacements in one pass; chosen by the device unless given.
        task: what to call it where progress is shown.

    Raises:
        OptionError: `chunk` is below 1.
        AddressError: no such layer.
        NetworkError: the network fails, or does not reach the layer.
    """
    if chunk is not None and chunk < 1:
        raise OptionError(f"chunk must be at least 1, got {chunk}.")
    readout = Readout.of(targets)
    with undisturbed(network.module), torch.no_grad():
        layer = network.graph(*image.shape[2:]).layer(place)
        details: dict[str, Any] = {"suffix": True}
        size = chunk or (32 if network.device.type == "cpu" else 512)
        why = ""
        whole = _all(network, image, layer, targets)
        try:
            after, output = _rest(network, image, layer, targets, total)
            first = _laid(layer, changed(0, 1))
            wrong = apart(readout.read(after(first)), readout.read(whole(first)))
            if wrong > tolerance(network, "float32"):
                raise Unfollowable(f"the rest of the network gives other scores (by {wrong:.1e} of the largest)")
        except (Unwritten, Unfollowable) as error:
            why = str(error)
        except torch.OutOfMemoryError:
            why = "there is no memory for all that the network makes of the unchanged picture"
        if why:
            after, output = whole, respond(network, image, targets.place)
            details, size = {"suffix": False, "why": why}, network.piece(chunk)
        clean = readout.read(output)[0]
        values = torch.empty(total, len(clean))

        def run_piece(start: int, stop: int) -> None:
            values[start:stop] = readout.read(after(_laid(layer, changed(start, stop))))

        in_chunks(total, run_piece, size=size, task=task)
    return Scored(values, clean, details)


def _laid(layer: Layer, replaced: Tensor) -> Tensor:
    """Return maps (m, C, h, w) in the order of dimensions in which the layer gives them."""
    if replaced.dim() != 4 or layer.spatial is None:
        return replaced
    axes = [0, layer.channel_axis, *layer.spatial]
    return replaced.permute(*(axes.index(axis) for axis in range(4)))


_After = Callable[[Tensor], Tensor]  # from replaced outputs to the output that is read


def _rest(network: Network, image: Tensor, layer: Layer, targets: Targets, total: int) -> tuple[_After, Tensor]:
    """Return what runs the operations after a layer alone, and the output of the unchanged picture.

    Raises:
        Unwritten: the network has no program.
    """
    sparing = network.spares(image.shape[2:], total)
    halves = halved(network.module, image, layer.address, targets.place, sparing=sparing)
    asked = None if targets.place is None else network.graph(*image.shape[2:]).layer(targets.place)
    values = halves.until(image)
    given = values[halves.start]

    def after(replaced: Tensor) -> Tensor:
        output = halves.onwards(values, replaced.to(given.dtype))
        return network.logits(output) if asked is None else asked.arranged(output, len(output))

    return after, after(given)


def _all(network: Network, image: Tensor, layer: Layer, targets: Targets) -> _After:
    """Return what runs the whole network and puts the replacement in on the way."""
    asked = None if targets.place is None else network.graph(*image.shape[2:]).layer(targets.place)

    def after(replaced: Tensor) -> Tensor:
        kept: dict[str, Tensor] = {}

        def put(found: Tensor) -> Tensor:
            kept["replaced"] = found
            return replaced.to(found.dtype).clone()

        def read(found: Tensor) -> Tensor:
            assert asked is not None
            kept["asked"] = asked.arranged(found, len(replaced)).clone()
            return found

        hooks = [network.module.get_submodule(layer.name).register_forward_hook(_at(layer.call, put))]
        if asked is not None:
            hooks.append(network.module.get_submodule(asked.name).register_forward_hook(_at(asked.call, read)))
        try:
            output = run(network.module, image.expand(len(replaced), -1, -1, -1))
        finally:
            for hook in hooks:
                hook.remove()
        if "replaced" not in kept:
            raise NetworkError(
                f"layer {layer.address!r} was not reached on this picture: the network takes another way."
            )
        return network.logits(output) if asked is None else kept["asked"]

    return after


def _at(call: int, act: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Return a hook that changes a module's output in one of its calls."""
    calls = 0

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        found = first_tensor(output)
        return None if calls != call or found is None else with_first_tensor(output, act(found))

    return hook
