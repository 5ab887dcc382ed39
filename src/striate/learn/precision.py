"""In which numbers a training computes: bfloat16 where the hardware has it and is faster by it. Changes nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from striate.errors import OptionError

__all__ = ["PRECISIONS", "autocast", "precision_for"]

PRECISIONS = ("auto", "float32", "bfloat16")


def precision_for(wanted: str, device: torch.device) -> str:
    """Say in which numbers to compute: "float32" or "bfloat16".

    "auto" is a fixed rule, no measurement, so that a training that is resumed computes as it began: bfloat16 on GPUs
    that compute in it (NVIDIA from Ampere on) and on processors with AVX512-BF16 or AMX. There a step of cnn1 and of
    ResNet-18 took 0.4 to 0.6 of the time that it takes in float32, one of the small cnn2 0.8. Other processors imitate
    it, and are slower.

    Args:
        wanted: one of `PRECISIONS`.
        device: that the network is on.

    Raises:
        OptionError: no such precision.
    """
    if wanted not in PRECISIONS:
        raise OptionError(f"no precision {wanted!r}; there are {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    return "bfloat16" if device.type == "cpu" and _computes_bfloat16() else "float32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute in a precision inside this block; the weights stay as they are."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _computes_bfloat16() -> bool:
    """Tell whether the processor has instructions for it."""
    if (capabilities := getattr(torch.cpu, "get_capabilities", None)) is not None:
        found = capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    # before torch 2.11 two private questions are the only way
    return any(
        bool(getattr(torch.cpu, name, bool)()) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
