"""Writes a network's run down as a program: what it does with one picture, and with any number.

The operations below autograd are noted while the network runs on one picture, and again on two: what grows from one
run to the other grows with the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import StriateError
from striate.program import Program, Ref, Sized, Step, Unwritten, leaves
from striate.running import Watcher, first_tensor, with_first_tensor

__all__ = ["record"]


def record(module: nn.Module, image: Tensor, second: Tensor, places: Sequence[str] = ()) -> Program:
    """Write down what a network does with a picture.

    Call it within `running.undisturbed` and ``torch.no_grad``.

    Args:
        module: any network.
        image: (1, C, H, W).
        second: (1, C, H, W), another picture that goes with it in the run on two.
        places: layers, "name" (its last call) or "name~k", whose outputs are asked for.

    Raises:
        Unwritten: the operations depend on the picture's values, on chance, on how numbers lie in memory, or on
            the batch in a way that does not just grow; or they write into memory that several tensors share; or
            they fail while they are watched.
    """
    twice = _recorded(module, torch.cat([image, second]), places, keep=False)
    pairs = [tuple(value.shape) for value in twice.values]
    twice.values.clear()  # two pictures take twice the memory of one
    once = _recorded(module, image.clone(), places)
    if len(once.steps) != len(twice.steps) or once.ends != twice.ends:
        raise Unwritten("the network does other things with two pictures than with one")
    batched = frozenset(
        index
        for index, (value, pair) in enumerate(zip(once.values, pairs, strict=True))
        if value.dim() and (2 * value.shape[0], *value.shape[1:]) == pair
    )
    steps = tuple(_merged(one, two) for one, two in zip(once.steps, twice.steps, strict=True))
    output = once.ends[""]
    named = {place: index for place, index in once.ends.items() if place}
    return Program(steps, tuple(once.values), output, named, batched)


@dataclass
class _Recorded:
    steps: list[Step]
    values: list[Tensor]
    ends: dict[str, int]


def _recorded(module: nn.Module, images: Tensor, places: Sequence[str], *, keep: bool = True) -> _Recorded:
    pen = _Pen(images, keep=keep)
    try:
        with pen.at(module, places), pen:
            output = first_tensor(module(images))
    except (StriateError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever goes wrong while watching, a plain run decides
        first_line = str(error).split("\n", 1)[0]
        raise Unwritten(f"the network fails while it is watched ({type(error).__name__}: {first_line})") from error
    if output is None:
        raise Unwritten("the network returns no tensor")
    missing = [place for place in places if place not in pen.ends]
    if missing:
        raise Unwritten(f"layer {missing[0]!r} was not reached")
    pen.ends[""] = pen.number(output)
    return _Recorded(pen.steps, pen.values, pen.ends)


class _Pen(Watcher):
    """Writes down one run. Keeps every tensor, so that none is taken for another; with `keep`, as it was."""

    def __init__(self, images: Tensor, *, keep: bool) -> None:
        super().__init__()
        self.keep = keep
        self.steps: list[Step] = []
        self.values: list[Tensor] = []
        self.numbers: dict[int, int] = {}  # id of a tensor -> number of the value that it now holds
        self.kept: list[Tensor] = []
        self.sharing: dict[int, list[int]] = {}  # memory -> numbers of the values that lie in it
        self.written: dict[int, set[int]] = {}  # memory that was written into -> ids of what may still be read
        self.ends: dict[str, int] = {}
        self._add(images)

    @contextmanager
    def at(self, module: nn.Module, places: Sequence[str]) -> Iterator[None]:
        """Note the values that layers give."""
        calls: Counter[str] = Counter()
        begun: dict[str, list[int]] = {}  # how many values there were when each call of a layer began
        wanted: dict[str, list[tuple[int | None, str]]] = {}
        for place in places:
            name, _, call = place.partition("~")
            wanted.setdefault(name, []).append((int(call) if call else None, place))

        def begin(name: str) -> Callable[..., None]:
            return lambda *_: begun.setdefault(name, []).append(len(self.values))

        def watch(name: str) -> Callable[..., Any]:
            def hook(_module: Any, _inputs: Any, output: Any) -> Any:
                calls[name] += 1
                first = begun[name].pop()
                asked = [place for call, place in wanted[name] if call in (None, calls[name])]
                tensor = first_tensor(output)
                if tensor is None or not asked:
                    return None
                passed_on = self.number(tensor) < first
                if passed_on:  # what replaces this output must not reach others that read the same tensor
                    tensor = torch.ops.aten.alias.default(tensor)
                self.ends.update((place, self.number(tensor)) for place in asked)
                return with_first_tensor(output, tensor) if passed_on else None

            return hook

        parts = {name: module.get_submodule(name) for name in wanted}
        handles = [part.register_forward_pre_hook(begin(name)) for name, part in parts.items()]
        handles += [part.register_forward_hook(watch(name)) for name, part in parts.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def number(self, tensor: Tensor) -> int:
        """Return the number of the value that a tensor holds."""
        if id(tensor) not in self.numbers:
            raise Unwritten("an output does not depend on the picture")
        if not self._readable(tensor):
            raise Unwritten("an output lies in memory that was written into through another tensor")
        return self.numbers[id(tensor)]

    def _readable(self, tensor: Tensor) -> bool:
        """Tell whether a tensor holds what it was written down with."""
        if not self.written:
            return True
        readable = self.written.get(_memory(tensor))
        return readable is None or id(tensor) in readable

    def _add(self, tensor: Tensor) -> int:
        index = len(self.values)
        self.kept.append(tensor)
        self.values.append(tensor)
        self.numbers[id(tensor)] = index
        memory = _memory(tensor)
        self.sharing.setdefault(memory, []).append(index)
        if memory in self.written:
            self.written[memory].add(id(tensor))
        return index

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [item for item in leaves((args, kwargs)) if isinstance(item, Tensor)]
        for tensor in tensors:
            if not self._readable(tensor):
                raise Unwritten(f"{func._schema.name} reads memory that was written into through another tensor")
        if not any(id(tensor) in self.numbers for tensor in tensors):
            return func(*args, **kwargs)
        return self._note(func, args, kwargs)

    def _note(self, func: Any, args: Any, kwargs: Any) -> Any:
        schema = func._schema
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unwritten(f"{schema.name} depends on chance")
        if torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags:
            raise Unwritten(f"{schema.name} depends on the picture's values")
        if func is torch.ops.aten.as_strided.default:
            raise Unwritten(f"{schema.name} depends on how numbers lie in memory")
        read_args, read_kwargs = self._read(args), self._read(kwargs)
        writes = [
            value
            for argument, value in _bound(schema, args, kwargs)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        op = func
        if writes:
            if len(writes) != 1 or not isinstance(writes[0], Tensor):
                raise Unwritten(f"{schema.name} writes into several tensors")
            op = _functional(func)
            self._write_into(writes[0])
        elif func in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
            op = torch.ops.aten.reshape.default  # other values may lie otherwise in memory
        result = func(*args, **kwargs)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        outs = [self._add(item) if isinstance(item, Tensor) else None for item in outputs]
        name = schema.name.removeprefix("aten::")
        name = name if name.endswith("__") else name.rstrip("_")
        self.steps.append(Step(name, op, read_args, read_kwargs, tuple(outs), not isinstance(result, tuple | list)))
        return result

    def _write_into(self, tensor: Tensor) -> None:
        """Keep what is in a piece of memory; after the write only what was written through may be read."""
        memory = _memory(tensor)
        for index in self.sharing.pop(memory, []) if self.keep else ():
            self.values[index] = self.values[index].clone()  # stays readable for whoever runs from there
        self.written[memory] = set()

    def _read(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            if id(item) in self.numbers:
                return Ref(self.numbers[id(item)])
            self.kept.append(item)
            return item
        if isinstance(item, dict):
            return {name: self._read(part) for name, part in item.items()}
        if isinstance(item, list | tuple):
            return type(item)(self._read(part) for part in item)
        return item


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bound(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Pair each argument of a schema with what was given for it."""
    pairs = list(zip(schema.arguments, args, strict=False))
    return pairs + [(argument, kwargs[argument.name]) for argument in schema.arguments if argument.name in kwargs]


