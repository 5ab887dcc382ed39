"""The running mean of a network's weights over the steps of training, which often does better than the last of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError

__all__ = ["Average"]

_UPDATES = "updates"


class Average:
    """An exponential moving average of a module's weights.

    After update t of T the average is `d_t * average + (1 - d_t) * weights` with d_t = min(decay, (1 + t) / (10 + t)),
    t from 0: at first the mean over about the last tenth of the steps so far, so that the beginning is forgotten, and
    over 1 / (1 - decay) steps in the end. Running statistics (buffers of decimal numbers) are averaged with the same
    shares, as they belong to the weights; counters are taken as they are, and so are buffers that hold infinities from
    the beginning (masks), which have no mean.

    Attributes:
        decay: share of the average that is kept at a step in the end, from 0 up to 1.
        updates: how many there were.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        """Start from the weights as they are.

        Raises:
            OptionError: the decay is not from 0 up to (not including) 1.
        """
        if not 0 <= decay < 1:
            raise OptionError(f"the decay of an average must be from 0 up to (not including) 1, got {decay}.")
        self.decay = float(decay)
        self.updates = 0
        self._module = module
        self._swapped = False
        with torch.no_grad():
            self._means = {
                name: _wide(value).clone() for name, value in _decimals(module).items() if bool(value.isfinite().all())
            }

    def decay_at(self, update: int) -> float:
        """Return the share of the average that update number `update` (from 0) keeps."""
        return min(self.decay, (1 + update) / (10 + update))

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; call it after each step of the optimiser."""
        if self._swapped:
            raise RuntimeError("the module holds the average now: update it outside of swapped()")
        held = self._held()
        keep = self.decay_at(self.updates)
        kinds: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]] = {}
        for name, value in held.items():
            means, values = kinds.setdefault((self._means[name].device, self._means[name].dtype), ([], []))
            means.append(self._means[name])
            values.append(_wide(value))
        for means, values in kinds.values():  # all of a kind at once
            torch._foreach_lerp_(means, values, 1 - keep)
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Let the module hold the average, in place; afterwards, after an exception too, its own weights bit by bit."""
        if self._swapped:
            raise RuntimeError("the module holds the average already")
        held = self._held()
        own = {name: value.clone() for name, value in held.items()}
        self._swapped = True
        try:
            self.apply()
            yield
        finally:
            with torch.no_grad():
                for name, value in held.items():
                    value.copy_(own[name])
            self._swapped = False

    @torch.no_grad()
    def apply(self) -> None:
        """Write the average into the module, for good."""
        for name, value in self._held().items():
            value.copy_(self._means[name])

    def state(self) -> dict[str, Tensor]:
        """Return everything as tensors by name: the averages, and `updates`; those of the averages are not copies."""
        return {_UPDATES: torch.tensor(self.updates), **{f"mean.{name}": mean for name, mean in self._means.items()}}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            NetworkError: it is of a network with other weights.
        """
        wanted = {f"mean.{name}": mean.shape for name, mean in self._means.items()}
        found = {name: value.shape for name, value in state.items() if name != _UPDATES}
        if wanted != found:
            strange = sorted({*wanted.items()} ^ {*found.items()})[0][0]
            raise NetworkError(
                f"the average that was kept is of another network: {strange.removeprefix('mean.')!r} is not in both "
                "with the same shape."
            )
        for name, mean in self._means.items():
            mean.copy_(state[f"mean.{name}"])
        self.updates = int(state[_UPDATES])

    def _held(self) -> dict[str, Tensor]:
        """Return what is averaged, as it is in the module."""
        return {name: value for name, value in _decimals(self._module).items() if name in self._means}


def _decimals(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights and running statistics of a module by name, those that are shared once."""
    held: dict[str, Tensor] = dict(module.named_parameters())
    held.update((name, value) for name, value in module.named_buffers() if value.is_floating_point())
    return {name: value.detach() for name, value in held.items()}


def _wide(value: Tensor) -> Tensor:
    """Return a tensor in a type that small shares can be added in."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
