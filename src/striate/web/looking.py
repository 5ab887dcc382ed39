"""Ask a lens what a page wants to know: words to arguments, the result to what can be shown. Computes nothing."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from striate import registry
from striate.errors import OptionError
from striate.registry import LensInfo, Option
from striate.results import Heatmap, Result
from striate.results.drawn import Drawing

if TYPE_CHECKING:
    from striate.network import Network
    from striate.web.house import House

__all__ = ["Ask", "Kept", "identity", "is_lens_quick", "is_quick", "look", "options_of"]

PICTURES = 16  # in one question

Plain = bool | int | float | str

# Answered while the page waits; whatever is not here, and was not quick before, becomes a job.
_QUICK = frozenset(
    "activations arithmetic connectivity filters grad_cam input_x_gradient neighbours patches predictions "
    "receptive_field saliency similar_units strongest_units unit_card".split()
)
_PATIENCE = 1.0  # seconds that a page may wait


class Ask(BaseModel):
    """What to look at, and how."""

    lens: str = Field(description="name, as in `GET /api/lenses`", max_length=100)
    picture: str | None = Field(None, description="id of a picture")
    pictures: list[str] = Field([], description="ids of several", max_length=PICTURES)
    target: list[str] | str = Field([], description="addresses: class:NAME, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN")
    options: dict[str, Plain | list[Plain] | None] = Field({}, description="of the lens, by name")
    other: bool = Field(False, description="ask the second network")
    epoch: int | None = Field(None, description="ask the network as it was after this epoch")

    @property
    def ids(self) -> list[str]:
        """Ids of all pictures."""
        return [*([] if self.picture is None else [self.picture]), *self.pictures]


@dataclass(frozen=True, eq=False)
class Kept:
    """A result, and what is shown of it.

    Attributes:
        id: to ask for it by.
        ask: what was asked.
        result: as the lens gave it.
        drawings: of it.
    """

    id: str
    ask: Ask
    result: Result
    drawings: list[Drawing]

    @property
    def bytes(self) -> int:
        """Room that it takes, about."""
        return sum(int(one.pixels.nbytes) for one in self.drawings) + sum(
            int(array.nbytes) for array in self.result.arrays().values()
        )

    def numbers(self) -> Any:
        """Return its numbers, of large arrays only what they are."""
        return _brief(self.result.numbers())

    def trust(self) -> dict[str, Any] | None:
        """Say how the result can be checked, where it says something of that itself."""
        if not isinstance(self.result, Heatmap):
            return None
        sentence = " ".join(filter(None, (self.result.trust(index) for index in range(len(self.result)))))
        return {"sentence": sentence, "doubt": False, "numbers": {}} if sentence else None


def identity(house: House, ask: Ask) -> str:
    """Return the id of what a question gives: the same question has the same."""
    network = house.asked(ask.other, ask.epoch)
    plain = json.dumps([house.mark, network.weights_hash, ask.model_dump()], sort_keys=True)
    return hashlib.blake2b(plain.encode(), digest_size=8).hexdigest()


def is_lens_quick(name: str) -> bool:
    """Tell whether a page can wait for a lens, as far as is known before it was asked."""
    return name in _QUICK


def is_quick(house: House, ask: Ask) -> bool:
    """Tell whether a page can wait for the answer: by what the same took before, else by what the lens is."""
    name = ask.lens.replace("-", "_")
    took = house.seconds.get(f"{name} {json.dumps(ask.options, sort_keys=True)}")
    return name in _QUICK if took is None else took < _PATIENCE


def look(house: House, ask: Ask, network: Network) -> Kept:
    """Look through a lens.

    Args:
        house: that is looked at.
        ask: what is asked.
        network: that is asked; for a long job a twin of the network.

    Raises:
        OptionError: no such lens, or options that it does not take.
        UnknownError: no such picture.
        StriateError: what the lens has to say.
    """
    info = registry.describe(ask.lens)
    chosen = options_of(house, info, ask, network)
    chosen |= _given(house, info, ask, network)
    result: Result = registry.function(info.name)(network, **chosen)
    name = f"{info.name} {json.dumps(ask.options, sort_keys=True)}"
    if len(house.seconds) > 1000:
        house.seconds.clear()
    house.seconds[name] = result.recipe.seconds
    kept = Kept(identity(house, ask), ask, result, result.drawings())
    house.results.keep(kept.id, kept)
    return kept


def _given(house: House, info: LensInfo, ask: Ask, network: Network) -> dict[str, Any]:
    """Return pictures, target and atlas as the lens takes them."""
    given: dict[str, Any] = {}
    ids = ask.ids
    if "images" in info.needs and ids:
        given["images"] = house.looked_at(ids, network)
    if "images" in info.required and not ids:
        raise OptionError(f"{info.name} looks at a picture. Give the id of one (picture).")
    addresses = [ask.target] if isinstance(ask.target, str) else ask.target
    if info.target is not None and addresses:
        if len(addresses) > 1 and not info.target.many:
            raise OptionError(f"{info.name} takes one address, got {len(addresses)}: {', '.join(addresses)}.")
        given["target"] = addresses[0] if len(addresses) == 1 else addresses
    elif info.target is not None and info.target.required:
        raise OptionError(f"{info.name} needs an address, such as class:0 or LAYER:CHANNEL.")
    if "atlas" in info.needs:
        own = house.atlas is not None and not ask.other and ask.epoch is None
        if own:
            given["atlas"] = house.atlas
        elif "atlas" in info.required:
            raise OptionError(
                f"{info.name} looks into an atlas of the network, and there is none: striate serve --atlas."
            )
    return given


def options_of(house: House, info: LensInfo, ask: Ask, network: Network) -> dict[str, Any]:
    """Read the options as the signature of the lens says."""
    known = {option.name: option for option in info.options}
    chosen: dict[str, Any] = {}
    for name, value in ask.options.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" It has {', '.join(known) or 'none'}."
            raise OptionError(f"{info.name} has no option {name!r}.{hint}")
        if value is None or value == "":
            continue
        option = known[name]
        values = value if isinstance(value, list) else [value]
        if option.names_files:  # nothing on the disk can be named from outside: it is the id of a picture
            chosen[name] = house.looked_at([str(one) for one in values], network)
            continue
        if len(values) > 1 and not option.many:
            raise OptionError(f"{name} is one value, got {len(values)}.")
        read = [_read(option, one) for one in values]
        if read:
            chosen[name] = read if isinstance(value, list) and option.many else read[0]
    if missing := [option.name for option in info.options if option.required and option.name not in chosen]:
        raise OptionError(f"{info.name} needs {missing[0]}.")
    return chosen


def _read(option: Option, value: Plain) -> Plain:
    """Read one value of an option.

    Raises:
        OptionError: it is none of what the option takes.
    """
    found = option.parse(str(value))
    if isinstance(found, float) and not math.isfinite(found):
        raise OptionError(f"{option.name} is a number, got {value}.")
    return found


def _brief(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"shape", "dtype", "base64"}:
            return {"shape": value["shape"], "dtype": value["dtype"]}
        return {str(key): _brief(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_brief(one) for one in value]
    return value
