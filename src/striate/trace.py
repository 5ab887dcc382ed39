"""Reads the graph of a network off one run: order, shapes, receptive fields, costs, branches and merges.

The network is run once on one picture while every operation below autograd is watched. Nothing is
rewritten or compiled, so data-dependent control flow, functional calls and modules used twice are no
obstacle. Only looks: captures no activations (that is `tap`) and knows no lens.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from striate.dependence import Call, Dependence, factors, follow, is_followed, of_picture, written_into
from striate.geometry import Field, collapsed, unknown_span
from striate.graph import Graph, Layer, Row, keeps
from striate.running import Watcher, first_tensor, run, undisturbed

__all__ = ["trace"]


def trace(module: nn.Module, images: Tensor) -> Graph:
    """Run a network once and read off its graph.

    Args:
        module: any network that takes a batch of pictures; it is not changed.
        images: shape (1, C, H, W); the values matter only where control flow depends on them.

    Returns:
        The graph. When the operations cannot be watched, layers and shapes are there without fields
        and costs, and `Graph.note` says why.

    Raises:
        NetworkError: the network cannot be run on these images.
    """
    with undisturbed(module), torch.no_grad():
        images = images.clone()  # a network may write into it, and an inference tensor knows no versions
        watched = _Watch(module, images)
        try:
            with watched.modules(), watched:
                module(images)
            return watched.graph()
        except Exception as error:  # whatever goes wrong while watching, a plain run decides
            failure = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        plain = _Watch(module, images)
        with plain.modules():
            run(module, images)
        return replace(plain.graph(), note=f"operations could not be watched ({failure})")


@dataclass
class _Draft:
    """A row while it is being filled."""

    address: str
    kind: str
    functional: bool
    index: int
    owner: nn.Module | None = None
    shape: tuple[int, ...] = ()
    known: Dependence | None = None
    inputs: list[int] = field(default_factory=list)
    window: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    macs: int = 0


@dataclass
class _Visit:
    """A module while it is being run."""

    name: str
    module: nn.Module
    call: int
    draft: _Draft | None = None


# operations that only rename or copy elements: no step of their own between modules
_SILENT = frozenset(
    "view _unsafe_view reshape _reshape_alias unsqueeze squeeze permute transpose t expand clone alias detach _to_copy "
    "slice select split split_with_sizes unbind contiguous lift_fresh copy unfold as_strided constant_pad_nd".split()
)


class _Watch(Watcher):
    """Watches one run."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.module = module
        self.names = {part: name for name, part in module.named_modules()}
        self.picture = (images.shape[1], images.shape[2], images.shape[3])
        self.known = WeakTensorKeyDictionary()  # tensor -> Dependence
        self.sources = WeakTensorKeyDictionary()  # tensor -> tuple of rows it comes from
        self.known[images] = of_picture(images)
        self.sources[images] = (-1,)
        self.storages: dict[int, list[weakref.ref[Tensor]]] = {}  # who shares memory with whom
        self.stack: list[_Visit] = []
        self.calls: Counter[str] = Counter()
        self.drafts: list[_Draft] = []
        self.layers: list[Layer] = []
        self.unfollowed: Counter[str] = Counter()
        self.counted: set[int] = set()
        self.classes = 0
        self.ends: tuple[int, ...] = ()

    # --- modules

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Note which module is being run."""
        handles = []
        try:
            for part in self.names:
                if isinstance(part, torch.jit.ScriptModule):  # takes no hooks; what it does is seen all the same
                    continue
                handles.append(part.register_forward_pre_hook(self._enter))
                handles.append(part.register_forward_hook(self._leave))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, part: nn.Module, _inputs: Any) -> None:
        name = self.names[part]
        self.calls[name] += 1
        self.stack.append(_Visit(name, part, self.calls[name]))

    def _leave(self, part: nn.Module, _inputs: Any, output: Any) -> None:
        while self.stack[-1].module is not part:  # left by an exception that the network itself caught
            self.stack.pop()
        visit = self.stack.pop()
        tensor = first_tensor(output)
        if tensor is None or tensor.dim() < 2:
            return
        known: Dependence | None = self.known.get(tensor)  # type: ignore[no-untyped-call]
        if visit.draft is not None:
            visit.draft.shape, visit.draft.known = tuple(tensor.shape), known
        if visit.name:
            self.layers.append(self._layer(visit, tensor, known))
        else:
            self.classes = tensor.shape[1]
            self.ends = tuple(self.sources.get(tensor, ()))  # type: ignore[no-untyped-call]

    def _layer(self, visit: _Visit, tensor: Tensor, known: Dependence | None) -> Layer:
        spatial: tuple[int, int] | None = None
        channel_axis = 1
        if tensor.dim() == 4 and len(tensor) == 1:  # else windows of the picture, or no picture at all
            rows, columns = (None, None) if known is None else (known.dimension(0), known.dimension(1))
            if known is None or not (known.mixed(0) or known.mixed(1)):
                spatial = (2, 3) if rows is None or columns is None else (rows, columns)
                channel_axis = next(index for index in (1, 3, 2) if index not in spatial)
        elif tensor.dim() == 3:
            channel_axis = 2
        sources = self.sources.get(tensor, ())  # type: ignore[no-untyped-call]
        leaf = next(visit.module.children(), None) is None
        ending = type(visit.module).__name__ if leaf or not self.drafts else self.drafts[-1].kind
        return Layer(
            visit.name,
            visit.call,
            0,
            type(visit.module).__name__,
            tuple(tensor.shape),
            channel_axis,
            spatial,
            self._field(known),
            keeps=keeps(ending),
            row=sources[0] if len(sources) == 1 and sources[0] >= 0 else None,
        )

    def _field(self, known: Dependence | None) -> Field:
        spans = [unknown_span(), unknown_span()] if known is None else list(known.spans)
        for label in (0, 1):
            if known is not None and known.mixed(label):  # a unit has a place, but no dimension tells it
                spans[label] = replace(collapsed(spans[label], known.length(label)), exact=False)
        return Field(spans[0], spans[1], self.picture[1:])

    # --- operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = tuple(
            item for item in (result if isinstance(result, tuple | list) else [result]) if isinstance(item, Tensor)
        )
        if outputs:
            self._note(func, args, kwargs or {}, outputs)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, outputs: tuple[Tensor, ...]) -> None:
        schema = func._schema
        # torch leaves out arguments that have their default value
        arguments = {argument.name: argument.default_value for argument in schema.arguments}
        arguments |= {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)} | kwargs
        namespace, name = schema.name.split("::")
        name = name if name.startswith("_") and name.endswith("__") else name.rstrip("_")
        if namespace != "aten":
            name = schema.name
        call = Call(name, arguments, outputs, self.known.get, torch.Tag.pointwise in func.tags)
        tensors = call.tensors()
        for output in outputs:
            self.storages.setdefault(output.untyped_storage()._cdata, []).append(weakref.ref(output))
        tracked = [tensor for tensor in tensors if tensor in self.known]
        if not tracked:
            return
        found = follow(call)
        if not is_followed(call):
            self.unfollowed[name] += 1
        came_from = tuple(dict.fromkeys(row for tensor in tracked for row in self.sources[tensor]))
        draft = self._draft(name, came_from)
        if draft is not None:
            draft.inputs += [row for row in came_from if row != draft.index and row not in draft.inputs]
            draft.macs += _macs(call)
            draft.window = draft.window or _window(call)
            draft.parameters += self._parameters(draft, tensors)
            for output, known in zip(outputs, found, strict=True):
                if known is not None:
                    draft.shape, draft.known = tuple(output.shape), known
                    break
            came_from = (draft.index,)
        for output, known in zip(outputs, found, strict=True):
            if known is not None:
                self.known[output] = known
                self.sources[output] = came_from
                if any(output is tensor for tensor in tensors):
                    self._written(output)

    def _written(self, part: Tensor) -> None:
        """Pass on what was written into a tensor to all that share its memory, its base and other views."""
        seen = self.known[part]
        for reference in self.storages.get(part.untyped_storage()._cdata, []):
            other = reference()
            if other is None or other is part:
                continue
            self.known[other] = written_into(other, self.known.get(other), part, seen)  # type: ignore[no-untyped-call]
            self.sources[other] = tuple(dict.fromkeys((*self.sources.get(other, ()), *self.sources[part])))  # type: ignore[no-untyped-call]

    def _draft(self, name: str, came_from: tuple[int, ...]) -> _Draft | None:
        """Return the row that an operation belongs to, begun if need be; None for a mere renaming."""
        visit = self.stack[-1] if self.stack else None
        inside = visit is not None and visit.name != "" and next(visit.module.children(), None) is None
        if visit is not None and inside:
            if visit.draft is None:
                kind = type(visit.module).__name__
                if kind == "InterpreterModule":  # of an exported program: what it does says more
                    kind = _KINDS.get(name.lstrip("_"), name.lstrip("_"))
                visit.draft = self._begin(visit, kind, functional=False, owner=visit.module)
            return visit.draft
        if name in _SILENT and len(came_from) < 2:
            return None
        return self._begin(visit, name.lstrip("_"), functional=True, owner=None)

    def _begin(self, visit: _Visit | None, kind: str, *, functional: bool, owner: nn.Module | None) -> _Draft:
        address = "" if visit is None else f"{visit.name}~{visit.call}"
        draft = _Draft(address, _KINDS.get(kind, kind) if functional else kind, functional, len(self.drafts), owner)
        self.drafts.append(draft)
        return draft

    def _parameters(self, draft: _Draft, tensors: list[Tensor]) -> int:
        own = list(draft.owner.parameters(recurse=False)) if draft.owner is not None else []
        own += [tensor for tensor in tensors if isinstance(tensor, nn.Parameter)]
        total = 0
        for weight in own:
            if id(weight) not in self.counted:
                self.counted.add(id(weight))
                total += weight.numel()
        return total

    # --- the end

    def graph(self) -> Graph:
        """Put together what was seen."""
        rows = []
        for draft in self.drafts:
            name, _, _ = draft.address.partition("~")
            address = draft.address if self.calls[name] > 1 else name
            rows.append(
                Row(
                    address=address,
                    kind=draft.kind,
                    functional=draft.functional,
                    shape=draft.shape,
                    field=self._field(draft.known),
                    inputs=tuple(sorted(draft.inputs)),
                    parameters=draft.parameters,
                    macs=draft.macs,
                    **(draft.window or _own_window(draft.owner)),
                )
            )
        layers = tuple(replace(layer, calls=self.calls[layer.name]) for layer in self.layers)
        parameters = sum(weight.numel() for weight in self.module.parameters())
        return Graph(tuple(rows), layers, self.picture, parameters, self.classes, self.ends, dict(self.unfollowed))


_KINDS = {
    "max_pool2d_with_indices": "max_pool2d",
    "adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "convolution": "conv",
    "addmm": "linear",
    "mm": "matmul",
    "bmm": "matmul",
    "hardtanh": "relu6",
}


def _macs(call: Call) -> int:
    """Count multiply-adds of convolutions and matrix products; everything else counts as none."""
    given, output = call.arguments, call.outputs[0]
    if call.name == "convolution":
        weight: Tensor = given["weight"]
        # each weight of a filter meets each output (transposed: each input) once
        places = given["input"] if given["transposed"] else output
        return places.numel() * weight[0].numel()
    if call.name in ("mm", "addmm", "bmm", "baddbmm"):
        return output.numel() * factors(call)[0].shape[-1]
    if call.name.startswith("_scaled_dot_product"):
        query, key = given["query"], given["key"]
        return 2 * int(query.numel()) * int(key.shape[-2])
    return 0


def _window(call: Call) -> dict[str, Any]:
    """Read the window settings of a convolution or a pooling."""
    given = call.arguments
    if call.name == "convolution":
        settings = {name: tuple(given[name]) for name in ("stride", "padding", "dilation")}
        dimensions = given["weight"].dim() - 2
        settings = {name: value * dimensions if len(value) == 1 else value for name, value in settings.items()}
        return {"kernel": tuple(given["weight"].shape[2:]), **settings, "groups": given["groups"]}
    if "pool" in call.name and "kernel_size" in given:
        kernel = tuple(given["kernel_size"])
        stride = tuple(given.get("stride") or kernel)
        padding, dilation = (given.get(name, default) for name, default in (("padding", 0), ("dilation", 1)))
        both = [tuple(value) if not isinstance(value, int) else (value,) for value in (padding, dilation)]
        wide = [value * len(kernel) if len(value) == 1 else value for value in (kernel, stride, *both)]
        return dict(zip(("kernel", "stride", "padding", "dilation"), wide, strict=True))
    return {}


def _own_window(module: nn.Module | None) -> dict[str, Any]:
    """Read the window that a layer says it has, where its operations do not show it (`LocallyConnected2d`)."""
    found = {}
    for name, attribute in (("kernel", "kernel_size"), ("stride", "stride"), ("padding", "padding")):
        value = getattr(module, attribute, None)
        numbers = value if isinstance(value, tuple) else (value, value)
        if not all(type(number) is int for number in numbers) or len(numbers) != 2:
            return {}
        found[name] = numbers
    return found
