"""Make a saved result again from the recipe inside it. Reads no pickle, and runs nothing that a file names but lenses.

A recipe holds the lens, its options and targets, and hashes of the weights and of the pictures. Where they are the
same, so are the numbers: bit for bit on the same machine with as many threads.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

import striate
from striate import registry
from striate.atlas import open as open_atlas
from striate.errors import ImageError, NetworkError, OptionError
from striate.files import shown
from striate.images import png_text
from striate.lenses._fingerprint import fingerprint
from striate.network import Images, Network
from striate.registry import LensInfo, Option
from striate.results import Recipe, Result, encode_json
from striate.results._gallery import figure_png
from striate.results.base import RECIPE_KEY, SUFFIXES
from striate.results.words import count

__all__ = ["again", "read_recipe", "same_numbers"]

_LARGEST = 1 << 30  # bytes of a file of numbers; larger ones are not what a lens wrote
_RECIPE_ROOM = 1 << 26  # bytes of a recipe
_UNKEPT = re.compile(r"tensor( \d+( x \d+)*)?|object \w+")  # how a recipe names what it cannot hold


def again(
    path: str | os.PathLike[str],
    network: Network,
    images: Images | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    atlas_pictures: str | os.PathLike[str] | None = None,
) -> Result:
    """Make a saved result again: the same lens, options and targets on the same weights and pictures.

    Args:
        path: .png, .json or .npz, as `Result.save` wrote it.
        network: with the weights that made it.
        images: (N, C, H, W), normalised, or paths: as many as then, in the same order.
        options: those that the recipe could not hold, such as tensors.
        atlas_pictures: where the pictures of its atlas are, if they were moved since that was built.

    Returns:
        The result; its notes say where the surroundings differ (versions, device), which can change last digits.

    Raises:
        OptionError: the file holds no recipe of a lens, or options that were tensors are not given.
        NetworkError: the network has other weights, or expects other pictures.
        ImageError: the pictures are not those of the recipe.
    """
    recipe = read_recipe(path)
    name = shown(Path(path).name)
    info = registry.describe(recipe.lens)
    _check_options(recipe, info, name)
    chosen = _options(recipe, name, dict(options or {}))
    _check_network(recipe, network, name)
    if info.target is not None and recipe.target:
        target = list(recipe.target)
        chosen["target"] = target if info.target.many and len(target) > 1 else target[0]
    if recipe.pictures or "images" in info.required:
        chosen["images"] = _pictures(recipe, network, images, name)
    elif images is not None:
        raise ImageError(f"{name} was made without pictures. Leave them out.")
    if atlas_pictures is not None:
        if not chosen.get("atlas"):
            raise OptionError(f"{name} was made without an atlas, so there are no pictures of one. Leave them out.")
        chosen["atlas"] = open_atlas(chosen["atlas"], source=atlas_pictures)
    for key, then in recipe.others.items():
        _check_others(network, chosen.get(key), then, f"picture given as {key!r}", name)
    lens = registry.function(recipe.lens)
    made: Result = lens(network, **chosen)
    notes = _differences(recipe, made.recipe)
    return replace(made, recipe=replace(made.recipe, notes=(*made.recipe.notes, *notes))) if notes else made


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read the recipe of a lens's result out of the file that it was saved in.

    Raises:
        OptionError: the file is not there, is none that a result is saved in, or holds no recipe of a lens.
    """
    path = Path(path)
    name = shown(path)
    if not path.is_file():
        raise OptionError(f"{name} is no file. Give a result that a lens saved: {', '.join(SUFFIXES)}.")
    try:
        text = _recipe_text(path)
        plain = json.loads(text) if isinstance(text, str) else text
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RecursionError) as error:
        raise OptionError(
            f"{name} cannot be read ({type(error).__name__}: {error}). Was it saved by a lens?"
        ) from error
    if isinstance(plain, Mapping) and "lens" not in plain and isinstance(plain.get("results"), Mapping):
        raise OptionError(
            f"{name} is the numbers of a whole report ({count(len(plain['results']), 'result')}). A report is made "
            "again by the command that made it: striate look."
        )
    if not isinstance(plain, Mapping) or not _is_recipe(plain):
        raise OptionError(f"{name} holds no recipe: it was not saved by a lens, or another program has rewritten it.")
    recipe = Recipe.from_dict(plain)
    if recipe.lens not in registry.names():
        raise OptionError(
            f"{name} was made by {recipe.lens or 'something without a name'!r}, which is no lens. Only what a lens "
            "made can be made again from its recipe."
        )
    return recipe


