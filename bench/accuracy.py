"""`python -m bench.accuracy [RECIPE...] [--seeds 3] [--write]`: train the recipes whole, and say what they reach.

Every seed is one training by `striate.learn.fit` on all training pictures, without validation; the network after the
last epoch is asked about every test picture as it is, and, where the recipe says so, in several views (mirrored, moved
by a pixel) whose logits are averaged; both accuracies are given. No epoch is chosen by the test pictures. With --write
the figures go into docs/training.md, with those of a recipe that was not run now kept as they are. `--set epochs=8
rate=0.1` tries other settings, and writes nothing.

On a machine with a GPU the same command trains on it; --device cpu keeps to the processor. --fresh makes every seed a
process of its own and counts from its start to the evaluated network, as somebody who types a command feels it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from ast import literal_eval
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from bench.__main__ import machine
from bench.data import archive, part
from striate import dataset, keep_memory, learn
from striate.learn import recipes

__all__ = ["Result", "trained"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "training.md"
KEPT = ROOT / "build" / "accuracy.json"
START, END = "<!-- accuracy: written by python -m bench.accuracy -->", "<!-- end of accuracy -->"
DATA = {"fast-cifar": "cifar10", "fast-fashion": "fashion-mnist", "fast-mnist": "mnist"}
TITLES = {"cifar10": "CIFAR-10", "fashion-mnist": "Fashion-MNIST", "mnist": "MNIST"}


@dataclass(frozen=True)
class Result:
    """One training.

    Attributes:
        seed: of first weights, order and augmentation.
        accuracy: on the test pictures in the views of the recipe, in percent.
        training: seconds of `fit`.
        evaluation: seconds of the evaluation.
        whole: seconds from the start of the process to the evaluated network; None where the process had more to do.
        plain: accuracy on the test pictures as they are, where the recipe has several views.
    """

    seed: int
    accuracy: float
    training: float
    evaluation: float
    whole: float | None = None
    plain: float | None = None


def trained(name: str, seed: int, *, device: str, quick: bool = False, **changes: Any) -> Result:
    """Train a recipe whole, and ask it about the test pictures."""
    recipe = recipes.recipe(name).changed(seed=seed, share=0.0, monitor="last", **changes)
    path = part(DATA[recipe.name], 3_000) if quick else archive(DATA[recipe.name])
    if quick:
        recipe = recipe.changed(epochs=1)
    train, test = dataset.open(path, part="train"), dataset.open(path, part="test")
    network = learn.start(recipe.net, classes=10, seed=seed)
    network.to(torch.device(device))
    started = time.perf_counter()
    learn.fit(network, train, **recipe.settings.to_dict())
    over = time.perf_counter()
    table = learn.evaluate(network, test, views=recipe.views)
    done = time.perf_counter()
    plain = None if recipe.views == "one" else _accuracy(learn.evaluate(network, test))
    return Result(seed, _accuracy(table), over - started, done - over, plain=plain)


def _accuracy(table: learn.Evaluation) -> float:
    return 100 * float((np.asarray(table.predictions) == np.asarray(table.labels)).mean())


def main() -> int:
    """Train what is named, or all; print each training and the means."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description="Train the recipes, and test them.")
    parser.add_argument("names", nargs="*", choices=[*DATA, []], metavar="RECIPE", help=f"of {', '.join(DATA)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the recipe")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--fresh", action="store_true", help="each seed in a process of its own")
    parser.add_argument("--quick", action="store_true", help="one epoch of few pictures, to try it; nothing is written")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/training.md")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    changes = dict(_change(text) for text in options.set)
    if options.json:  # the inner process of --fresh
        keep_memory()
        found = trained(options.names[0], options.first, device=options.device, quick=options.quick, **changes)
        print(json.dumps(asdict(found)))
        return 0
    keep_memory()
    print(machine(), flush=True)
    holds = True
    for name in options.names or DATA:
        results = []
        for seed in range(options.first, options.first + options.seeds):
            if options.fresh:
                results.append(_fresh(name, seed, options))
            else:
                results.append(trained(name, seed, device=options.device, quick=options.quick, **changes))
            print(f"  {name}, seed {seed}: {_words(results[-1])}", flush=True)
        mark = recipes.recipe(name).mark
        mean = fmean(result.accuracy for result in results)
        holds &= mean >= mark
        verdict = "holds" if mean >= mark else "DOES NOT HOLD"
        print(f"{name}: mean {mean:.2f} % of {len(results)} (mark {mark:g} %: {verdict})", flush=True)
        if options.write and not options.quick and not changes:
            _write(name, results, options.device)
    return 0 if holds or options.quick else 1


def _fresh(name: str, seed: int, options: argparse.Namespace) -> Result:
    command = [sys.executable, "-m", "bench.accuracy", name, "--first", str(seed), "--json", "--device", options.device]
    command += ["--quick"] * options.quick + (["--set", *options.set] if options.set else [])
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    whole = time.perf_counter() - started
    return Result(**{**json.loads(done.stdout.strip().splitlines()[-1]), "whole": whole})


def _change(text: str) -> tuple[str, Any]:
    """Read "rate=0.1" or "optimizer=adam"."""
    name, sign, value = text.partition("=")
    if not sign:
        raise SystemExit(f"{text!r} is no setting: write it as rate=0.1")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _words(result: Result) -> str:
    whole = "" if result.whole is None else f", {result.whole:.1f} s from the command to the evaluated network"
    plain = "" if result.plain is None else f" ({result.plain:.2f} % in one view)"
    took = f"{result.training:.1f} s of training, {result.evaluation:.2f} s of testing{whole}"
    return f"{result.accuracy:.2f} %{plain}, {took}"


# --- the page


def _write(name: str, results: list[Result], device: str) -> None:
    """Keep the results, and put the table of all that are kept into the page."""
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    where = "cuda" if device.startswith("cuda") else "cpu"
    kept[f"{name} {where}"] = {"machine": machine(), "results": [asdict(result) for result in results]}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1), "utf-8")
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n\n{_table(kept)}\n{END}{after}", "utf-8")


def _table(kept: dict[str, Any]) -> str:
    lines = [
        "| pictures | recipe | epochs | views | accuracy of each seed | mean | mark | one view | training | where |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    machines: dict[str, int] = {}
    for key, entry in sorted(kept.items()):
        name = key.split()[0]
        recipe = recipes.recipe(name)
        results = [Result(**result) for result in entry["results"]]
        accuracies = [result.accuracy for result in results]
        spread = f" ± {stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        seconds = fmean(result.training for result in results)
        took = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        plain = [result.accuracy if result.plain is None else result.plain for result in results]
        seeds = ", ".join(f"{result.accuracy:.2f} % ({result.seed})" for result in results)
        number = machines.setdefault(entry["machine"], len(machines) + 1)
        lines.append(
            f"| {TITLES[DATA[name]]} | `{name}` | {recipe.settings.epochs} | {recipe.views} | {seeds} "
            f"| **{fmean(accuracies):.2f} %**{spread} | {recipe.mark:g} % | {fmean(plain):.2f} % | {took} | {number} |"
        )
    return "\n".join([*lines, "", *(f"{number}. {text}" for text, number in machines.items()), ""])


if __name__ == "__main__":
    raise SystemExit(main())
