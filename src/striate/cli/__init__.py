"""The command line: parse, call the library, show. Computes nothing, and imports no torch to give help.

    striate look SOURCE PICTURE... --out DIR     what a network sees and why, as a report
    striate lens NAME SOURCE PICTURE...          one lens
    striate trust SOURCE PICTURE... --lens NAME  how far to believe what lenses show
    striate layers SOURCE                        the table of layers
    striate size LENGTH --kernel N               how large the output of a kernel is
    striate cost CxHxW --filters N --kernel N    what a layer costs, three ways
    striate kernels PICTURE                      kernels by hand on a picture
    striate demo                                 `look` at four photographs that come along

Errors whose text is for users are printed without traceback after "error:", with exit status 2; Ctrl-C is
answered with "stopped" and 130. Anything else that escapes is a bug, and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from striate import __version__, progress
from striate.cli.cost import cost
from striate.cli.demo import demo
from striate.cli.kernels import kernels
from striate.cli.layers import layers
from striate.cli.lens import lens
from striate.cli.look import look
from striate.cli.size import size
from striate.cli.trust import trust
from striate.errors import Stopped, StriateError
from striate.memory import keep_memory

__all__ = ["command", "main"]


@click.group(
    "striate",
    commands=[look, lens, trust, layers, size, cost, kernels, demo],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: striate demo",
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
