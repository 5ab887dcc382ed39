"""Which layers of a network learn in which stage of fine-tuning: the head, then the last ones, then all. Plans only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from striate.address import find_layer
from striate.errors import NetworkError, OptionError
from striate.learn.freezing import frozen_weights, lies_in, with_statistics
from striate.learn.starting.heads import head_of
from striate.learn.transferring.parts import Leaf, cut, leaves_of, named
from striate.nets.joined import Joined
from striate.network import Network

__all__ = ["FALLOFF", "NORMS", "Stage", "plan_stages"]

FALLOFF = 0.3
"""Rate of a part, as a share of that of the part behind it."""

NORMS = ("keep", "learn")
"""What becomes of batch norm in front of the head."""

_LISTED = 4  # names that a caption lists; of more it says the first and the last


@dataclass(frozen=True)
class Stage:
    """One stage of fine-tuning.

    Attributes:
        number: from 1.
        count: stages in all.
        name: what learns: "the head", "layer3 and on", "all".
        trained: layers (or weights) that learn, from the first to the last.
        frozen: those that do not, likewise, with what has no weights: statistics of batch norm stay as they are, and
            nothing is dropped there. What `fit` is given as `frozen`.
        still: those of them that have weights, without batch norm among layers that learn.
        rates: factor of the learning rate for layers that learn; what `fit` is given as `groups`.
        parameters: numbers that learn.
        total: numbers that could learn in the whole network.
        resting: batch norm layers that are frozen: statistics, scale and shift stay.
        moving: batch norm layers that go on gathering theirs.
    """

    number: int
    count: int
    name: str
    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    still: tuple[str, ...]
    rates: Mapping[str, float]
    parameters: int
    total: int
    resting: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    def caption(self) -> str:
        """Say in words what learns at which rate, what is frozen, and which statistics stay."""
        by_rate: dict[float, list[str]] = {}
        for name, factor in self.rates.items():
            by_rate.setdefault(factor, []).append(name)
        rates = {factor: f" (rate x {factor:.2g})" if len(by_rate) > 1 else "" for factor in by_rate}
        learning = " and ".join(f"{_some(names)}{rates[factor]}" for factor, names in by_rate.items())
        text = f"Stage {self.number} of {self.count}, {self.name}: {learning} {_verb('learn', len(self.rates))}"
        text += f", {self.parameters:,} of {self.total:,} weights. "
        if self.still:
            text += f"Frozen: {_some(self.still)}"
        else:
            text += "Frozen: batch norm alone" if self.resting else "Nothing is frozen"
        rest, move, every = len(self.resting), len(self.moving), len(self.resting) + len(self.moving)
        which = "the batch norm layer" if every == 1 else f"all {every:,} batch norm layers"
        if rest and move:
            text += f"; {rest:,} of {every:,} batch norm layers keep their statistics, the others go on gathering them"
        elif rest:
            text += f"; {which} {_verb('keep', every)} statistics, scale and shift"
        elif move:
            text += f"; {which} {_verb('go', every)} on gathering statistics"
        return f"{text}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "number": self.number,
            "count": self.count,
            "name": self.name,
            "trained": list(self.trained),
            "frozen": list(self.frozen),
            "still": list(self.still),
            "rates": dict(self.rates),
            "parameters": self.parameters,
            "total": self.total,
            "resting": list(self.resting),
            "moving": list(self.moving),
        }


def plan_stages(
    network: Network,
    count: int = 3,
    *,
    head: Sequence[str] | None = None,
    falloff: float = FALLOFF,
    norms: str = "keep",
) -> tuple[Stage, ...]:
    """Plan fine-tuning in stages: the head alone, then more and more of the last layers, at last all.

    What lies before the head is cut into parts of about equally many layers, in the order in which they run, and never
    inside a block that is bridged; each stage lets one more of them learn, from the last to the first. In the
    first stage the head learns at the full rate, later, when it is fitted, at `falloff` times that; each part at
    `falloff` times that of the part behind it. Layers that the logits do not depend on stay frozen throughout.

    Batch norm in front of the head stays as it is in all stages: trained on few pictures, statistics of small batches
    take the place of those that the features and the head were made with, and what was learned on many is lost. So it
    is with pictures of another kind too: on 2,000 of CIFAR-10, enlarged to 64 px, for which EfficientNet-Lite0 with a
    head that was fitted first is right about 58 %, three epochs of the last blocks gave 62 % with "keep" and 24 % with
    "learn". With `norms="learn"` it learns with the layers around it and goes on gathering statistics, which is worth
    trying with very many pictures, or where the head learns from the beginning.

    Dropout that lies before a layer that learns, and beside it, works on what that layer is given, and so is not
    frozen.

    Args:
        network: that is to be fine-tuned; only looked at.
        count: stages, from 1 (everything at once) on; fewer where the network has not as many parts.
        head: names of the layers that learn in the first stage; those that make the logits unless given, or the
            head that was joined to a backbone.
        falloff: rate of a part as a share of that of the part behind it, and of the head that is fitted, above 0 and at
            most 1.
        norms: "keep" or "learn", for batch norm in front of the head.

    Raises:
        NetworkError: it is not known what makes the logits (`head` says it), or nothing could learn.
        OptionError: `count`, `falloff` or `norms` makes no sense.
        AddressError: a name in `head` is no layer.

    Source: gradual unfreezing and discriminative rates: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3;
        which layers are general: Yosinski et al. 2014, arXiv:1411.1792.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise OptionError(f"stages must be a whole number from 1 on, got {count!r}.")
    if not (0 < falloff <= 1 and math.isfinite(falloff)):
        raise OptionError(f"falloff must be above 0 and at most 1, got {falloff!r}: the share of the rate behind it.")
    if norms not in NORMS:
        raise OptionError(f"norms must be {' or '.join(map(repr, NORMS))}, got {norms!r}.")
    leaves = leaves_of(network)
    names = _head(network) if head is None else _known(network, head)
    ahead = [leaf for leaf in leaves if any(lies_in(leaf.name, one) for one in names) and not leaf.unused]
    if not any(leaf.weights for leaf in ahead):
        raise NetworkError(f"head: there is no weight in {', '.join(names)} that the logits depend on.")
    first, heads = ahead[0].start, set(ahead)  # what comes behind it without weights goes with it
    ahead = [leaf for leaf in leaves if leaf in heads or (leaf.start > first and not leaf.weights and not leaf.unused)]
    body = [leaf for leaf in leaves if leaf not in set(ahead) and not leaf.unused]
    if count == 1 or not any(leaf.weights for leaf in body):
        parts = [[*body, *ahead]]
    else:
        parts = [ahead, *reversed(cut(body, network.graph(), count - 1))]
    gathering = set(with_statistics(network.module)) if norms == "keep" else set()
    kept = {leaf for leaf in body if leaf.name in gathering}
    return tuple(_stage(network, leaves, parts, kept, number, falloff) for number in range(1, len(parts) + 1))


