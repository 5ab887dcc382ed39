"""A fresh network for a set of pictures: from a name or a file, its head made for the classes. Trains nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from striate import nets
from striate.errors import NetworkError, OptionError, StriateError
from striate.files import one_line
from striate.learn.seeds import generator, number
from striate.learn.starting.heads import head_of
from striate.learn.starting.naming import LIBRARIES, is_own, named
from striate.nets import wrapped
from striate.nets.initial import Initial, initialise
from striate.nets.wrapped import PREFIX, is_ours
from striate.network import Network
from striate.results.words import count
from striate.sources import load, made_by
from striate.spec import InputSpec
from striate.zoo import BUILT_IN

__all__ = ["settle_lazy", "start", "usual_device"]

_SIDE = 128  # pixels from which on pictures are cut from larger ones, as photographs are


def start(
    net: str | os.PathLike[str],
    *,
    classes: int,
    class_names: Sequence[str] | None = None,
    channels: int | None = None,
    size: int | tuple[int, int] | None = None,
    pretrained: bool = False,
    initial: str | None = None,
    seed: int = 0,
    factory: str | Callable[[], nn.Module] | None = None,
) -> Network:
    """Make a network for a number of classes, ready to be trained.

    From a name comes a new one with random weights. From a file or the folder of a run comes what it holds; its head
    (the layer that makes the logits) is drawn anew where the classes differ, and so is everything else that does not
    fit pictures of another size. What is new is said in the notes.

    The weights depend on the name and the seed alone. PyTorch's own generator is left where it is.

    Args:
        net: "cnn1", "resnet20" or any name of `striate.nets.names()`; "timm:NAME", "torchvision:NAME"; a name without
            a library is looked up here, in torchvision and in timm, in this order; "file.py:Class" or
            "package.module:function", code of your own that makes a module without arguments; or a saved network, or
            the folder of a run.
        classes: logits.
        class_names: names of them by index.
        channels: of the pictures; what the network is usually for unless given.
        size: of the pictures, side or (height, width) in pixels; likewise.
        pretrained: begin with the trained weights of the library, and a new head.
        initial: how the first weights are drawn (see `striate.nets.initialise`); what suits the network unless given.
        seed: of the first weights.
        factory: what makes the module of a file or a run, where Striate cannot make it by itself (`striate.load`).

    Returns:
        The network, in evaluation mode with frozen weights, as `striate.load` gives one; `Network.factory` makes it
        again.

    Raises:
        NetworkError: no such network, or it cannot be made for such pictures or classes.
        OptionError: an option that makes no sense here.
        MissingExtraError: a library that is not installed.
    """
    if classes < 1 or (channels is not None and channels < 1):
        raise OptionError(f"a network needs at least one class and one channel, got {classes} and {channels}.")
    if class_names is not None and len(class_names) != classes:
        raise OptionError(f"{len(class_names)} class names for {classes} classes. Give one for each, in order.")
    if initial is not None and pretrained:
        raise OptionError("initial draws all weights anew, so nothing of the trained ones would be left. Give one.")
    sides = (size, size) if isinstance(size, int) else size
    text, notes = named(os.fspath(net), pretrained)
    own = is_own(text)
    is_file = not own and not text.startswith((PREFIX, *(f"{library}:" for library in LIBRARIES)))
    if is_file and (pretrained or initial is not None):
        option = "pretrained" if pretrained else f"initial={initial!r}"
        raise OptionError(f"{text} holds weights of its own: leave {option} out.")
    if factory is not None and not is_file:
        raise OptionError(f"factory would be ignored: {text} says by itself how it is made. Leave it out.")
    if own:
        made = _own(text, classes, channels, sides, initial, seed)
    elif is_file or pretrained:
        with _drawn_by(number(seed, "first weights")):  # building it draws weights, before those held are put in
            held = load(_built_in().get(text, text), factory=factory)
        made = _grown(held, classes, class_names, channels, sides, seed)
    else:
        made = _fresh(text, classes, channels, sides, initial, seed)
    made.class_names = None if class_names is None else tuple(class_names)
    made.notes = (*notes, *made.notes)
    made.module.eval().requires_grad_(False)
    for weight in made.module.parameters():
        if weight.dim() == 4:  # the order in which convolutions are fastest
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return made


# --- a new one


@contextmanager
def _drawn_by(value: int) -> Iterator[None]:
    """Let what draws by PyTorch's own generator draw from a seed, and leave that generator where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(value)
        yield


