"""What a command or an import brings along, asked in a fresh Python: in this one other tests have imported it all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import click

__all__ = ["HEAVY", "every_command", "imported_by", "promise_light_help"]

HEAVY = frozenset({"PIL", "matplotlib", "numpy", "rich", "scipy", "skimage", "sklearn", "timm", "torch", "torchvision"})
"""Packages that nobody should wait for who only asks for help."""

_ASKING = """
import contextlib, io, json, sys
from striate.cli import main
heavy, found = set(json.loads(sys.argv[1])), {}
for words in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as complained:
        status = main(words.split())
    found[words] = [status, complained.getvalue(), bool(said.getvalue()), sorted(heavy & set(sys.modules))]
print(json.dumps(found))
"""


def imported_by(statement: str) -> set[str]:
    """Return the top-level packages that are imported once a statement has been run."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def promise_light_help(asked: Sequence[str]) -> None:
    """Make sure that words after "striate" that ask for help give it, complain of nothing and import nothing heavy.

    All in one process: what one of them imports stays there, so the first that is named is the one to look at.
    """
    command = [sys.executable, "-c", _ASKING, json.dumps(sorted(HEAVY)), json.dumps(list(asked))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {words: [0, "", True, []] for words in asked}


def every_command(command: click.Command, words: str = "") -> Iterator[str]:
    """Yield a command and all below it by the words that call them; the first is empty, the program itself."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, f"{words} {name}".strip())
