"""Our networks as sources: "striate:vgg-c,classes=10,size=64" to a `Network`, and other libraries' weights for them.

No text can name code: it is read by the grammar here and by the builder's, and nothing else is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import OptionError
from striate.nets.builder import sequential
from striate.nets.catalogue import assembled, create, design
from striate.nets.untrained import NOTHING
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["PREFIX", "is_ours", "network", "renamed"]

PREFIX = "striate:"
_OPTIONS = ("classes", "channels", "size", "seed")


def is_ours(text: str) -> bool:
    """Tell whether a source or a factory names one of our networks."""
    return text.startswith(PREFIX)


def network(text: str, *, spec: InputSpec | Mapping[str, Any] | None = None, blank: bool = False) -> Network:
    """Build what a text names.

    Args:
        text: "striate:NAME", and ",classes=10", ",channels=1", ",size=28" or ",size=28x32", ",seed=1" as wanted; or
            "striate:sequential,1x28x28," and the layers as for `sequential`.
        spec: channels, height and width that it is to be built for, where they are other than the text says.
        blank: leave the weights undrawn, to be loaded.

    Returns:
        The network with random weights, and a note that says so.

    Raises:
        NetworkError: no such network, or it cannot be built so.
        OptionError: an option that is not understood.
    """
    name, _, rest = text.removeprefix(PREFIX).partition(",")
    asked = _asked(spec)
    if name == "sequential":
        return _stack(rest, asked)
    options = _options(text, rest)
    size = options["size"]
    if "height" in asked or "width" in asked:
        own = design(name).size if size is None else size
        size = asked.get("height", own[0]), asked.get("width", own[1])
    given = {"classes": options["classes"], "channels": asked.get("channels", options["channels"]), "size": size}
    seed = 0 if options["seed"] is None else options["seed"]
    if blank:
        module = assembled(name, **given)
    else:
        module = create(name, **given, generator=torch.Generator().manual_seed(seed))
    known = design(name)
    channels = known.channels if given["channels"] is None else given["channels"]
    height, width = known.size if size is None else size
    notes = () if blank else (_untrained(f"{PREFIX}{known.name}", seed),)
    return Network(
        module,
        _specification(channels, height, width, known.colours),
        name=known.name,
        factory=str(module.made_as),
        notes=notes,
    )


def renamed(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict under the names of one of our networks, if it comes from another library's same network."""
    made_as = str(getattr(module, "made_as", ""))
    name = made_as.removeprefix(PREFIX).partition(",")[0]
    return dict(state) if not is_ours(made_as) or name == "sequential" else design(name).renamed(state)


def _stack(rest: str, asked: Mapping[str, int]) -> Network:
    size, _, layers = rest.partition(",")
    found = re.fullmatch(r"\s*(\d+)x(\d+)x(\d+)\s*", size)
    if found is None:
        raise OptionError(
            f"'{PREFIX}sequential' is followed by channels x height x width and the layers, as in "
            f"'{PREFIX}sequential,1x28x28,conv 32 3x3 relu,pool 2,flatten,dense 10'; got {size!r}."
        )
    own = dict(zip(("channels", "height", "width"), map(int, found.groups()), strict=True)) | dict(asked)
    input = own["channels"], own["height"], own["width"]
    stack = sequential(layers, input, generator=torch.Generator().manual_seed(0))
    spec = _specification(*input, ((0.5,), (0.5,)))
    return Network(stack, spec, name="sequential", factory=stack.made_as, notes=(_untrained("This network", 0),))


def _untrained(name: str, seed: int) -> str:
    return f"{name} has random weights (seed {seed}): it {NOTHING}."


def _asked(spec: InputSpec | Mapping[str, Any] | None) -> dict[str, int]:
    """Return which channels, height and width somebody wants."""
    if spec is None:
        return {}
    given = spec.to_dict() if isinstance(spec, InputSpec) else spec
    return {key: given[key] for key in ("channels", "height", "width") if key in given}


def _options(text: str, rest: str) -> dict[str, Any]:
    """Read "classes=10,size=28x32"."""
    found: dict[str, Any] = dict.fromkeys(_OPTIONS)
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, _, value = part.partition("=")
        pattern = r"\d+(x\d+)?" if key == "size" else r"\d+"
        if key not in _OPTIONS or not re.fullmatch(pattern, value):
            raise OptionError(
                f"{part!r} in {text!r} is not understood. After the name stand {', '.join(_OPTIONS)} with whole "
                f"numbers, as in '{PREFIX}vgg-c,classes=10,channels=1,size=64x96'."
            )
        sizes = [int(length) for length in value.split("x")]
        found[key] = (sizes[0], sizes[-1]) if key == "size" else sizes[0]
    return found


def _specification(
    channels: int, height: int, width: int, colours: tuple[tuple[float, ...], tuple[float, ...]]
) -> InputSpec:
    """Return what a network expects of a picture; the usual colours where the number of channels is the usual one."""
    mean, std = colours
    if len(mean) not in (1, channels):
        mean, std = (0.5,), (0.5,)
    # photographs are cut from a slightly larger picture, as the networks for ImageNet are used to
    resize = round(height * 256 / 224) if height == width and height >= 128 else None
    return InputSpec(channels, height, width, mean, std, resize)
