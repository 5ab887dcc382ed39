"""Train under torchrun; a script for `test_ranks`. Prints, of each rank, what it ended with."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from learn.striped import network, parts, plain, tensors
from striate.learn.loop import fit
from striate.network import Network

COMMON = {"epochs": 3, "batch": 12, "precision": "float32", "workers": 0}
AGREEING = COMMON | {"optimizer": "momentum", "rate": 0.05, "monitor": "last", "clip": 0.5, "class_weights": (1, 2, 3)}
DRAWING = COMMON | {"average": 0.9, "augment": "rotation=10,mixup=0.2", "standardize": "channel"}


def digest(trained: Network) -> str:
    found = hashlib.blake2b(digest_size=8)
    for name, value in tensors(trained.module).items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def main(out: Path) -> None:
    said = {}
    for name, make, settings in (("plain", plain, AGREEING), ("drawing", network, DRAWING)):
        trained = make()
        run = fit(trained, parts(), out=out / name, **settings)
        said[name] = [digest(trained), len(run.history), list(trained.spec.mean)]
    (out / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # everything is written: now and then torch aborts while its threads are torn down, which is not asked about here
    os._exit(0)