def same_numbers(path: str | os.PathLike[str], result: Result) -> bool:
    """Tell whether a result is bit for bit what a file holds: arrays of .npz, numbers of .json, pixels of .png."""
    path = Path(path)
    match path.suffix.lower():
        case ".npz":
            arrays = result.arrays()
            with np.load(path, allow_pickle=False) as kept:
                return set(kept.files) - {"recipe"} == set(arrays) and all(
                    kept[key].dtype == array.dtype
                    and kept[key].shape == array.shape
                    and kept[key].tobytes() == np.ascontiguousarray(array).tobytes()
                    for key, array in arrays.items()
                )
        case ".json":
            kept_numbers = json.loads(path.read_text(encoding="utf-8"))
            kept_numbers.pop("recipe", None)
            return bool(kept_numbers == json.loads(encode_json(result.numbers())))
        case _:
            drawn = io.BytesIO(figure_png(result.figure(), {}))
            with Image.open(path) as before, Image.open(drawn) as now:
                return before.size == now.size and before.mode == now.mode and before.tobytes() == now.tobytes()


def _recipe_text(path: Path) -> Any:
    """Return the recipe as JSON text, or as what the JSON of a file holds in its place."""
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.stat().st_size:,} bytes are more than a result takes")
    match path.suffix.lower():
        case ".png":
            return png_text(path).get(RECIPE_KEY, "null")
        case ".json":
            held = json.loads(path.read_text(encoding="utf-8"))
            return held.get("recipe", held) if isinstance(held, dict) else held
        case ".npz":
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo("recipe.npy").file_size > _RECIPE_ROOM:
                    raise ValueError("its recipe claims more room than any takes")
            with np.load(path, allow_pickle=False) as arrays:
                return str(arrays["recipe"][()])
        case other:
            raise ValueError(f"{other or 'no suffix'} is not one of {', '.join(SUFFIXES)}")


def _is_recipe(plain: Mapping[str, Any]) -> bool:
    """Tell whether a mapping has the form of a recipe, entry by entry."""
    blank = Recipe().to_dict()
    return "lens" in plain and all(
        key in blank and isinstance(value, float | int if isinstance(blank[key], float) else type(blank[key]))
        for key, value in plain.items()
    )


def _check_options(recipe: Recipe, info: LensInfo, name: str) -> None:
    """Refuse what the lens does not take: of another version, or changed by hand."""
    known = list(inspect.signature(registry.function(recipe.lens)).parameters)[1:]  # the first is the network
    readable = {option.name: option for option in info.options}
    for key, value in recipe.options.items():
        if key not in known or key in ("images", "target"):
            raise OptionError(
                f"{name}: {recipe.lens} has no option {key!r}. The recipe is of Striate {recipe.version}, this is "
                f"{striate.__version__}."
            )
        fits = _fits(readable[key], value) if key in readable else key != "atlas" or _is_folder(value, info)
        if not fits:
            raise OptionError(f"{name}: {recipe.lens} cannot be given {key}={value!r}. Was the recipe changed?")
    if strange := [one for one in recipe.target if not isinstance(one, str)]:
        raise OptionError(f"{name}: {strange[0]!r} is no address. Was the recipe changed?")


def _fits(option: Option, value: Any) -> bool:
    """Tell whether a value that a recipe holds is of a type that an option takes."""
    if isinstance(value, list | tuple):
        return (option.many or _is_unkept(value)) and all(_fits(option, one) for one in value)
    if value is None:
        return "None" in option.annotation
    wanted = {"int", "float", "bool"} if isinstance(value, bool | int | float) else {"str", "choice"}
    return isinstance(value, bool | int | float | str) and (not wanted.isdisjoint(option.kinds) or _is_unkept(value))


def _is_folder(value: Any, info: LensInfo) -> bool:
    """Tell whether a value that a recipe holds can be an atlas."""
    return isinstance(value, str) or (value is None and "atlas" not in info.required)


