"""Run the command line as `python -m striate`."""

from __future__ import annotations

from striate.cli import command

if __name__ == "__main__":
    command()
