"""Which weights of a network learn, and which stay as they are. Trains nothing."""

from __future__ import annotations

from difflib import get_close_matches

from torch import nn

from striate.errors import AddressError

__all__ = ["asleep", "frozen_weights", "lies_in", "wake", "with_statistics"]


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
    for weight in frozen_weights(module, frozen).values():
        weight.requires_grad_(False)


def frozen_weights(module: nn.Module, frozen: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """Return the weights that do not learn, by name; of one that is tied, and has several names, one is enough."""
    weights = dict(module.named_parameters(remove_duplicate=False))
    held = {id(weight) for name, weight in weights.items() if any(lies_in(name, one) for one in frozen)}
    return {name: weight for name, weight in weights.items() if id(weight) in held}


def asleep(module: nn.Module, frozen: tuple[str, ...]) -> list[nn.Module]:
    """Return the layers that stay in evaluation mode: batch norm keeps its statistics, nothing is dropped."""
    return [part for name, part in module.named_modules() if any(lies_in(name, one) for one in frozen)]


def with_statistics(module: nn.Module) -> tuple[str, ...]:
    """Name the layers that gather statistics while they train, as batch norm does."""
    return tuple(name for name, part in module.named_modules() if getattr(part, "running_mean", None) is not None)


def lies_in(name: str, part: str) -> bool:
    """Tell whether a layer or weight is a part of the network, or lies in it; "" is the whole."""
    return part == "" or name == part or name.startswith(f"{part}.")
