"""Fine-tune under torchrun; a script for `test_tuning`. Prints, of each rank, what it ended with."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import striate
from learn.striped import parts
from striate.learn.transferring.tuning import fine_tune
from striate.nets import heads
from striate.nets.joined import joined
from striate.network import Network

NAMES = ("plain", "joined")
TEXT = (
    "striate:sequential,1x9x9,conv 4 3x3 bn relu,conv 6 3x3 bn relu,dropout 0.3,conv 6 3x3 bn relu,flatten,"
    "dropout 0.3,dense 3"
)
COMMON: dict[str, Any] = {"batch": 8, "precision": "float32", "workers": 0, "epochs": 2, "rate": 0.02, "falloff": 0.9}


def made(seed: int = 0) -> striate.Network:
    """A network of four layers, with batch norm and dropout between them."""
    network = striate.load(TEXT)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.module.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2)
    return network


def begun(name: str, seed: int = 0) -> Network:
    """Return what is fine-tuned: a row of layers, or its backbone with a head of the seed."""
    if name == "plain":
        return made()
    network = made()
    head = heads.blank({"kind": "linear", "features": 6, "classes": 3})
    draw = torch.Generator().manual_seed(seed)
    for weight in head.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=draw) * 0.1)
    return joined(network, ["relu3"], head)


def main(out: Path) -> None:
    rank = int(os.environ["RANK"])
    said = {}
    for name in NAMES:
        # heads that differ from rank to rank, as those that are drawn without a seed: the first one's counts
        found = fine_tune(begun(name, seed=rank), parts(48), out=out / name, stages=2, **COMMON | {"epochs": 1})
        digest = hashlib.blake2b(digest_size=8)
        for key, value in found.network.module.state_dict().items():
            digest.update(key.encode() + value.numpy().tobytes())
        said[name] = [digest.hexdigest(), [row.accuracy for row in found.rows], found.best, found.ended]
    (out / f"rank-{rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # everything is written: now and then torch aborts while its threads are torn down, which is not asked about here
    os._exit(0)
