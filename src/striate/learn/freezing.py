"""Which weights of a network learn, and which stay as they are. Trains nothing."""

from __future__ import annotations

from difflib import get_close_matches

from torch import nn

from striate.errors import AddressError

__all__ = ["asleep", "wake"]


def wake(module: nn.Module, frozen: tuple[str, ...] = ()) -> None:
    """Let all weights learn but the frozen ones.

    Args:
        module: the network.
        frozen: names of layers, with all that lies in them, or of weights.

    Raises:
        AddressError: a name of neither.
    """
    weights = dict(module.named_parameters(remove_duplicate=False))
    parts = {name for name, _ in module.named_modules()}
    for name in frozen:
        if name not in weights and name not in parts:
            close = get_close_matches(name, [*parts, *weights], n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise AddressError(f"frozen: there is no layer or weight {name!r}.{hint} `striate layers` lists them.")
    for weight in weights.values():
        weight.requires_grad_(weight.is_floating_point())
    for name, weight in weights.items():
        if any(_lies_in(name, one) for one in frozen):  # a tied weight has several names: one of them is enough
            weight.requires_grad_(False)


def asleep(module: nn.Module, frozen: tuple[str, ...]) -> list[nn.Module]:
    """Return the layers that stay in evaluation mode: batch norm keeps its statistics, nothing is dropped."""
    return [part for name, part in module.named_modules() if any(_lies_in(name, one) for one in frozen)]


def _lies_in(name: str, part: str) -> bool:
    return part == "" or name == part or name.startswith(f"{part}.")
