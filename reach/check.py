"""Look at one network in every way and say what passed: `python -m reach.check SOURCE` prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import striate
from striate import lenses
from striate.errors import StriateError
from striate.perturbation.patches import Patches, patch_scores
from striate.tap import settle

__all__ = ["LOOKS", "VARIANTS", "check"]

VARIANTS = ("3 channels", "1 channel, not square")
OBLONG = ((128, 160), (192, 256), (256, 384), (224, 448), (299, 331))  # the first that the network takes
SQUARE = (160, 192, 224, 256, 299, 331)

LOOKS: dict[str, Callable[[striate.Network, Tensor], Any]] = {
    "filters": lambda net, x: lenses.filters(net),
    "activations": lambda net, x: lenses.activations(net, x),
    "field": lambda net, x: lenses.receptive_field(net, x, _last(net, x)),
    "gradient": lambda net, x: lenses.saliency(net, x),
    "guided": lambda net, x: lenses.saliency(net, x, rule="guided"),
    "deconvnet": lambda net, x: lenses.saliency(net, x, rule="deconvnet"),
    "input x gradient": lambda net, x: lenses.input_x_gradient(net, x),
    "integrated": lambda net, x: lenses.integrated_gradients(net, x, steps=2),
    "smoothgrad": lambda net, x: lenses.smoothgrad(net, x, samples=2),
    "grad-cam": lambda net, x: lenses.grad_cam(net, x),
    "channel": lambda net, x: lenses.saliency(net, x, _channel(net, x)),
    "occlusion": lambda net, x: _occluded(net, x),
}


def check(source: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """Look at a network with random weights, with 3 channels and with 1 channel in an oblong picture.

    Args:
        source: "torchvision:NAME" or "timm:NAME".
        only: looks that are taken; all for none.

    Returns:
        For each variant and look "ok", "refused: reason", or "FAILED: what went wrong"; layers, sizes, notes.
    """
    torch.manual_seed(0)
    library, _, name = source.partition(":")
    found: dict[str, Any] = {"source": source, "variants": {}}
    for variant, channels in zip(VARIANTS, (3, 1), strict=True):
        started = time.perf_counter()
        try:
            network, images = _ready(library, name, channels)
        except _UnableError as error:
            found["variants"][variant] = {"unable": str(error)}
            continue
        except Exception as error:
            found["variants"][variant] = {"failed": _failure(error)}
            continue
        found["variants"][variant] = _look(network, images, only)
        found["variants"][variant]["seconds"] = round(time.perf_counter() - started, 1)
        del network
    return found


class _UnableError(Exception):
    """The network itself cannot be run, without any lens."""


def _look(network: striate.Network, images: Tensor, only: Sequence[str]) -> dict[str, Any]:
    before, numbers = _snapshot(network.module), _snapshot(network.module, bits=True)
    size = tuple(images.shape[2:])
    entry: dict[str, Any] = {"size": list(size), "looks": {}}
    try:
        graph = network.graph(*size)
        statuses = [row.field.status for row in graph.rows]
        if not graph.rows:
            raise AssertionError("no layers")
        entry |= {
            "layers": len(graph.rows),
            "unknown": statuses.count("unknown"),
            "parameters": sum(parameter.numel() for parameter in network.module.parameters()),
            "note": graph.note,
        }
        entry["looks"]["layers"] = "ok"
    except Exception as error:
        entry["looks"]["layers"] = _verdict(error)
    for name, look in LOOKS.items():
        if only and name not in only:
            continue
        try:
            result = look(network, images)
            _check_result(name, result, images)
            entry["looks"][name] = "ok"
            if name == "guided":
                entry["rectifiers"] = result.details["rectifiers"]
            if name == "occlusion":
                entry["occlusion"] = {key: result.details.get(key) for key in ("on_windows", "on_maps", "why")}
        except Exception as error:
            entry["looks"][name] = _verdict(error)
        after = _snapshot(network.module)
        if (changed := _changed(before, after)) is not None:
            entry["looks"][name] = f"FAILED: the network was changed ({changed})"
            before = after
    changed = _changed(numbers, _snapshot(network.module, bits=True))
    entry["looks"]["unchanged"] = "ok" if changed is None else f"FAILED: the network was changed ({changed})"
    return entry


def _ready(library: str, name: str, channels: int) -> tuple[striate.Network, Tensor]:
    """Build a network and a picture of a size that it takes."""
    network = striate.load(f"{library}:{name}", pretrained=False)
    if channels != 3:
        module = _narrowed(library, name, network.module, channels)
        spec = striate.InputSpec(channels, *network.spec.size, mean=(0.5,), std=(0.25,))
        network = striate.Network(module, spec, name=name)
    height, width = network.spec.size
    sizes = [(side, side) for side in SQUARE] if channels == 3 else list(OBLONG)
    for size in [*sizes, (height, width)]:
        images = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad():
                network.module(images)
        except Exception as error:
            if size == (height, width):  # not even its own size
                first = str(error).splitlines()[0] if str(error) else ""
                reason = f"{type(error).__name__}: {first[:120]}"
                raise _UnableError(f"{library} itself cannot run {name} with {channels} channels ({reason})") from error
        else:
            return network, images
    raise AssertionError("unreachable")


def _narrowed(library: str, name: str, module: nn.Module, channels: int) -> nn.Module:
    """Return the network for another number of channels: by timm's own option, or with a new first convolution."""
    if library == "timm":
        import timm

        return timm.create_model(name, pretrained=False, in_chans=channels).eval()
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    weight = first.weight.detach()[:, :channels].clone().contiguous()
    first.weight, first.in_channels = nn.Parameter(weight, requires_grad=False), channels
    return module


