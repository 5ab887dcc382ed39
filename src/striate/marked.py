"""Read the file that says what a folder of ours is, marked by a format. Knows no format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from striate.errors import StriateError
from striate.files import one_line, shown

__all__ = ["read_marked"]


def read_marked(
    file: Path, mark: str, *, thing: str, maker: str, anew: str, error: type[StriateError]
) -> dict[str, Any]:
    """Read a JSON object whose entry "format" is a mark.

    Args:
        file: directly in the folder.
        mark: what this version reads.
        thing: what the folder is, in words: "an atlas".
        maker: the command that makes one: "striate atlas build".
        anew: what to do where it is damaged, a sentence's words: "build it anew in another folder".
        error: what is raised.

    Raises:
        StriateError: there is none, it cannot be read, or it is of another version; of the kind `error`.
    """
    folder = file.parent
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as wrong:
        what = f"is no {thing.split(' ', 1)[1]} (it has no {file.name})" if folder.is_dir() else "does not exist"
        raise error(f"{shown(folder)} {what}. `{maker}` makes one.") from wrong
    except NotADirectoryError as wrong:
        raise error(f"{shown(folder)} is a file; {thing} is a folder.") from wrong
    except (OSError, ValueError, RecursionError) as wrong:
        raise error(f"{shown(file)} cannot be read ({one_line(wrong)}). Copy it again, or {anew}.") from wrong
    there = found.get("format") if isinstance(found, dict) else None
    if there != mark:
        raise error(
            f"{shown(file)} has the format {there!r}, where this version of Striate reads {mark!r}. "
            f"Open it with the version that wrote it, or {anew}."
        )
    return found  # type: ignore[no-any-return]  # a dict, as was just seen
