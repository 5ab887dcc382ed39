"""`python -m bench.transfer [--pictures 1000 ...] [--write]`: every way to use a trained network, in a table.

The first N training pictures of CIFAR-10 and the first 1,000 test pictures; EfficientNet-Lite0, trained on ImageNet:
heads on its features, fine-tuning in stages, and the same architecture from random weights. One call of
`striate.learn.transfer` each. With --write the tables go into docs/transfer.md; those of other numbers of pictures are
kept as they are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import striate
from bench.__main__ import machine
from bench.data import archive
from striate import keep_memory, learn
from striate.results import Transfer
from striate.results.words import seconds

__all__ = ["measured"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "transfer.md"
KEPT = ROOT / "build" / "transfer.json"
START, END = "<!-- transfer: written by python -m bench.transfer -->", "<!-- end of transfer -->"
TESTS = 1000


def measured(
    pictures: int, *, net: str, size: int | None, epochs: int, scratch: bool, out: Path, device: str
) -> tuple[Transfer, float]:
    """Transfer to some of the pictures, and return the table and the seconds of the whole."""
    with np.load(archive("cifar10"), allow_pickle=False) as read:
        names = [str(name) for name in read["class_names"]]
        train = read["x_train"][:pictures], read["y_train"][:pictures]
        test = read["x_test"][:TESTS], read["y_test"][:TESTS]
    source = out / "pictures.npz"
    out.mkdir(parents=True, exist_ok=True)
    np.savez(source, x_train=train[0], y_train=train[1], x_val=test[0], y_val=test[1], class_names=np.array(names))
    network = striate.load(net, device=device)
    if size is not None:
        network.spec = network.spec.changed(height=size, width=size, resize=None)
    began = time.perf_counter()
    found = learn.transfer(network, source, out=out / "run", tune=True, scratch=scratch, epochs=epochs)
    return found, time.perf_counter() - began


def markdown(found: Transfer, pictures: int, net: str, size: int, whole: float) -> str:
    """Write one table."""
    lines = [
        f"### {pictures:,} pictures of CIFAR-10, {net} at {size} x {size}",
        "",
        f"{' '.join(found.sentences())} Everything took {seconds(whole)}.",
        "",
        "| way | right | standard error | time | weights learned |",
        "|---|---|---|---|---|",
    ]
    for way, row in zip(found.ways, found.table(), strict=True):
        name = f"**{row[0]}**" if way is found.best else row[0]
        lines.append(f"| {' | '.join((name, *row[1:]))} |")
    return "\n".join([*lines, "", found.caption(), ""])


def main() -> int:
    """Do what is asked for, and print each table."""
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description="Every way to use a trained network.")
    parser.add_argument("--pictures", nargs="+", type=int, default=[1000], help="to learn from")
    parser.add_argument("--net", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, help="side of the network's input")
    parser.add_argument("--epochs", type=int, default=5, help="of each stage; three times as many from random weights")
    parser.add_argument("--no-scratch", action="store_true", help="without training from random weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="where everything is kept, to go on with")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/transfer.md")
    options = parser.parse_args()
    keep_memory()
    print(machine(), flush=True)
    tables: dict[str, str] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    for pictures in options.pictures:
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) if options.out is None else options.out / str(pictures)
            found, whole = measured(
                pictures, net=options.net, size=options.size, epochs=options.epochs,
                scratch=not options.no_scratch, out=out, device=options.device,
            )  # fmt: skip
        side = options.size or found.recipe.input["height"]
        text = markdown(found, pictures, options.net, side, whole)
        print(f"\n{text}", flush=True)
        tables[f"{pictures:06}-{options.net}-{side:04}"] = f"{text}\n{machine()}\n"
    if options.write:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(tables, indent=1), "utf-8")
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(START)
        _, _, after = rest.partition(END)
        PAGE.write_text(
            f"{before}{START}\n\n{chr(10).join(tables[key] for key in sorted(tables))}\n{END}{after}", "utf-8"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
