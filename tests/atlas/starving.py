"""Build an atlas on a disk that is too small, and say what happened and what is there then.

python starving.py FOLDER DISK
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.small import contents, network
from striate import atlas
from striate.errors import StriateError


def main(folder: Path, disk: Path) -> None:
    """Leave less and less room, until a build fails."""
    out, ballast = disk / "atlas", disk / "ballast"
    atlas.build(network(), folder, out, layers=["0"])
    before = contents(out)
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    ballast.write_bytes(bytes(max(room - size // 2, 0)))
    said = {"kind": "", "error": "it fitted"}
    try:
        atlas.build(network(), folder, out, layers=["0", "2", "4"])
    except StriateError as error:
        said = {"kind": type(error).__name__, "error": str(error)}
    same = contents(out) == before and len(atlas.open(out)) == 300
    ballast.unlink()
    resumed = atlas.build(network(), folder, out, layers=["0", "2", "4"]).layers == ("0", "2", "4")
    print(json.dumps({**said, "same": same, "resumed": resumed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
