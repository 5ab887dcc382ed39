"""The command line: parse, call the library, show. Computes nothing, and imports no torch to give help.

    striate look SOURCE PICTURE... --out DIR     what a network sees and why, as a report
    striate NAME SOURCE PICTURE...               one lens; `striate lens NAME` is the same
    striate again FILE SOURCE PICTURE...         make a saved result again
    striate atlas build SOURCE FOLDER --out DIR  see a whole data set once; `striate atlas show DIR`
    striate features SOURCE FOLDER --out DIR     keep what layers give for every picture, for classifiers
    striate train FOLDER --net NAME --out RUN    train a network on a folder of pictures
    striate transfer FOLDER --out RUN            use a trained network for other pictures
    striate lesson standardize                   an experiment of the lectures
    striate compare-first-layers FOLDER          filters by hand, random, of k-means and learned
    striate rank-nets FOLDER --out DIR           which architecture is worth training, by random weights
    striate trust SOURCE PICTURE... --lens NAME  how far to believe what lenses show
    striate check FOLDER                         what is in a folder of pictures, before training
    striate augment FOLDER --augment WORDS       what augmentation does to these pictures
    striate curves RUN...                        learning curves, and whether it over-fits
    striate evaluate RUN [FOLDER]                how good it is: confusions, classes, calibration
    striate report RUN                           all of that and why, as one page
    striate layers SOURCE                        the table of layers
    striate size LENGTH --kernel N               how large the output of a kernel is
    striate cost CxHxW --filters N --kernel N    what a layer costs, three ways
    striate kernels PICTURE                      kernels by hand on a picture
    striate serve SOURCE                         the microscope: all of that live, as a page in the browser
    striate export SOURCE --out FOLDER           the microscope as files that open without a server
    striate demo                                 `look` at four photographs that come along, and serve them

Errors whose text is for users are printed without traceback after "error:", with exit status 2; Ctrl-C is
answered with "stopped" and 130. Anything else that escapes is a bug, and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

import click

from striate import __version__, progress, registry
from striate.cli.again import again
from striate.cli.atlas import atlas
from striate.cli.augment import augment
from striate.cli.check import check
from striate.cli.compare_first_layers import compare_first_layers
from striate.cli.cost import cost
from striate.cli.curves import curves
from striate.cli.demo import demo
from striate.cli.evaluate import evaluate
from striate.cli.export import export
from striate.cli.features import features
from striate.cli.kernels import kernels
from striate.cli.layers import layers
from striate.cli.lens import command_of, lens
from striate.cli.lesson import lesson
from striate.cli.look import look
from striate.cli.rank_nets import rank_nets
from striate.cli.report import report
from striate.cli.serve import serve
from striate.cli.size import size
from striate.cli.train import train
from striate.cli.transfer import transfer
from striate.cli.trust import trust
from striate.errors import Stopped, StriateError
from striate.memory import keep_memory

__all__ = ["command", "main"]


_SECTIONS = {
    "See inside": [demo, look, lens, serve, export, trust, again],
    "A whole data set": [check, atlas, features],
    "Train and judge": [train, augment, curves, evaluate, report, lesson],
    "Transfer, and kernels without training": [transfer, rank_nets, compare_first_layers],
    "Convolution itself": [layers, size, cost, kernels],
}


class _Commands(click.Group):
    """The commands, and after them every lens by its name; the lenses are not listed a second time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(one.name), one.get_short_help_str(100)) for one in section])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name.replace("-", "_") in registry.names():
            return command_of(cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = get_close_matches(args[0].replace("-", "_"), [*self.commands, *registry.names()], n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    "striate",
    cls=_Commands,
    commands=[command for section in _SECTIONS.values() for command in section],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every lens is a command too, such as: striate saliency SOURCE PICTURE (all of them: striate lens --help). "
    "Start with: striate demo",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def striate() -> None:
    """Look inside a convolutional network: what it sees, and why it decided as it did."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after "striate"; those of this process when None.

    Returns:
        The exit status: 0, 2 after an error whose text is for users, 130 when stopped.
    """
    try:
        with progress.listen(progress.terminal(sys.stderr)):
            status = striate.main(args=arguments, prog_name="striate", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone away can still be answered
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        return _fail(_usage(error))
    except (click.Abort, KeyboardInterrupt, Stopped):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        # the reader (such as `head`) has enough; what is still buffered must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except StriateError as error:
        return _fail(str(error))


def command() -> None:
    """Run the command of this process and leave with its status."""
    keep_memory()
    sys.exit(main())


def _usage(error: click.ClickException) -> str:
    """Say what was wrong with the words typed, and where help is."""
    context = getattr(error, "ctx", None)
    where = f"\nHelp: {context.command_path} --help" if context is not None else ""
    return f"{error.format_message()}{where}"


def _fail(text: str) -> int:
    plain = bool(os.environ.get("NO_COLOR"))  # https://no-color.org
    click.echo(f"{click.style('error:', fg='red')} {text}", err=True, color=False if plain else None)
    return 2
