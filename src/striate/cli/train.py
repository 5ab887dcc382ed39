"""`striate train`: from a folder of pictures to a network worth looking into. Parses, calls the library, shows."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate import progress
from striate.cli.settings import setting_options
from striate.errors import OptionError, Stopped

if TYPE_CHECKING:
    from striate.learn.pictures.split import Split
    from striate.learn.run import Run
    from striate.network import Network

__all__ = ["train"]

_PATH = click.Path(path_type=Path)
_GOING_ON = ("time_limit", "factory", "device", "storage", "cache", "workers", "tensorboard", "validation")
_FINDING = ("optimizer", "momentum", "weight_decay", "batch", "augment", "smoothing", "frozen", "precision", "seed",
            "standardize", "share", "together")  # fmt: skip


def _size(text: str) -> int | tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if found is None or not all(int(side) for side in found.groups() if side):
        raise click.BadParameter(f"{text!r} is no size. Write one side in pixels, or height x width such as 96x128.")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _epilog() -> str:
    return (
        "FOLDER is a folder of pictures (sub-folders are classes; labels.csv is read; train and val are parts), a .csv "
        "table of files and labels, an .npz archive or an .npy array with --labels. On several processes or machines: "
        "torchrun --nproc-per-node 2 -m striate train FOLDER ..."
    )


class _Train(click.Command):
    """The command; its settings are read from the source of `Settings` when it is made."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        at = next(place for place, one in enumerate(self.params) if one.name == "device")
        self.params[at:at] = setting_options()


@click.command("train", cls=_Train, short_help="Train a network on a folder of pictures.", epilog=_epilog())
@click.argument("pictures", metavar="[FOLDER]", required=False, type=_PATH)
@click.option(
    "--net",
    metavar="NAME",
    help="What is trained: a network of Striate (cnn2, resnet20, resnet18, vgg-c, "
    "...), torchvision:NAME, timm:NAME, your own code (file.py:Class, package.module:function; called without "
    "arguments), a saved network, or the folder of a run, which gets a new last layer.",
)
@click.option(
    "--factory",
    metavar="MODULE:FUNCTION",
    help="What builds the network of a run or file of your own, with --net RUN or --resume: file.py:Class.",
)
@click.option(
    "--out",
    metavar="RUN",
    type=_PATH,
    help="The folder in which everything is kept; with --find-rate the file of the curve.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    help="A network with settings that are known to go well together: fast-cifar, "
    "fast-mnist, fast-fashion. What is said beside it holds.",
)
@click.option(
    "--size",
    type=_size,
    metavar="N|HxW",
    help="Height and width of the network's input in pixels. [default: "
    "that of small pictures that are all alike; 224 for photographs; a trained network's own]",
)
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    metavar="N",
    help="Channels of the input. [default: 1 for grey pictures, 3 for colour]",
)
@click.option("--pretrained", is_flag=True, help="Begin with the library's trained weights, and a new last layer.")
@click.option(
    "--initial",
    metavar="RULE",
    help="How the first weights are drawn: he-normal, he-uniform, glorot-normal, "
    "glorot-uniform, lecun-normal, lecun-uniform, gaussian or pytorch. [default: what suits the network]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in --out, as if it had not been interrupted; nothing else has to be said.",
)
@click.option(
    "--find-rate",
    is_flag=True,
    help="Train nothing: draw how the loss goes while the learning rate grows, and propose a rate.",
)
@click.option(
    "--validation", metavar="FOLDER", help="Other pictures to validate on, or the name of a part of FOLDER (test)."
)
@click.option("--labels", metavar="FILE", help="A .csv table of the pictures' labels.")
@click.option(
    "--augment",
    metavar="TEXT",
    help="Vary the training pictures: none, photos, digits, small, lecture, or "
    "such as rotation=10,shift=0.1,flip. [default: none]",
)
@click.option("--device", metavar="NAME", help="Where to train: cpu, cuda, cuda:1. [default: a GPU where there is one]")
@click.option(
    "--storage",
    type=click.Choice(("auto", "memory", "disk", "stream")),
    help="Where decoded pictures are kept between epochs; changes no number. [default: auto, by their size]",
)
@click.option(
    "--cache",
    metavar="DIR",
    type=_PATH,
    help="Where decoded pictures stay on disk for later runs. [default: a temporary file]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Threads that decode pictures. [default: one for each processor]",
)
@click.option("--tensorboard", is_flag=True, help="Write RUN/tensorboard as well.")
def train(**options: Any) -> None:
    """Train a network on a folder of pictures, and keep everything in one folder.

    Where FOLDER has no part for validation, a share of each class is set aside and written to RUN/split.csv; the
    network is never validated on pictures that it learns from. One line is printed for each epoch. Stopped by Ctrl-C
    or in any other way, the same command with --resume goes on; at most the epoch that was under way is lost.
    """
    # only what was typed is passed on: the defaults stand in the library alone
    given = {name: value for name, value in options.items() if value is not None and value != () and value is not False}
    for name in ("optimizer_options", "groups", "schedule_options"):
        if name in given:
            given[name] = dict(given[name])
    if isinstance(weights := given.get("class_weights"), tuple) and isinstance(weights[0], str):
        given["class_weights"] = weights[0] if len(weights) == 1 else weights
    if "resume" in given and "find_rate" in given:
        raise click.UsageError("--find-rate trains nothing, so there is nothing to --resume: leave one of them out.")
    told: tuple[str, ...] = ()
    if given.pop("resume", False) and "pictures" not in given:
        run = _go_on(given)
    elif given.pop("find_rate", False):
        _find(given)
        return
    else:
        run, told = _begin(given, resume=bool(options["resume"]))
    if _speaks():
        _say_end(run, told)