def _head(network: Network) -> tuple[str, ...]:
    """Return what learns first: the whole head that was joined to a backbone, or what makes the logits."""
    return ("head",) if isinstance(network.module, Joined) else head_of(network)


def _known(network: Network, head: Sequence[str]) -> tuple[str, ...]:
    known = [name for name, _ in network.module.named_modules() if name]
    for name in head:
        find_layer(name, known)
    return tuple(head)


def _stage(
    network: Network,
    leaves: Sequence[Leaf],
    parts: Sequence[Sequence[Leaf]],
    kept: Set[Leaf],
    number: int,
    falloff: float,
) -> Stage:
    """Put a stage together, in which the first `number` of the parts learn, but for what is kept."""
    within = {leaf for part in parts[:number] for leaf in part}
    within |= _dropout_before(next(leaf for leaf in leaves if leaf in within), leaves)
    frozen = named([leaf for leaf in leaves if leaf not in within or leaf in kept], leaves)
    told = [leaf for leaf in leaves if (leaf.weights or leaf.unused) and leaf not in kept]
    held = frozen_weights(network.module, frozen)
    awake = {name: weight for name, weight in network.module.named_parameters() if name not in held}
    awake = {name: weight for name, weight in awake.items() if weight.is_floating_point()}
    behind = 0 if number == 1 else 1  # the head is fitted then, and a large step would only undo that
    rates = {
        name: falloff ** (place + behind)
        for place in reversed(range(number))
        for name in named([leaf for leaf in parts[place] if leaf.weights and leaf not in kept], told)
        if any(lies_in(key, name) for key in awake)  # of tied weights one name is enough to hold them all
    }
    gathering = with_statistics(network.module)
    resting = tuple(name for name in gathering if any(lies_in(name, one) for one in frozen))
    words = "the head" if number == 1 < len(parts) else "all" if number == len(parts) else f"{next(iter(rates))} and on"
    return Stage(
        number=number,
        count=len(parts),
        name=words,
        trained=tuple(rates),
        frozen=frozen,
        still=named([leaf for leaf in told if leaf not in within], told),
        rates=rates,
        parameters=sum(weight.numel() for weight in awake.values()),
        total=sum(leaf.weights for leaf in leaves),
        resting=resting,
        moving=tuple(name for name in gathering if name not in resting),
    )


def _dropout_before(first: Leaf, leaves: Sequence[Leaf]) -> set[Leaf]:
    """Return the dropout that works on what the first layer that learns is given: right before and beside it."""
    found: set[Leaf] = set()
    for leaf in reversed(leaves[: leaves.index(first)]):
        if leaf.weights or leaf.unused:
            break
        if leaf.drops and lies_in(first.holder, leaf.holder):
            found.add(leaf)
    return found


def _some(names: Sequence[str]) -> str:
    """List names; of many the first and the last."""
    if len(names) <= _LISTED:
        return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"{names[0]} to {names[-1]} ({len(names)} parts)"


def _verb(word: str, many: int) -> str:
    """Return the form of a verb for one or several."""
    return word if many != 1 else f"{word}es" if word.endswith("o") else f"{word}s"
