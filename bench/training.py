"""Training against Keras, a loop as torchvision's reference has it, and the bare steps; each in its own process.

On a machine with a GPU all of them train on it: `python -m bench training`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch

from bench.measure import Claim, Table
from bench.trainers import Measured
from striate.dataset.batches import processors

__all__ = ["run"]

ROOT = Path(__file__).resolve().parents[1]
AGAINST_PEERS, AGAINST_TUNED, AGAINST_BARE = 2.0, 1.0, 0.95
EPOCHS = {"digits": 5, "photographs": 3}
COUNTS = {"digits": 60_000, "photographs": 5_000}
QUICK_COUNTS = {"digits": 6_000, "photographs": 96}
TRIED = {"digits": 12_000, "photographs": 192}  # pictures with which a trainer's settings are chosen
LONGEST = 1_800  # seconds; a peer that takes longer on a trial is left out
WORDS = {
    "digits": "cnn2 on the 60,000 digits of MNIST, batches of 128, Adam",
    "photographs": "ResNet-18 (224 x 224) on 5,000 JPEG photographs of about 256 x 350 in ten classes, batches of 32, "
    "SGD with momentum, random resized crops and flips",
}


def run(*, quick: bool = False) -> Table:
    """Train both networks by all trainers, one after the other."""
    table = Table(
        "Training",
        f"{WORDS['digits']}; {WORDS['photographs']}. The same network, pictures, optimiser, batches and epochs for "
        "all, each in a process of its own, nothing beside it. Seconds are of the whole training, with what it takes "
        "to decode and to compile; an epoch is the mean of those after the first. The bare steps are forward, backward "
        "and optimiser on tensors that lie ready, at the settings that `fit` chooses. Peers at their best: the fastest "
        "of several settings in a short trial (Keras: backend, bfloat16, order of memory, loading processes; the loop: "
        "bfloat16 and channels last, loading processes).",
        ("training", "trainer", "settings", "seconds", "an epoch", "pictures/s", "accuracy %"),
    )
    for name in EPOCHS:
        _one(table, name, quick=quick)
    return table


def _one(table: Table, name: str, *, quick: bool) -> None:
    count = QUICK_COUNTS[name] if quick else COUNTS[name]
    epochs = 2 if quick else EPOCHS[name]
    found: dict[str, Measured] = {}

    def measure(label: str, trainer: str, variants: list[str]) -> None:
        variant = variants[0] if quick or len(variants) == 1 else _fastest(name, trainer, variants)
        measured = _measured(name, trainer, variant, count, epochs)
        if measured is not None:
            found[label] = measured
            each = _epoch(measured)
            cells = f"{measured.seconds:.1f}", f"{each:.1f}", f"{count / each:,.0f}", f"{measured.accuracy:.1f}"
            table.rows.append((name, label, variant.replace("-", ", "), *cells))

    workers = ["0"] if name == "digits" else [str(count) for count in sorted({0, processors()})]
    loading = [str(count) for count in sorted({0, processors()}, reverse=True)]
    measure("Striate", "striate", ["as it comes"])
    for backend, orders in (("torch", ("last", "first")), ("jax", ("last",))):
        kinds = [(numbers, order) for numbers in ("float32", "bfloat16") for order in orders]
        variants = [f"{backend}-{numbers}-{order}-{count}" for numbers, order in kinds for count in workers]
        measure(f"Keras, {backend}", "keras", variants)
    measure("reference loop, at its best", "reference", [f"best-{count}" for count in loading])
    measure("reference loop, as users run it", "reference", [f"plain-{loading[0]}"])
    ours = found["Striate"]
    bare = median(ours.bare)
    table.rows.append((name, "bare steps", "as Striate", "", f"{bare:.1f}", f"{count / bare:,.0f}", ""))
    for words, labels, limit in (
        ("Keras, the faster backend", [label for label in found if label.startswith("Keras")], AGAINST_PEERS),
        ("the reference loop as users run it", ["reference loop, as users run it"], AGAINST_PEERS),
        # it then does the same arithmetic in the same kernels: only decoding and feeding are left to gain
        ("the reference loop at its best", ["reference loop, at its best"], AGAINST_TUNED),
    ):
        peers = [found[label] for label in labels if label in found]
        if peers:
            whole, later = min(peer.seconds for peer in peers), min(_epoch(peer) for peer in peers)
            text = f"{name}: {words}, times our seconds (whole training {whole / ours.seconds:.2f}, an epoch"
            text += f" {later / _epoch(ours):.2f}); the smaller"
            value = min(whole / ours.seconds, later / _epoch(ours))
            table.claims.append(Claim(text, value, limit, at_most=False))
    text = f"{name}: share of the bare forward, backward and step"
    table.claims.append(Claim(text, bare / _epoch(ours), AGAINST_BARE, at_most=False))


def _epoch(measured: Measured) -> float:
    """Return the mean seconds of an epoch after the first."""
    later = measured.epochs[1:] or measured.epochs
    return sum(later) / len(later)


def _fastest(name: str, trainer: str, variants: list[str]) -> str:
    """Return the variant with the shortest second epoch on few pictures."""
    tried = {variant: _measured(name, trainer, variant, TRIED[name], 2) for variant in variants}
    seconds = {variant: _epoch(measured) for variant, measured in tried.items() if measured is not None}
    return min(seconds, key=seconds.__getitem__) if seconds else variants[0]


def _measured(name: str, trainer: str, variant: str, count: int, epochs: int) -> Measured | None:
    """Train in a process of its own; None, and a line that says why, where that fails."""
    command = [sys.executable, "-m", "bench.trainers", name, trainer, variant, str(count), str(epochs)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    limit = LONGEST * (1 if count <= TRIED[name] else 4)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **threads}, timeout=limit
        )
    except subprocess.TimeoutExpired:
        print(f"  {name}: {trainer} {variant} took more than {limit} s and was left out", flush=True)
        return None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"  {name}: {trainer} {variant} failed and was left out: {last}", flush=True)
        return None
    measured = Measured(**json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"  {name}: {trainer} {variant}, {count:,} pictures: {_epoch(measured):.2f} s an epoch", flush=True)
    return measured