def _fresh(
    text: str, classes: int, channels: int | None, sides: tuple[int, int] | None, initial: str | None, seed: int
) -> Network:
    """Build a network with random weights."""
    draw = generator(seed, "first weights")
    with _drawn_by(number(seed, "first weights")):
        if not is_ours(text):
            asked = f",classes={classes}" + (f",channels={channels}" if channels is not None else "")
            network = load(f"{text}{asked}", pretrained=False)
            network.spec = _resized(network.spec, sides)
            if initial is not None:
                initialise(network.module, cast(Initial, initial), draw)
            return network
        name, _, rest = text.removeprefix(PREFIX).partition(",")
        if name == "sequential":
            network = wrapped.network(_with_classes(text, classes), spec=_wanted(channels, sides))
            rule = "glorot-uniform"
        else:
            given = _sizes(rest, channels, sides)
            network = wrapped.network(f"{PREFIX}{name},classes={classes}{given}", blank=True)
            rule = nets.design(name).initial
        initialise(network.module, cast(Initial, initial or rule), draw)
    network.notes = ()  # that it has learned nothing yet goes without saying
    return network


def _own(
    text: str, classes: int, channels: int | None, sides: tuple[int, int] | None, initial: str | None, seed: int
) -> Network:
    """Build a network by code of the user's own, and make sure that it takes such pictures and has such classes."""
    with _drawn_by(number(seed, "first weights")):
        module = made_by(text)
        spec = _resized(InputSpec() if channels is None else InputSpec(channels=channels), sides)
        network = Network(module, spec, factory=text)
        try:
            settle_lazy(network)
            logits = network(torch.zeros(1, spec.channels, spec.height, spec.width)).shape[1]
        except Exception as error:  # it is the user's code that is run
            why = str(error) if isinstance(error, StriateError) else one_line(error)
            raise NetworkError(
                f"{text} cannot be trained on pictures of {spec.channels} x {spec.height} x {spec.width} (channels x "
                f"height x width; others: --channels, --size): {why}"
            ) from error
    if logits != classes:
        raise NetworkError(
            f"{text} makes a network with {count(logits, 'output')}, and there are {classes:,} classes: it needs one "
            f"output for each. Write a function that makes it so, such as `def net(): return "
            f"{type(module).__name__}({classes})`, and name that."
        )
    if initial is not None:
        initialise(network.module, cast(Initial, initial), generator(seed, "first weights"))
    return network


def settle_lazy(network: Network) -> None:
    """Let a first picture tell lazy layers how large they are."""
    if any(is_lazy(weight) for weight in network.module.parameters()):
        network.module.eval()
        spec = network.spec
        with torch.no_grad():
            network.module(torch.zeros(1, spec.channels, spec.height, spec.width, device=network.device))


def _wanted(channels: int | None, sides: tuple[int, int] | None) -> dict[str, int]:
    found = {} if channels is None else {"channels": channels}
    return found if sides is None else {**found, "height": sides[0], "width": sides[1]}


def _sizes(rest: str, channels: int | None, sides: tuple[int, int] | None) -> str:
    """Return ",channels=1,size=28x28", from what is asked for and else from the words after a name."""
    kept = {key: value for key, _, value in (part.strip().partition("=") for part in rest.split(",")) if value}
    kept.pop("classes", None)
    if channels is not None:
        kept["channels"] = str(channels)
    if sides is not None:
        kept["size"] = f"{sides[0]}x{sides[1]}"
    return "".join(f",{key}={value}" for key, value in kept.items())


def _with_classes(text: str, classes: int) -> str:
    """Give the last dense layer of a row of layers as many units as there are classes."""
    found = re.search(r"dense\s+(\d+)(?=(\s+nobias)?\s*$)", text)
    if found is None:
        raise NetworkError(f"{text!r} does not end with a dense layer for the classes. End it with: dense {classes}.")
    return f"{text[: found.start(1)]}{classes}{text[found.end(1) :]}"


def _resized(spec: InputSpec, sides: tuple[int, int] | None) -> InputSpec:
    """Return a specification for pictures of another size, cut from larger ones in the same proportion as before."""
    if sides is None or sides == spec.size:
        return spec
    resize: int | tuple[int, int] | None = None
    if isinstance(spec.resize, int) and sides[0] == sides[1] >= _SIDE:
        resize = round(sides[0] * spec.resize / min(spec.size))
    elif spec.crop == "none":
        resize = sides if spec.resize is not None else None
    return spec.changed(height=sides[0], width=sides[1], resize=resize)