def _last(network: striate.Network, images: Tensor) -> str:
    return network.graph(*images.shape[2:]).last_map().address


def _occluded(network: striate.Network, images: Tensor) -> Any:
    """Cover parts of the picture, with and without the short cut through what changes, and compare."""
    height, width = images.shape[2:]
    boxes = torch.tensor([[0, 0, 16, 24], [height // 2, width // 3, height // 2 + 17, width // 3 + 16]])
    batch = network.batch(images)
    patches = Patches(boxes, network.spec.baseline("grey", batch)[0])
    targets, clean = settle(network, batch, None)
    quick = patch_scores(network, batch, patches, targets)
    plain = patch_scores(network, batch, patches, targets, incremental=False)
    wrong = float((quick.values - plain.values).abs().max() / max(float(plain.values.abs().max()), float(clean.abs())))
    _expect(wrong <= 1e-4, f"scores that differ by {wrong:.1e} from those of whole pictures")
    _expect("other scores" not in quick.details.get("why", ""), quick.details.get("why", ""))
    return quick


def _channel(network: striate.Network, images: Tensor) -> str:
    """Return the address of a channel that answers; with random weights many a channel is dead."""
    place = _last(network, images)
    maps = lenses.activations(network, images, layers=place).maps[place]
    return f"{place}:{int(maps[0].flatten(1).amax(1).argmax())}"


def _check_result(name: str, result: Any, images: Tensor) -> None:
    """Raise unless a result has the right shape and finite values."""
    size = tuple(images.shape[2:])
    if name == "filters":
        weights = result.weights
        _expect(weights.dim() == 4 and bool(weights.isfinite().all()), f"filters {tuple(weights.shape)}")
    elif name == "activations":
        _expect(len(result.maps) > 0, "no activations")
        for place, maps in result.maps.items():
            _expect(len(maps) == 1 and bool(maps.isfinite().all()), f"activations of {place}: {tuple(maps.shape)}")
    elif name == "occlusion":
        _expect(bool(result.values.isfinite().all()), "scores that are not finite")
    elif name == "field":
        top, left, bottom, right = result.boxes[0]
        _expect(0 <= top <= bottom < size[0] and 0 <= left <= right < size[1], f"box {result.boxes[0]} in {size}")
    else:
        _expect(tuple(result.scores.shape) == (1, *size), f"scores {tuple(result.scores.shape)} for a picture {size}")
        _expect(bool(result.scores.isfinite().all()), "scores that are not finite")
        # a rectified Grad-CAM may rightly find no evidence for the class
        _expect(name.endswith("-cam") or bool(result.scores.abs().max() > 0), "scores that are all zero")


def _expect(holds: bool, found: str) -> None:
    if not holds:
        raise AssertionError(f"found {found}")


def _snapshot(module: nn.Module, *, bits: bool = False) -> dict[str, Any]:
    """Note what a lens could disturb; `bits` checks the numbers themselves too, which takes time."""
    found: dict[str, Any] = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found[name] = (id(tensor), tensor._version, tensor.requires_grad, tensor.grad is None)
        if bits:
            memory = torch.empty(0, dtype=torch.uint8).set_(tensor.detach().untyped_storage())
            found[f"{name} in bits"] = zlib.crc32(memory.numpy().data)
    for name, part in module.named_modules():
        hooks = sum(len(value) for key, value in vars(part).items() if key.endswith("_hooks") and value is not None)
        found[f"{name} as module"] = (part.training, hooks, sorted(vars(part)))
    return found


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    return next((name for name in {**before, **after} if before.get(name) != after.get(name)), None)


def _verdict(error: Exception) -> str:
    return f"refused: {error}" if isinstance(error, StriateError) else _failure(error)


def _failure(error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else ""
    return f"FAILED: {type(error).__name__}: {first[:200]}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(check(sys.argv[1], sys.argv[2:])))