def _options(recipe: Recipe, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a recipe, with those filled in that it could not hold."""
    unkept = [key for key, value in recipe.options.items() if _is_unkept(value)]
    if strange := [key for key in given if key not in unkept]:
        raise OptionError(
            f"{name}: the recipe holds {strange[0]!r} itself; only what it could not hold may be given "
            f"({', '.join(unkept) or 'here: nothing'})."
        )
    if missing := [key for key in unkept if key not in given]:
        key = missing[0]
        raise OptionError(
            f"{name}: the option {key!r} was given in Python as {recipe.options[key]}, which no recipe holds, so this "
            f"cannot be made again from the file alone. In Python: striate.again(..., options={{{key!r}: ...}})."
        )
    if any(_is_unkept(one) for one in recipe.target):
        raise OptionError(
            f"{name}: its target was given in Python as {recipe.target[0]}, which no recipe holds. Call the lens."
        )
    return {**recipe.options, **given}


def _is_unkept(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_unkept, value))
    return isinstance(value, str) and _UNKEPT.fullmatch(value) is not None


def _check_network(recipe: Recipe, network: Network, name: str) -> None:
    """Refuse a network that would give other numbers."""
    if not recipe.weights:
        raise OptionError(f"{name} does not say with which weights it was made. Was the recipe changed?")
    if network.weights_hash != recipe.weights:
        raise NetworkError(
            f"{name} was made with {recipe.network or 'a network'}, whose weights have the hash {recipe.weights}; "
            f"those of {network.name} have {network.weights_hash}. Give the network that made it."
        )
    expected = json.loads(encode_json(network.spec.brief()))
    differing = [key for key, value in recipe.input.items() if expected.get(key) != value]
    if differing:
        words = "; ".join(f"{key} {recipe.input[key]} then, {expected.get(key)} now" for key in differing)
        raise NetworkError(
            f"{name} was made with other pictures expected of {network.name}: {words}. Give the same "
            "(spec=, or --height, --width, --mean, --std)."
        )


def _pictures(recipe: Recipe, network: Network, images: Images | None, name: str) -> Tensor:
    """Return the pictures as a batch, after checking that they are those of the recipe."""
    then = recipe.pictures
    if images is None:
        what = count(len(then), "picture") if then else "pictures"
        raise ImageError(f"{name} was made from {what}, which it does not hold. Give {_them(len(then))}.")
    batch = network.batch(images)
    if then and len(then) != len(batch):
        raise ImageError(
            f"{name} was made from {count(len(then), 'picture')}, and {len(batch)} were given. Give {_them(len(then))}."
        )
    files = [images] if isinstance(images, str | os.PathLike) else images
    for place, before in enumerate(then):
        which = "" if isinstance(files, Tensor) else f" ({shown(Path(files[place]).name)})"
        _check_picture(batch[place], before, f"picture {place + 1}{which}", name, _them(len(then)))
    return batch


def _check_others(network: Network, given: Any, then: Sequence[str], what: str, name: str) -> None:
    """Refuse pictures given as an option that are not those of the recipe."""
    if not isinstance(then, list | tuple) or not isinstance(given, str | os.PathLike | Tensor | list | tuple):
        raise OptionError(f"{name}: there is no {what}. Was the recipe changed?")
    batch = network.batch(given)
    if len(batch) != len(then):
        raise ImageError(f"{name} was made with {len(then)} as {what}, and {len(batch)} were given.")
    for picture, before in zip(batch, then, strict=True):
        _check_picture(picture, before, what, name, _them(len(then)))


def _check_picture(picture: Tensor, before: str, what: str, name: str, them: str) -> None:
    if (found := fingerprint(picture)) != before:
        raise ImageError(
            f"{what} is not the one that {name} was made from: as the network takes it, its hash is {found}, and then "
            f"it was {before}. Give {them}."
        )


def _them(how_many: int) -> str:
    return "that picture" if how_many == 1 else "them, in the same order"


def _differences(then: Recipe, now: Recipe) -> list[str]:
    """Say what is not as it was, and can change the last digits."""
    return [
        f"Made again with {what} {after}; then it was {before}. The last digits may differ."
        for what, before, after in (
            ("Striate", then.version, now.version),
            ("PyTorch", then.torch, now.torch),
            ("the device", then.device, now.device),
        )
        if before and before != after
    ]