def _functional(func: Any) -> Any:
    """Return the operation that gives what another writes in place."""
    namespace, name = func._schema.name.split("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    found = None if packet is None or not name.endswith("_") else getattr(packet, func._overloadname, None)
    if found is None:
        raise Unwritten(f"{func._schema.name} writes in place")
    return found


def _merged(one: Step, two: Step) -> Step:
    """Write a step of the run on one picture so that it holds for any number."""
    if one.op is not two.op or one.outs != two.outs:
        raise Unwritten("the network does other things with two pictures than with one")
    return Step(one.name, one.op, _grown(one.args, two.args), _grown(one.kwargs, two.kwargs), one.outs, one.single)


def _grown(one: Any, two: Any) -> Any:
    if isinstance(one, Tensor):
        if not isinstance(two, Tensor) or one.shape != two.shape:
            raise Unwritten("the network makes a tensor that grows with the batch")
        if one is not two and not torch.equal(one, two):
            raise Unwritten("the network makes other numbers each time it is run")
        return one
    if isinstance(one, Mapping):
        return {name: _grown(part, two[name]) for name, part in one.items()}
    if isinstance(one, list | tuple):
        if type(one) is not type(two) or len(one) != len(two):
            raise Unwritten("the network does other things with two pictures than with one")
        return type(one)(_grown(part, other) for part, other in zip(one, two, strict=True))
    if type(one) is int and type(two) is int and one > 0 and two == 2 * one:
        return Sized(one)
    if isinstance(one, float) and isinstance(two, float) and one != one and two != two:
        return one
    if one != two:
        raise Unwritten("the network does other things with two pictures than with one")
    return one