def _speaks() -> bool:
    """Whether this is the one of the processes that torchrun starts which says something."""
    return os.environ.get("RANK", "0") == "0"


def _tell(words: str) -> None:
    if _speaks():
        click.echo(words, err=True)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _need(given: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in given:
            what = "argument 'FOLDER'" if name == "pictures" else f"option '{_flag(name)}'"
            raise click.UsageError(f"Missing {what}.", click.get_current_context(silent=True))


def _go_on(given: dict[str, Any]) -> Run:
    """Go on with a run from its folder alone."""
    _need(given, "out")
    if strange := [name for name in given if name not in ("out", *_GOING_ON)]:
        raise OptionError(
            f"{', '.join(map(_flag, strange))}: a run goes on with the settings that it has (in settings.json), so "
            "this would be ignored. Leave it out, or begin another run in another folder."
        )
    from striate.learn.loop import resume

    return _followed(lambda: resume(given.pop("out"), **given))


def _begin(given: dict[str, Any], *, resume: bool) -> tuple[Run, tuple[str, ...]]:
    """Make the network that is asked for, and train it; return also which of the run's notes were told before."""
    _need(given, "pictures", "out", *(() if "recipe" in given else ("net",)))
    from striate.learn.folder import Folder

    if not resume and _speaks():
        Folder(given["out"]).check_free()  # said before pictures are looked at
    network, parts, settings = _prepared(given)
    from striate.learn.loop import fit

    kept = {name: given[name] for name in ("storage", "cache", "workers", "tensorboard") if name in given}
    run = _followed(lambda: fit(network, parts, out=given["out"], resume=resume, **kept, **settings))
    return run, tuple(parts.notes)


def _prepared(given: dict[str, Any]) -> tuple[Network, Split, dict[str, Any]]:
    """Return the network, the pictures and the settings that the options ask for."""
    from striate.learn.beginning import refuse_ignored
    from striate.learn.pictures.split import split
    from striate.learn.recipes import recipe
    from striate.learn.settings import Settings
    from striate.learn.starting.naming import brings_weights, smallest_side
    from striate.learn.starting.sizing import fitting
    from striate.learn.starting.start import start, usual_device

    known = set(Settings.__dataclass_fields__)
    settings: dict[str, Any] = {}
    if "recipe" in given:
        chosen = recipe(given["recipe"])
        said = {name: value for name, value in given.items() if name in known}
        settings = chosen.changed(net=given.get("net"), **said).settings.to_dict()
        for words in chosen.given_up(net=given.get("net"), **said):
            _tell(words)
        given.setdefault("net", chosen.net)
    settings |= {name: value for name, value in given.items() if name in known}
    Settings(**settings)  # what is wrong is said before pictures are looked at
    net, pretrained = given["net"], "pretrained" in given
    trained = brings_weights(net, pretrained=pretrained)
    if "standardize" not in settings:
        settings["standardize"] = "model" if trained else "channel"
    seed = settings.get("seed", 0)
    share = settings.get("share")
    parts = split(
        given["pictures"],
        given.get("validation"),
        share=0.2 if share is None else share,
        seed=seed,
        labels=given.get("labels"),
        together=settings.get("together", "near"),
    )
    refuse_ignored(parts, share, settings.get("together", "near"))
    for note in parts.notes:
        _tell(note)
    channels, size = given.get("channels"), given.get("size")
    if not trained and (channels is None or size is None):
        fits = fitting(parts.train, parts.train_indices, smallest=smallest_side(net))
        channels, size = fits.channels if channels is None else channels, fits.size if size is None else size
        if "size" not in given:
            _tell(fits.words)
    network = start(
        net,
        classes=len(parts.class_names),
        class_names=parts.class_names,
        channels=channels,
        size=size,
        pretrained=pretrained,
        initial=given.get("initial"),
        seed=seed,
        factory=given.get("factory"),
    )
    for note in network.notes:
        _tell(note)
    network.to(given.get("device", usual_device()))
    shape = f"{network.spec.channels} x {network.spec.height} x {network.spec.width}"
    _tell(f"{network.name}, input {shape}, {network.graph().parameters:,} weights, on {network.device}.")
    _tell(parts.sentence())
    return network, parts, settings


def _followed(work: Callable[[], Run]) -> Run:
    """Do the work, and print a line for each epoch."""

    def hear(event: progress.Event) -> None:
        if event.task == "training" and event.note and _speaks():
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", nl=False, err=True)  # the bar, if there is one, makes room
            click.echo(f"epoch {event.done}: {event.note}")
            sys.stdout.flush()

    try:
        with progress.listen(hear):
            return work()
    except Stopped as error:
        _tell(str(error))
        raise


def _find(given: dict[str, Any]) -> None:
    """Draw the curve of the learning-rate finder."""
    _need(given, "pictures", *(() if "recipe" in given else ("net",)))
    others = ("pictures", "net", "out", "recipe", "size", "channels", "pretrained", "initial", "validation", "labels",
              "device", "factory")  # fmt: skip
    if strange := [name for name in given if name not in (*_FINDING, *others)]:
        raise OptionError(
            f"{', '.join(map(_flag, strange))} would be ignored by --find-rate, which trains for some steps only. "
            "Leave it out."
        )
    out = given.pop("out", Path("find-rate.png"))
    from striate.results.base import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise OptionError(
            f"--out {out}: with --find-rate it is a file, and its name must end in {', '.join(SUFFIXES)}."
        )
    network, parts, settings = _prepared(given)
    from striate.learn.descent.finder import find_rate

    taken = {name: settings[name] for name in _FINDING if name in settings and name not in ("share", "together")}
    found = find_rate(network, parts, **taken)
    if _speaks():
        click.echo(found.caption())
        for note in found.recipe.notes:
            click.echo(note)
        click.echo(str(found.save(out)))


def _say_end(run: Run, told: tuple[str, ...]) -> None:
    """Say what came out, and what to type next."""
    from striate.files import shown
    from striate.learn.starting.naming import is_own
    from striate.results.words import count

    for note in run.notes:
        if note not in told:
            _tell(note)
    if skipped := run.skipped:
        names = ", ".join(name for _, name, _ in skipped[:3]) + ", ..." * (len(skipped) > 3)
        why = shown(run.path / "skipped.csv")
        _tell(f"{count(len(skipped), 'picture')} could not be read ({names}); why is in {why}.")
    click.echo(f"{run.sentence()[:1].upper()}{run.sentence()[1:]}.")
    place = shown(run.path)
    factory = run.about["network"]["factory"]
    own = f" --factory {shown(factory)}" if factory is not None and is_own(factory) else ""
    click.echo(f"Look at pictures with it:  striate look {place} PICTURE...{own}")
    click.echo(f"Curves, mistakes and why:  striate report {place}{own}")
    if not run.finished:
        click.echo(f"Go on:                     striate train --resume --out {place}{own}")
    click.echo(place)
