"""Run a module without disturbing it, and without being disturbed. Knows nothing of what is looked for."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import NetworkError, StriateError
from striate.memory import relieve

__all__ = ["Watcher", "check_shaped", "first_tensor", "run", "undisturbed", "with_first_tensor"]

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Hold a network still while it is looked at: one thread at a time, evaluation mode, no weight gradients.

    Afterwards every training flag, every ``requires_grad`` and every buffer is as it was, after an
    exception too. Inside, gradients can be taken even where the caller is in inference mode.

    Raises:
        NetworkError: some of its weights have no shape yet (lazy modules that were never run).
    """
    with _locks_guard:
        lock = _locks.setdefault(module, threading.RLock())
    with lock, ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        parts = list(module.modules())  # one walk: this stands before every piece of a batch
        check_shaped(module, parts)
        if any(getattr(part, "_compiled_call_impl", None) is not None for part in parts):
            # a compiled forward pass calls no hooks
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        training = [part for part in parts if getattr(part, "training", False)]  # frozen scripts have no flag
        # weights made in inference mode have no flag that could be set
        weights = [weight for part in parts for weight in part._parameters.values() if weight is not None]
        learning = [weight for weight in weights if weight.requires_grad and not weight.is_inference()]
        stack.callback(_restore_flags, training)
        stack.callback(_restore_gradients, learning)
        stack.callback(_restore_buffers, _kept_buffers(parts))
        for part in training:
            part.training = False  # not eval(): some networks override it
        for weight in learning:
            weight.requires_grad_(False)
        yield
    relieve()


def check_shaped(module: nn.Module, parts: Iterable[nn.Module] | None = None) -> None:
    """Refuse a network whose weights are made when it first runs: looking at it would be what shapes it.

    Args:
        module: the network.
        parts: all its modules, where somebody has them.

    Raises:
        NetworkError: some of its weights have no shape yet.
    """
    if not any(isinstance(part, LazyModuleMixin) for part in (module.modules() if parts is None else parts)):
        return
    tensors = [*module.named_parameters(), *module.named_buffers()]
    if unshaped := [name for name, tensor in tensors if is_lazy(tensor)]:
        raise NetworkError(
            f"{len(unshaped)} of the network's weights and buffers have no shape yet (first: {unshaped[0]}): it has "
            "lazy modules and was never run. Run it once on a batch of pictures, as in module(images), then look at it."
        )


def _restore_flags(training: list[nn.Module]) -> None:
    for part in training:
        part.training = True


def _restore_gradients(learning: list[nn.Parameter]) -> None:
    for weight in learning:
        weight.requires_grad_(True)


# number types whose copies are made at once: one by one, hundreds of small ones take as long as a layer
_BITS: dict[torch.dtype, torch.dtype] = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.int64: torch.int64,
}


class _Held(NamedTuple):
    """A buffer before a network is run."""

    holder: dict[str, Tensor | None]
    name: str
    buffer: Tensor
    version: int


class _Kept(NamedTuple):
    """Buffers of one kind, and what they held.

    Attributes:
        held: the buffers.
        copies: of all, one behind the other in one row, or each by itself.
        silent: they may be written into without a count (`_is_silent`).
    """

    held: list[_Held]
    copies: Tensor | list[Tensor]
    silent: bool

    def values(self) -> list[Tensor]:
        """Return the copy of each buffer."""
        if not isinstance(self.copies, Tensor):
            return self.copies
        sizes = [one.buffer.numel() for one in self.held]
        return [
            part.view(one.buffer.shape)
            for part, one in zip(self.copies.split_with_sizes(sizes), self.held, strict=True)
        ]


def _kept_buffers(parts: list[nn.Module]) -> list[_Kept]:
    """Copy what a forward pass might write into: counters, running statistics."""
    kinds: dict[tuple[torch.dtype, torch.device, bool], list[_Held]] = {}
    for part in parts:
        for name, buffer in part._buffers.items():
            if buffer is not None:
                key = buffer.dtype, buffer.device, _is_silent(buffer)
                kinds.setdefault(key, []).append(_Held(part._buffers, name, buffer, _version(buffer)))
    kept = []
    with torch.no_grad():
        for (dtype, _, silent), held in kinds.items():
            buffers = [one.buffer for one in held]
            copies = _in_one_row(buffers) if dtype in _BITS else [one.clone() for one in buffers]
            kept.append(_Kept(held, copies, silent))
    return kept


def _is_silent(buffer: Tensor) -> bool:
    """Tell whether torch may write into a buffer without counting it: as running statistics of batch norm.

    Its `native_batch_norm` and the like declare no such write, so that the version stays. A network whose own code
    puts batch norm into training mode reaches them, here as well.
    """
    return buffer.dim() == 1 and buffer.is_floating_point() and buffer.dtype in _BITS and not buffer.is_inference()


def _in_one_row(buffers: list[Tensor]) -> Tensor:
    return torch.cat([one.reshape(-1) for one in buffers])


def _restore_buffers(kept: list[_Kept]) -> None:
    with torch.no_grad():
        for kind in kept:
            values = _restore_silent(kind) if kind.silent else None
            for place, (holder, name, buffer, version) in enumerate(kind.held):
                if version < 0 or _version(buffer) != version:
                    values = kind.values() if values is None else values
                    with torch.inference_mode(buffer.is_inference()):
                        buffer.copy_(values[place])
                if name not in holder or holder[name] is not buffer:  # what scripts hold theirs in knows no more
                    holder[name] = buffer


def _restore_silent(kind: _Kept) -> list[Tensor] | None:
    """Put back what was written without a count, and return the copies if they were needed.

    Through `data`, which counts no write either: what the caller keeps for its own backward pass stays good.
    """
    buffers = [one.buffer.data for one in kind.held]
    if buffers[0].device.type != "cpu":  # to compare would be to wait for the device
        values = kind.values()
        torch._foreach_copy_(buffers, values)
        return values
    assert isinstance(kind.copies, Tensor)
    bits = _BITS[kind.copies.dtype]  # not as numbers: NaN is unlike itself
    if torch.equal(_in_one_row(buffers).view(bits), kind.copies.view(bits)):
        return None
    values = kind.values()
    torch._foreach_copy_(buffers, values)
    return values


def _version(buffer: Tensor) -> int:
    """Return autograd's count of writes into a tensor; -1 where none is kept."""
    return -1 if buffer.is_inference() else buffer._version


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """What sees every operation below autograd while it is entered."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from loading its compiler (seconds) only to keep it away from this class."""
        return False


def run(module: nn.Module, images: Tensor) -> Any:
    """Run a module on a copy of the pictures, which it may write into.

    Raises:
        NetworkError: it fails; the text says on what and why. Out of memory is left as it is.
    """
    try:
        return module(images.clone())
    except (StriateError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        shape = " x ".join(map(str, images.shape))
        raise NetworkError(
            f"the network cannot be run on a picture batch of {shape}: {type(error).__name__}: {error}. "
            "Check channels, height and width of its InputSpec."
        ) from error


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor of a module's output: itself, or the first in a tuple, list or dict; else None."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := first_tensor(item)) is not None), None)
    return None


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """Return a module's output with its first tensor replaced."""
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, Mapping):
        key = next(key for key, value in output.items() if first_tensor(value) is not None)
        changed: Any = copy.copy(output)
        changed[key] = with_first_tensor(output[key], tensor)
        return changed
    at = next(index for index, value in enumerate(output) if first_tensor(value) is not None)
    items = [*output[:at], with_first_tensor(output[at], tensor), *output[at + 1 :]]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
