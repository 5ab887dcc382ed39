"""A backbone and a head as one network: the backbone is run as far as the head reads, and no further. Trains nothing.

    network = joined(striate.load("efficientnet_lite0"), ["blocks.4", "blocks.6"], head, class_names)
    network.save("flowers.safetensors"), striate.load("flowers.safetensors")

What is saved says by data alone how it is made again: what makes the backbone, the layers, the head's plain numbers.
"""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.nets import heads
from striate.nets.heads import Head
from striate.network import Network
from striate.running import first_tensor, undisturbed

__all__ = ["INSIDE", "PREFIX", "Joined", "Place", "Pool", "is_joined", "joined", "made_by", "rebuilt"]

PREFIX = "joined:"
INSIDE = "backbone."
"""What stands before the name of a layer of the backbone."""
Pool = Literal["average", "whole"]
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # there from torch 2.7 on


class _Reached(BaseException):
    """Ends the backbone's run early. No Exception, so that a network's own error handling lets it through.

    Attributes:
        found: of whose run it is: a backbone may be joined itself.
    """

    def __init__(self, found: dict[int, Tensor]) -> None:
        super().__init__()
        self.found = found


@dataclass(frozen=True)
class Place:
    """One layer that a head reads.

    Attributes:
        layer: its name in the backbone.
        call: which of its calls, from 1.
        channels: dimension of the channels in its output.
        rows: dimension of the rows, None where it gives a vector.
        columns: likewise.
    """

    layer: str
    call: int
    channels: int
    rows: int | None
    columns: int | None

    def features(self, output: Tensor, count: int, pool: Pool) -> Tensor:
        """Return what a head reads of an output: (N, C) means of the maps, or (N, C * H * W) all of them.

        Raises:
            NetworkError: it is neither a map nor a vector for each of `count` pictures.
        """
        if len(output) == count and self.rows is not None and self.columns is not None and output.dim() == 4:
            if pool == "average":
                return output.mean((self.rows, self.columns))
            # a copy, since the next operation may write into it (in-place ReLU)
            return output.permute(0, self.channels, self.rows, self.columns).flatten(1).clone()
        if len(output) == count and self.rows is None and output.dim() == 2:
            return output.clone()
        shape = " x ".join(map(str, output.shape))
        raise NetworkError(
            f"layer {self.layer!r} gives {shape}, where the head was made for "
            f"{'a vector (N x C)' if self.rows is None else 'maps (N x C x H x W)'}."
        )