# --- one that is there, for other classes


def _grown(
    held: Network,
    classes: int,
    class_names: Sequence[str] | None,
    channels: int | None,
    sides: tuple[int, int] | None,
    seed: int,
) -> Network:
    """Make a network like one that is there for other classes, channels or pictures, and take over what fits."""
    channels = held.spec.channels if channels is None else channels
    renamed = class_names is not None and held.class_names is not None and tuple(class_names) != held.class_names
    there = held.graph().classes
    head = head_of(held) if there != classes or renamed else ()
    same = there == classes and channels == held.spec.channels and sides in (None, held.spec.size)
    if same and not renamed:
        return held
    made = _alike(held, classes, channels, sides, seed)
    own, given = made.module.state_dict(), held.module.state_dict()
    taken: dict[str, Tensor] = {}
    changed: list[str] = []
    for key, weight in own.items():
        name = key.rpartition(".")[0]
        if key not in given or (renamed and name in head):
            continue
        if given[key].shape == weight.shape:
            taken[key] = given[key]
        elif weight.dim() == 4 == given[key].dim() and _but_channels(weight) == _but_channels(given[key]):
            taken[key] = _for_channels(given[key], weight.shape[1])
            changed.append(name)
    made.module.load_state_dict(taken, strict=False)
    new = list(dict.fromkeys(key.rpartition(".")[0] for key in own if key not in taken))
    what = f"{made.name}: {len(taken)} of {len(own)} weights come from {held.name}"
    if new:
        why = (
            f"{classes:,} classes instead of {there:,}"
            if there != classes
            else "other classes"
            if renamed
            else "pictures"
        )
        what += f", new are those of {', '.join(new[:4])}{', ...' * (len(new) > 4)} ({why})"
    made.notes = (*held.notes, f"{what}.")
    if changed:
        grey = "their sum" if channels == 1 else "repeated"
        made.notes += (
            f"{changed[0]} takes {channels} channel{'s' * (channels > 1)} instead of {held.spec.channels}: its weights "
            f"are {grey}.",
        )
    made.spec = _recoloured(_resized(held.spec, sides), channels)
    return made


def _alike(held: Network, classes: int, channels: int, sides: tuple[int, int] | None, seed: int) -> Network:
    """Build the same architecture anew, with random weights."""
    made_as = held.factory or getattr(held.module, "made_as", None)
    made_as = f"timm:{made_as}" if made_as in BUILT_IN else made_as
    library = str(made_as).partition(":")[0]
    if not isinstance(made_as, str) or library not in ("striate", *LIBRARIES):
        raise NetworkError(
            f"{held.name} is made by {made_as or 'code of its own'}, which gives {held.graph().classes} classes for "
            f"{held.spec.channels} channels of {held.spec.height} x {held.spec.width}; for {classes} classes and "
            f"{channels} channels it cannot be made again. Build it so, save it (Network.save), and give that."
        )
    if library == "striate" and made_as.startswith(f"{PREFIX}sequential"):
        plain = _with_classes(made_as, classes)
    else:
        plain = made_as if library == "striate" else made_as.partition(",")[0]
    usual = channels == 3 and library != "striate"
    return _fresh(plain, classes, None if usual else channels, sides, None, seed)


def _but_channels(weight: Tensor) -> tuple[int, ...]:
    return (weight.shape[0], *weight.shape[2:])


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    """Return kernels (F, C, h, w) for another number of channels.

    For one channel their sum, which answers to grey as the whole did to the same grey in all channels; for others
    they are repeated, and weakened so that the answer stays as large.
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    count = weight.shape[1]
    return weight[:, torch.arange(channels) % count] * (count / channels)


def _recoloured(spec: InputSpec, channels: int) -> InputSpec:
    """Return a specification for another number of channels; each gets the mean of the old ones' mean and std."""
    if channels == spec.channels:
        return spec
    plain: dict[str, Any] = {
        name: (sum(values) / len(values),) for name in ("mean", "std") for values in [getattr(spec, name)]
    }
    return spec.changed(channels=channels, **plain)


def _built_in() -> dict[str, str]:
    """Return the networks that bring their weights in a package, by what makes them without."""
    return {f"timm:{name}": name for name in BUILT_IN}


def usual_device() -> str:
    """Return where a network is trained unless said otherwise: on a GPU that torch can use, where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
