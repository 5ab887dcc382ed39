"""Everything that a training needs to go on, as one file: safetensors and JSON, no code. Trains nothing.

One file, because it is replaced in one step: it is always the state after a whole epoch. The tensors lie in it by name
("network/...", "average/...", "optimizer/0/exp_avg"), all else as JSON in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from striate.errors import TrainingError
from striate.files import one_line, shown
from striate.learn.descent.averaging import Average

__all__ = ["FORMAT", "Saved", "copied", "difference", "fill", "pack", "record_of", "restore", "unpack"]

FORMAT = "striate-state-1"  # the mark in the metadata
_NETWORK, _AVERAGE, _OPTIMIZER = "network/", "average/", "optimizer/"


@dataclass(frozen=True, eq=False)
class Saved:
    """What was read.

    Attributes:
        tensors: by name, on the CPU.
        record: what `pack` was given.
        optimizer: settings of the optimiser's groups, and what it keeps of each weight besides tensors.
    """

    tensors: dict[str, Tensor]
    record: dict[str, Any]
    optimizer: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin so, without that beginning."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    @property
    def network(self) -> dict[str, Tensor]:
        """Weights and buffers as they were trained."""
        return self.part(_NETWORK)

    @property
    def average(self) -> dict[str, Tensor]:
        """State of the moving average; empty without one."""
        return self.part(_AVERAGE)


def pack(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None, record: Mapping[str, Any]
) -> bytes:
    """Return a training as the bytes of a file.

    Args:
        module: weights and buffers.
        optimizer: its state and the settings of its groups.
        average: of the weights, where there is one.
        record: all else, ready for JSON.
    """
    tensors = {f"{_NETWORK}{name}": value for name, value in _held(module).items()}
    if average is not None:
        tensors |= {f"{_AVERAGE}{name}": value for name, value in average.state().items()}
    state = optimizer.state_dict()
    others: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{index}/{name}"] = value
            else:
                others.setdefault(str(index), {})[name] = value
    groups = [{name: _plain(value) for name, value in group.items()} for group in state["param_groups"]]
    return safetensors_bytes(
        # clones, because tied weights share their memory, which the format does not allow
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
        {
            "format": FORMAT,
            "record": json.dumps(record),
            "optimizer": json.dumps({"groups": groups, "others": others}),
        },
    )


def unpack(path: Path) -> Saved:
    """Read a file that `pack` made.

    Raises:
        TrainingError: it is broken, or something else.
    """
    return _read(path, tensors=True)


def record_of(path: Path) -> dict[str, Any]:
    """Read only what `pack` was given as `record`; the tensors stay on the disk.

    Raises:
        TrainingError: as for `unpack`.
    """
    return _read(path, tensors=False).record


def _read(path: Path, *, tensors: bool) -> Saved:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            held = {name: file.get_tensor(name) for name in (file.keys() if tensors else ())}
        if metadata.get("format") != FORMAT:
            raise TrainingError(
                f"{shown(path)} has the format {metadata.get('format')!r}, where this version of Striate reads "
                f"{FORMAT!r}. Go on with the version that wrote it, or train anew."
            )
        return Saved(held, json.loads(metadata["record"]), json.loads(metadata["optimizer"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"{shown(path)} cannot be read ({one_line(error)}): it is broken, or no state of a training. The networks "
            f"in {shown(path.parent.parent)} are files of their own; to train further, begin a new run from one."
        ) from error


def restore(saved: Saved, module: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None) -> None:
    """Bring a training to where it was.

    Args:
        saved: what was read.
        module: of the same architecture, see `difference`.
        optimizer: made by the same settings.
        average: likewise.
    """
    fill(module, saved.network)
    if average is not None:
        average.restore(saved.average)
    fresh = optimizer.state_dict()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in saved.optimizer["others"].items()}
    for name, value in saved.part(_OPTIMIZER).items():
        index, _, entry = name.partition("/")
        weight = weights[int(index)]
        if value.shape == weight.shape:  # as it lay in memory, since the order decides how numbers are rounded
            value = torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[entry] = value
    groups = [
        {**mine, **{name: _like(mine.get(name), value) for name, value in theirs.items() if name != "params"}}
        for mine, theirs in zip(fresh["param_groups"], saved.optimizer["groups"], strict=True)
    ]
    optimizer.load_state_dict({**fresh, "state": state, "param_groups": groups})


def difference(module: nn.Module, saved: Mapping[str, Tensor]) -> str:
    """Say in which weights a network differs from one that was kept; "" where names and shapes are the same."""
    own = _held(module)
    parts = []
    if missing := [name for name in saved if name not in own]:
        parts.append(f"{len(missing)} of the weights that were kept are not in it (first: {missing[0]})")
    if extra := [name for name in own if name not in saved]:
        parts.append(f"{len(extra)} of its weights were not kept (first: {extra[0]})")
    if wrong := [name for name in own if name in saved and own[name].shape != saved[name].shape]:
        shapes = [" x ".join(map(str, held[wrong[0]].shape)) or "a number" for held in (own, saved)]
        parts.append(f"{len(wrong)} are of other shape (first: {wrong[0]} is {shapes[0]}, kept was {shapes[1]})")
    return ", ".join(parts)


@torch.no_grad()
def fill(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Write weights and buffers into a module, in place, so that they stay as they lie in memory."""
    for name, held in _held(module).items():
        if name in values:
            held.copy_(values[name])


def copied(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of all weights and buffers, where they are."""
    return {name: value.clone() for name, value in _held(module).items()}


def _held(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def _plain(value: Any) -> Any:
    """Return a setting of an optimiser for JSON; a rate may be a tensor."""
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _like(own: Any, value: Any) -> Any:
    """Return a setting that was kept, as the optimiser itself has it."""
    if isinstance(own, Tensor):
        return torch.full_like(own, value)
    return tuple(value) if isinstance(own, tuple) else value