class Joined(nn.Module):
    """A backbone, of which some layers are read, and a head that makes logits of them.

    In a forward pass the backbone is stopped behind the deepest of the layers. Everything can be looked at, by
    "backbone.NAME" and "head.NAME", and gradients go through all of it that the head lets through.

    Attributes:
        backbone: any network; what lies behind the deepest layer may be left out (`left_out`).
        head: from features (N, D) to logits (N, K).
        places: layers that are read, in the order in which their features stand side by side.
        pool: "average" reads the mean of each map, "whole" all of it.
        left_out: parts of the backbone that are never reached, and are not there.
        made_by: what makes the backbone again, or None where that is not known.
    """

    def __init__(
        self,
        backbone: nn.Module,
        places: Sequence[Place],
        head: Head,
        pool: Pool = "average",
        *,
        left_out: Sequence[str] = (),
        made_by: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.places = tuple(places)
        self.pool: Pool = pool
        self.left_out = tuple(left_out)
        self.made_by = made_by
        for name in self.left_out:
            backbone.set_submodule(name, nn.Identity())

    @property
    def made_as(self) -> str:
        """How `striate.load` makes it again."""
        return PREFIX + json.dumps(
            {
                "backbone": self.made_by,
                "places": [asdict(place) for place in self.places],
                "pool": self.pool,
                "left_out": list(self.left_out),
                "head": self.head.plain(),
            },
            separators=(",", ":"),
        )

    def features(self, images: Tensor) -> Tensor:
        """Return what the head reads: (N, D), layer by layer.

        Raises:
            NetworkError: the network takes another way for these pictures, or they are too large or small for it.
        """
        found: dict[int, Tensor] = {}
        calls: Counter[str] = Counter()
        wanted: dict[str, dict[int, int]] = {}
        for index, place in enumerate(self.places):
            wanted.setdefault(place.layer, {})[place.call] = index

        def keep(name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                calls[name] += 1
                index = wanted[name].get(calls[name])
                if index is None:
                    return
                tensor = first_tensor(output)
                if tensor is None:
                    raise NetworkError(f"layer {name!r} returned no tensor.")
                found[index] = self.places[index].features(tensor, len(images), self.pool)
                # whoever exports a program must see every module end; the rest falls out of the program by itself.
                # torch.compile takes the early end as it is: the program falls into pieces, each compiled
                if len(found) == len(self.places) and not _exporting():
                    raise _Reached(found)

            return hook

        handles = [self.backbone.get_submodule(name).register_forward_hook(keep(name)) for name in wanted]
        try:
            self.backbone(images)
        except _Reached as reached:
            if reached.found is not found:
                raise
        finally:
            for handle in handles:
                handle.remove()
        if missing := [place.layer for index, place in enumerate(self.places) if index not in found]:
            raise NetworkError(
                f"layer {missing[0]!r} was not reached on these pictures: the network takes another way for them."
            )
        return torch.cat([found[index] for index in range(len(self.places))], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K)."""
        values = self.features(images)
        if values.shape[1] != self.head.features:
            raise NetworkError(
                f"the head reads {self.head.features:,} features, and pictures of {images.shape[2]} x "
                f"{images.shape[3]} give {values.shape[1]:,} (whole maps belong to one size of picture)."
            )
        logits: Tensor = self.head(values)
        return logits


def joined(
    network: Network,
    places: Sequence[str],
    head: Head,
    class_names: Sequence[str] | None = None,
    *,
    pool: Pool = "average",
) -> Network:
    """Put a head behind layers of a network.

    The network itself stays as it is: the new one has its own copy of the weights, of those parts that are reached.
    Where the network has been joined itself and all the layers lie in its backbone, the new head takes the place of the
    old one, so that names stay short ("backbone.NAME") however often that is done; a head on a layer of the old head
    goes behind the whole ("backbone.backbone.NAME", "backbone.head.NAME").

    Args:
        network: whose layers the head was fitted on.
        places: layers, "name" (the last call) or "name~k", in the order in which their features stand side by side.
        head: from features (N, D) to logits (N, K).
        class_names: names of the K classes.
        pool: "average" reads the mean of each map (a vector as it is), "whole" all of it: channels, rows, columns.

    Returns:
        The whole as a network with the same specification, which every lens takes; `Network.factory` says how it is
        made again.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives neither a map nor a vector, or the features are not as many as the head reads.
        OptionError: no layers, one twice, another pool, or not as many names as classes.
    """
    if pool not in get_args(Pool):
        raise OptionError(f"pool must be 'average' or 'whole', got {pool!r}.")
    if isinstance(places, str) or not places:
        raise OptionError(f"places must be a list of layers, got {places!r}.")
    if class_names is not None and len(class_names) != head.classes:
        raise OptionError(f"{len(class_names)} class names for a head of {head.classes} classes.")
    graph = network.graph()
    layers = [graph.layer(place) for place in places]
    if len({layer.address for layer in layers}) < len(layers):
        raise OptionError(f"a layer is named twice in {', '.join(places)}. Name each once.")
    width = sum(_width(layer, pool) for layer in layers)
    if width != head.features:
        raise NetworkError(
            f"{', '.join(layer.address for layer in layers)} of {network.name} "
            f"{'give' if len(layers) > 1 else 'gives'} {width:,} features for a picture, and the head reads "
            f"{head.features:,}. Join it to the layers that it was fitted on, in the same order and with the same pool."
        )
    marks = [_place(layer) for layer in layers]
    base, name, known = network.module, network.name, made_by(network)
    gone: tuple[str, ...] = ()
    if isinstance(network.module, Joined) and all(mark.layer.startswith(INSIDE) for mark in marks):
        before = network.module
        marks = [replace(mark, layer=mark.layer.removeprefix(INSIDE)) for mark in marks]
        name = name.removesuffix(_suffix(before.head))
        base, known, gone = before.backbone, before.made_by, before.left_out
    new = _unreached(network, base, marks)
    # of those that are gone already some lie in what goes now, and could not be found in it the next time
    left_out = (*(one for one in gone if not any(one.startswith(f"{other}.") for other in new)), *new)
    module = Joined(copy.deepcopy(base), marks, copy.deepcopy(head), pool, left_out=left_out, made_by=known)
    module.head.to(network.device, network.dtype)
    module.eval().requires_grad_(False)
    return Network(
        module,
        network.spec,
        class_names,
        name=f"{name}{_suffix(head)}",
        factory=module.made_as,
        notes=network.notes,
        one_by_one=network.one_by_one,
    )


def _suffix(head: Head) -> str:
    return f" with a {head.kind} head"


def is_joined(text: str) -> bool:
    """Tell whether a factory names a backbone with a head."""
    return text.startswith(PREFIX)


def rebuilt(text: str, backbone: Callable[[str | None], nn.Module], *, named: str | None = None) -> Joined:
    """Make a joined module again, blank, from what `Joined.made_as` says.

    Args:
        text: PREFIX and JSON; it names no code that would be run here.
        backbone: makes the backbone from its own factory (None where none was known).
        named: a factory that the user names in place of that one.

    Raises:
        NetworkError: it cannot be read, or does not fit the backbone.
    """
    try:
        about = json.loads(text.removeprefix(PREFIX))
        made_by = about["backbone"]
        places = [Place(**place) for place in about["places"]]
        pool, left_out, plain = about["pool"], about["left_out"], about["head"]
        for place in places:
            _check_numbers(place)
        if not (made_by is None or isinstance(made_by, str)) or pool not in get_args(Pool):
            raise ValueError(f"backbone {made_by!r}, pool {pool!r}")
        if not places or not isinstance(plain, dict) or not all(isinstance(name, str) and name for name in left_out):
            raise ValueError(f"layers {places}, head {plain!r}, parts {left_out!r}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NetworkError(
            f"how a backbone and a head are joined cannot be read ({type(error).__name__}: {error}). Save the network "
            "anew."
        ) from error
    head = heads.blank(plain)
    module = backbone(made_by)
    known = dict(module.named_modules())
    if missing := [name for name in (*(place.layer for place in places), *left_out) if name not in known]:
        raise NetworkError(
            f"the head was joined to layer {missing[0]!r}, which {type(module).__name__} does not have. Is it the "
            "right architecture?"
        )
    return Joined(module, places, head, pool, left_out=left_out, made_by=named or made_by)


def _check_numbers(place: Place) -> None:
    axes = [place.channels, place.rows, place.columns]
    if place.rows is None and place.columns is None:
        axes = axes[:1]
    if not isinstance(place.layer, str) or not all(type(number) is int for number in (place.call, *axes)):
        raise ValueError(f"place {place}")


def _place(layer: Layer) -> Place:
    rows, columns = (None, None) if layer.spatial is None else layer.spatial
    return Place(layer.name, layer.call, layer.channel_axis, rows, columns)


def _width(layer: Layer, pool: Pool) -> int:
    """Return how many features a layer gives.

    Raises:
        NetworkError: it gives neither a map nor a vector for each picture.
    """
    if layer.shape[0] != 1 or (layer.spatial is None and len(layer.shape) != 2):
        raise NetworkError(
            f"layer {layer.address!r} gives {' x '.join(map(str, layer.shape))} for one picture, neither a feature map "
            "(1 x C x H x W) nor a vector (1 x C), so a head cannot read it. Choose another."
        )
    return layer.channels * (1 if pool == "average" else math.prod(layer.map_size or (1,)))


def made_by(network: Network) -> str | None:
    """Name what makes the module of a network, for `striate.load`; None where that is not known."""
    known = network.factory or getattr(network.module, "made_as", None)
    return known if isinstance(known, str) else _own_class(network)


def _own_class(network: Network) -> str | None:
    """Name the class of a module of the user's own, as `Network.save` does; None where that would not make it again."""
    kind = type(network.module)
    foreign = kind.__module__.partition(".")[0] in ("__main__", "builtins", "torch", "torchvision", "timm")
    return None if foreign or "<" in kind.__qualname__ else f"{kind.__module__}:{kind.__qualname__}"


def _unreached(network: Network, backbone: nn.Module, places: Sequence[Place]) -> tuple[str, ...]:
    """Return the largest parts of a network's backbone that hold weights, and that its run does as well without."""
    module = copy.deepcopy(backbone, _shared(backbone))
    entered: set[nn.Module] = set()
    spec = network.spec
    generator = torch.Generator().manual_seed(0)
    image = network.batch(torch.rand((1, spec.channels, *spec.size), generator=generator))
    reader = Joined(module, places, heads.blank({"kind": "linear", "features": 1, "classes": 1}))
    handles = [part.register_forward_pre_hook(lambda part, _: entered.add(part)) for part in module.modules()]
    with undisturbed(reader), torch.no_grad():
        try:
            before = reader.features(image.clone())
        finally:
            for handle in handles:
                handle.remove()
        names = _unentered(module, entered)

        def goes_without(names: Sequence[str]) -> bool:
            parts = [(name, module.get_submodule(name)) for name in names]
            try:
                for name in names:
                    module.set_submodule(name, nn.Identity())
                same = torch.equal(reader.features(image.clone()), before)
            except Exception:  # a network may read the weights of a layer that it does not call
                same = False
            if not same:
                for name, part in parts:
                    module.set_submodule(name, part)
            return same

        if goes_without(names):
            return tuple(names)
        return tuple(name for name in names if goes_without([name]))


def _shared(module: nn.Module) -> dict[int, Any]:
    """Return what a copy of a module has in common with it: the memory of its weights."""
    return {id(held): held for held in (*module.parameters(), *module.buffers())}


def _unentered(module: nn.Module, entered: set[nn.Module], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, part in module.named_children():
        whole = prefix + name
        if any(one in entered for one in part.modules()):
            found += _unentered(part, entered, f"{whole}.")
        elif any(True for _ in (*part.parameters(), *part.buffers())):
            found.append(whole)
    return found
