"""Where networks come from: names, saved files, weights with a factory, exported programs. Runs no pickled code."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from striate import nets
from striate.errors import NetworkError
from striate.exported import load_exported
from striate.nets import joined, wrapped
from striate.nets.lite import efficientnet_lite
from striate.network import FORMAT, Network
from striate.spec import UNKNOWN_NORMALISATION, InputSpec
from striate.zoo import BUILT_IN, built_in, timm_network, torchvision_network

__all__ = ["load", "made_by"]

ASSUMED = (
    "The file does not say what pictures the network expects: 3 x 224 x 224 from 0 to 1 is assumed, without "
    "normalisation. Give an InputSpec (spec=, or --channels, --height, --width, --mean and --std)."
)
USUAL = (
    "The file does not say what pictures the network expects: size, mean and std are those that this network is "
    "usually trained with. If they differ, give an InputSpec (spec=, or --channels, --height, --width, --mean, --std)."
)
_FORMS = (
    "a built-in name (efficientnet_lite0), timm:NAME, torchvision:NAME, striate:NAME, a saved network (.safetensors), "
    "the folder of a training run, a state dict (.pt, .pth, .safetensors) with a factory, or an exported program (.pt2)"
)


def load(
    source: str | Path,
    *,
    factory: str | Callable[[], nn.Module] | None = None,
    device: str | torch.device | None = None,
    pretrained: bool = True,
    spec: InputSpec | Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Network:
    """Load a network from wherever it is.

    Args:
        source: "efficientnet_lite0"; "timm:NAME" or "torchvision:NAME" with the weights and preprocessing of
            that library; "striate:NAME" for the lectures' networks, untrained ("striate:vgg-c,classes=10,size=64");
            a file written by `Network.save`; the folder that `striate.learn.fit` left, for its best network; a state
            dict (.pt, .pth, .safetensors), which needs `factory`; or an exported program (.pt2).
        factory: what makes the untrained module: "striate:NAME", "package.module:function", "file.py:function", or
            the function (or class) itself; called without arguments. It is never taken from a file: code
            that is run must be named by you.
        device: where the network goes; the CPU unless given.
        pretrained: False builds the architecture with random weights ("timm:", "torchvision:").
        spec: what the network expects of a picture, where the source does not say or says it wrongly; or
            only the fields of it to change.
        class_names: names by index, likewise.

    Returns:
        The network, in evaluation mode with frozen weights; `Network.notes` says what was put right.

    Raises:
        NetworkError: nothing there, not of these kinds, or weights that do not fit the architecture.
        MissingExtraError: the source needs a library that is not installed.
    """
    text = str(source)
    if text.startswith("timm:"):
        network = timm_network(text.removeprefix("timm:"), pretrained=pretrained)
    elif text.startswith("torchvision:"):
        network = torchvision_network(text.removeprefix("torchvision:"), pretrained=pretrained)
    elif wrapped.is_ours(text):
        network = wrapped.network(text, spec=spec)
    elif text in BUILT_IN:
        network = built_in(text, efficientnet_lite(text) if pretrained else None)
    else:
        network = _from_file(Path(text), factory)
    network.module.eval().requires_grad_(False)
    for weight in network.module.parameters():
        if weight.dim() == 4:  # the order in which convolutions are fastest
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    if spec is not None:
        network.spec = spec if isinstance(spec, InputSpec) else network.spec.changed(**spec)
        unsaid = {ASSUMED, USUAL, UNKNOWN_NORMALISATION} & set(network.notes)
        network.notes = tuple(note for note in network.notes if note not in unsaid)
        if unsaid and not isinstance(spec, InputSpec) and not {"mean", "std"} <= set(spec):
            network.notes += (UNKNOWN_NORMALISATION,)
    if class_names is not None:
        network.class_names = tuple(class_names)
    try:
        return network if device is None else network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch says by both that there is no such device
        first = str(error).splitlines()[0]
        raise NetworkError(
            f"the network cannot be put on {str(device)!r}: {first}. Without a GPU leave the device out."
        ) from error


def _from_file(path: Path, factory: str | Callable[[], nn.Module] | None) -> Network:
    if not path.exists():
        known = [*BUILT_IN, "timm:", "torchvision:", *(f"{wrapped.PREFIX}{name}" for name in nets.names())]
        close = [name for name in known if name == f"{wrapped.PREFIX}{path}"] or get_close_matches(
            str(path), known, n=1
        )
        hint = f" Did you mean {close[0]}?" if close else ""
        raise NetworkError(f"no network {str(path)!r}: no such file, and no built-in name.{hint} A source is {_FORMS}.")
    if path.is_dir():
        path = _trained(path)
    if path.suffix == ".pt2":
        return load_exported(path)
    if path.suffix not in (".safetensors", ".pt", ".pth", ".bin", ".ckpt"):
        raise NetworkError(f"{path}: not a kind of file that holds a network. A source is {_FORMS}.")
    metadata: dict[str, str] = {}
    notes: list[str] = []
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    else:
        state = _read_checkpoint(path, notes)
    saved = metadata.get("format") == FORMAT
    spec, names = _read_metadata(path, metadata, state) if saved else (None, None)
    made = _make(path, factory, metadata.get("factory") if saved else None)
    module = _module(made)
    found = wrapped.renamed(module, state)
    if left := [key for key in state if key not in found and len(found) < len(state)]:
        notes.append(f"{len(left)} weights of {path.name} belong to parts that are left out here (first: {left[0]}).")
    _fill(module, found, path, notes)
    name = metadata.get("name", path.stem)
    used = factory if isinstance(factory, str) else metadata.get("factory")
    used = module.made_as if isinstance(module, joined.Joined) else used
    if not saved and isinstance(made, Network):  # one of ours: what it is usually trained on is known
        return Network(module, made.spec, name=name, factory=made.factory, notes=[*notes, USUAL])
    if not saved:
        return Network(module, name=name, factory=used, notes=[*notes, ASSUMED])
    return Network(
        module,
        spec,
        names,
        name=name,
        factory=used,
        notes=notes,
    )


def _trained(folder: Path) -> Path:
    """Find the best network in the folder of a run (`striate.learn.folder` says how one lies on disk)."""
    network = folder / "network.safetensors"
    if network.is_file():
        return network
    if (folder / "settings.json").is_file():
        raise NetworkError(
            f"{folder} is a training whose first epoch is not over yet: it has no best network. Wait for it, or go on "
            "with it if it was interrupted (striate train --resume)."
        )
    raise NetworkError(f"{folder} is a folder, but not one of a training run. A source is {_FORMS}.")


def _read_metadata(
    path: Path, metadata: dict[str, str], state: dict[str, Tensor]
) -> tuple[InputSpec, list[str] | None]:
    """Read what `Network.save` wrote beside the weights, and put tied weights back."""
    try:
        state |= {key: state[other] for key, other in json.loads(metadata["shared"]).items()}
        return InputSpec.from_dict(json.loads(metadata["spec"])), json.loads(metadata["class_names"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NetworkError(
            f"{path}: what is written beside the weights cannot be read ({type(error).__name__}: {error}). "
            "Save the network anew."
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise NetworkError(
            f"{path}: cannot be read as safetensors ({error}). The file is broken or of another kind."
        ) from error


def _read_checkpoint(path: Path, notes: list[str]) -> dict[str, Tensor]:
    """Read a state dict, also from within a training checkpoint, without running code."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports bad files by many types
        if not isinstance(error, pickle.UnpicklingError) or not zipfile.is_zipfile(path):
            kind = "empty" if path.stat().st_size == 0 else "broken, or no checkpoint of PyTorch"
            raise NetworkError(f"{path}: is {kind}.") from error
        # torch's own text advises to run the code
        raise NetworkError(
            f"{path}: cannot be read without running code that is stored in it: it holds more than tensors. "
            "Save the weights alone where it was made: torch.save(model.state_dict(), path)."
        ) from error
    for key in ("state_dict", "model_state_dict", "model", "model_state", "net", "weights"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            notes.append(f"Weights were taken from the entry {key!r} of {path.name}.")
            held = held[key]
            break
    if not isinstance(held, dict) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise NetworkError(f"{path}: holds no state dict (names with tensors), but {type(held).__name__}.")
    return {str(key): value for key, value in held.items()}


def _without_prefix(
    state: dict[str, Tensor], own: dict[str, Tensor], path: Path, notes: list[str]
) -> dict[str, Tensor]:
    """Take off what wrappers put before every name (DataParallel, Lightning), while no name is the module's."""
    while not set(state) & set(own):
        first = {key.partition(".")[0] for key in state if "." in key}
        if len(first) != 1 or not all("." in key for key in state):
            break
        prefix = f"{first.pop()}."
        notes.append(f"The prefix {prefix!r} was taken off all weights of {path.name}.")
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _make(path: Path, given: str | Callable[[], nn.Module] | None, stored: str | None) -> nn.Module | Network:
    """Make the module whose weights a file holds; one of our own networks with what it expects."""
    if stored is not None and joined.is_joined(stored):
        named = given if isinstance(given, str) else None
        return joined.rebuilt(stored, lambda inner: _module(_make(path, given, inner)), named=named)
    ours = given if isinstance(given, str) else stored if given is None else None
    if ours is not None and wrapped.is_ours(ours):
        return wrapped.network(ours, blank=True)
    if given is None and stored is not None and stored.split(":")[0] in ("timm", "torchvision"):
        library, _, name = stored.partition(":")
        return (timm_network if library == "timm" else torchvision_network)(name, pretrained=False).module
    if given is None and stored in BUILT_IN:
        return efficientnet_lite(stored)
    if given is None:
        if stored is not None:
            raise NetworkError(
                f"{path} holds weights for {stored}. Code named by a file is not run: name it yourself, "
                f"striate.load({str(path)!r}, factory={stored!r}) or --factory {stored}."
            )
        raise NetworkError(
            f"{path} holds weights but not what they are for. Say how the module is made: "
            "factory='package.module:function' or 'file.py:function' (--factory on the command line)."
        )
    return made_by(given)


def made_by(factory: str | Callable[[], nn.Module]) -> nn.Module:
    """Make a module by code that the user names: "package.module:function", "file.py:Class", or the function itself.

    Raises:
        NetworkError: it cannot be imported, needs arguments, fails, or makes something else.
    """
    make = factory if callable(factory) else _imported(factory)
    if lacking := _required(make):
        last = _name(factory).strip("'").rpartition(":")[2]
        raise NetworkError(
            f"the factory {_name(factory)} needs arguments ({', '.join(lacking)}), and is called without any. Write a "
            f"function that gives them, such as `def net(): return {last}({lacking[0]}=...)`, and name that."
        )
    try:
        module = make()
    except Exception as error:
        raise NetworkError(f"the factory {_name(factory)} failed: {type(error).__name__}: {error}") from error
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise NetworkError(
            f"the factory {_name(factory)} made the class {module.__name__}, not a module of it: call it there."
        )
    if not isinstance(module, nn.Module):
        raise NetworkError(f"the factory {_name(factory)} made {type(module).__name__}, not a torch.nn.Module.")
    return module


def _required(make: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a callable cannot do without."""
    try:
        known = signature(make).parameters.values()
    except (TypeError, ValueError):  # written in C, or not known
        return []
    many = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [one.name for one in known if one.default is Parameter.empty and one.kind not in many]


def _module(made: nn.Module | Network) -> nn.Module:
    return made.module if isinstance(made, Network) else made


def _name(factory: str | Callable[[], nn.Module]) -> str:
    return repr(factory) if isinstance(factory, str) else getattr(factory, "__qualname__", repr(factory))


def _imported(text: str) -> Callable[[], Any]:
    """Import "package.module:function" or "file.py:function"."""
    place, _, name = text.rpartition(":")
    if not place or not name:
        raise NetworkError(f"{text!r} names no factory. Write package.module:function or file.py:function.")
    module: Any = None
    try:
        if place.endswith(".py"):
            module = _run_file(Path(place))
        else:
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))  # as `python -m` does, so that a user's own file is found
            module = importlib.import_module(place)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # it is the user's code that is run
        close = get_close_matches(name, [one for one in vars(module) if one[0] != "_"], n=1) if module else []
        hint = f" Did you mean {place}:{close[0]}?" if close else ""
        raise NetworkError(
            f"the factory {text!r} cannot be imported ({type(error).__name__}: {error}).{hint} "
            "Write package.module:function or file.py:function."
        ) from error
    if isinstance(found, nn.Module):
        raise NetworkError(
            f"the factory {text!r} is a module already, {type(found).__name__}: name a function that makes a new one."
        )
    if not callable(found):
        raise NetworkError(f"the factory {text!r} is {type(found).__name__}, which cannot be called.")
    factory: Callable[[], Any] = found
    return factory


def _run_file(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(specification)
    folder = str(path.resolve().parent)
    known = path.stem in sys.modules
    sys.path.insert(0, folder)  # as `python file.py` does, so that its neighbours are found
    if not known:
        sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        specification.loader.exec_module(module)
    except BaseException:
        if not known:
            del sys.modules[path.stem]
        raise
    finally:
        sys.path.remove(folder)
    return module


def _fill(module: nn.Module, state: dict[str, Tensor], path: Path, notes: list[str]) -> None:
    """Load weights that must fit exactly."""
    own = module.state_dict()
    state = _without_prefix(state, own, path, notes)
    # batch norm's counter is no weight; checkpoints made by hand often lack it
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or extra or wrong:
        parts = []
        if missing:
            parts.append(f"{len(missing)} of its {len(own)} weights are missing (first: {missing[0]})")
        if extra:
            parts.append(f"{len(extra)} in the file fit nowhere (first: {extra[0]})")
        if wrong:
            shapes = [" x ".join(map(str, held[wrong[0]].shape)) for held in (state, own)]
            parts.append(f"of other shape: {len(wrong)} (first: {wrong[0]} is {shapes[0]}, not {shapes[1]})")
        raise NetworkError(
            f"{path} does not fit {type(module).__name__}: {', '.join(parts)}. Is it the right architecture?"
        )
    if "num_batches_tracked" in "".join(own) and not any(key.endswith("num_batches_tracked") for key in state):
        notes.append(f"{path.name} lacks batch norm's counters, which do not matter here.")
    module.load_state_dict(state, strict=False)
