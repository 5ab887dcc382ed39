"""Training against Keras, a loop as torchvision's reference has it, and the bare steps; each in its own process.

On a machine with a GPU all of them train on it: `python -m bench training`. Every measurement is kept as soon as it is
made, in a file of the temporary folder: what was stopped goes on where it was, `--only cnn2` measures one of the two
networks, and `--again` measures everything anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from itertools import chain, product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from bench.data import KEPT
from bench.measure import Claim, Table
from bench.trainers import Measured
from striate.dataset.batches import processors

__all__ = ["PARTS", "run"]

ROOT = Path(__file__).resolve().parents[1]
PARTS = {"cnn2": "digits", "resnet18": "photographs"}
AGAINST_PEERS, AGAINST_TUNED, AGAINST_BARE = 2.0, 1.0, 0.95
WHOLE = {"digits": (60_000, 5), "photographs": (5_000, 3)}
"""Pictures and epochs of the training that the seconds are reckoned for."""
SHOWN = {"digits": (12_288, 6), "photographs": (256, 3)}
"""Pictures and epochs of a measurement: 96 steps and 8; the first epoch warms up."""
QUICK = {"digits": (1_536, 2), "photographs": (64, 2)}
LONGEST = 300  # seconds; a peer that takes longer is left out
_STEPS = " and ".join(str(count // batch) for (count, _), batch in zip(SHOWN.values(), (128, 32), strict=True))
WORDS = {
    "digits": "cnn2 on the 60,000 digits of MNIST, batches of 128, Adam",
    "photographs": "ResNet-18 (224 x 224) on 5,000 JPEG photographs of about 256 x 350 in ten classes, batches of 32, "
    "SGD with momentum, random resized crops and flips",
}


def run(*, quick: bool = False, only: str | None = None, again: bool = False) -> Table:
    """Train both networks by all trainers, one after the other.

    Args:
        quick: few steps, one setting of each peer.
        only: one of `PARTS`; the other is in the table where it was measured before.
        again: measure anew what was measured before.
    """
    table = Table(
        "Training",
        f"{WORDS['digits']}; {WORDS['photographs']}. The same network, pictures, optimiser and batches for all, each "
        f"in a process of its own, nothing beside it. Measured are pictures a second in epochs of {_STEPS} steps, "
        "after one to warm up. Seconds are of the whole training, reckoned from that: "
        f"{' and '.join(f'{epochs} epochs' for _, epochs in WHOLE.values())}, with what it takes to decode, to compile "
        "and to keep. The bare steps are forward, backward and optimiser on tensors that lie ready, at the settings "
        "that `fit` chooses, with its batch norm of narrow maps and its gradients of weights, an epoch of them behind "
        "each epoch of `fit`. Peers at their best: the fastest of several settings (Keras: backend, bfloat16, order of "
        "memory, loading processes; the loop: bfloat16, channels last and fused, loading processes).",
        ("training", "trainer", "settings", "pictures/s", "ms a step", "start s", "whole s"),
    )
    for part, name in PARTS.items():
        _Bench(table, name, quick=quick, again=again, measuring=only in (None, part)).all()
    return table


class _Bench:
    """The measurements of one network."""

    def __init__(self, table: Table, name: str, *, quick: bool, again: bool, measuring: bool) -> None:
        self.table, self.name, self.quick = table, name, quick
        self.again, self.measuring = again, measuring
        self.count, self.epochs = (QUICK if quick else SHOWN)[name]
        self.batch = 128 if name == "digits" else 32

    def all(self) -> None:
        """Measure all trainers, and judge."""
        found: dict[str, Measured] = {}
        first = self._measured("striate", "as it comes")
        if first is None:
            return
        digits, loading = self.name == "digits", str(processors())
        for backend, kinds in (
            ("torch", ("float32-last", "bfloat16-last", "bfloat16-first")),
            ("jax", ("float32-last", "bfloat16-last")),
        ):
            variants = [f"{backend}-{kind}-{'0' if digits else loading}" for kind in kinds]
            best = self._best("keras", variants, () if digits else ("0",))
            self._add(found, f"Keras, {backend}", best)
        self._add(found, "reference loop, at its best", self._best("reference", [f"best-{loading}"], ("0",)))
        self._add(found, "reference loop, as users run it", self._best("reference", [f"plain-{loading}"]))
        if digits:
            self._add(found, "a loop over tensors in memory", self._best("reference", ["best-memory"]))
        last = self._measured("striate", "as it comes, once more")  # at both ends, should the machine change its speed
        both = [first] if last is None else [first, last]
        ours = Measured(
            fmean(one.seconds for one in both),
            [seconds for one in both for seconds in one.epochs[1:] or one.epochs],
            [seconds for one in both for seconds in one.bare[1:] or one.bare],
        )
        start = fmean(self._start(one, ours=True) for one in both)
        self._row("Striate", "as it comes", fmean(ours.epochs), start)
        bare = median(ours.bare)
        self.table.rows.append(
            (self.name, "bare steps", "as Striate", f"{self._shown / bare:,.0f}", f"{self._step(bare):.1f}", "", "")
        )
        self._judge(found, ours, start)

    def _judge(self, found: dict[str, Measured], ours: Measured, start: float) -> None:
        each = fmean(ours.epochs)
        whole = self._whole(each, start)
        for words, labels, limit in (
            ("Keras, the faster backend", [label for label in found if label.startswith("Keras")], AGAINST_PEERS),
            ("the reference loop as users run it", ["reference loop, as users run it"], AGAINST_PEERS),
            # it then does the same arithmetic in the same kernels: only decoding and feeding are left to gain
            ("the reference loop at its best", ["reference loop, at its best"], AGAINST_TUNED),
        ):
            peers = [found[label] for label in labels if label in found]
            if not peers:
                continue
            later = min(_epoch(peer) for peer in peers) / each
            all_ = min(self._whole(_epoch(peer), self._start(peer)) for peer in peers) / whole
            text = (
                f"{self.name}: {words}, times our seconds (whole training {all_:.2f}, a step {later:.2f}); the smaller"
            )
            self.table.claims.append(Claim(text, min(later, all_), limit, at_most=False))
        text = f"{self.name}: share of the bare forward, backward and step"
        share = median(bare / epoch for bare, epoch in zip(ours.bare, ours.epochs, strict=True))
        self.table.claims.append(Claim(text, share, AGAINST_BARE, at_most=False))

    @property
    def _shown(self) -> int:
        """Pictures that an epoch of a measurement shows."""
        return self.count // self.batch * self.batch

    def _step(self, epoch: float) -> float:
        return epoch / (self._shown // self.batch) * 1000

    def _whole(self, epoch: float, start: float) -> float:
        """Reckon the seconds of the whole training."""
        count, epochs = WHOLE[self.name]
        return start + epochs * count * epoch / self._shown

    def _start(self, measured: Measured, *, ours: bool = False) -> float:
        """Return what comes once: compiling, starting processes; of ours decoding, and keeping what each epoch gave."""
        warming = max(measured.epochs[0] - _epoch(measured), 0.0)
        kept = sum(measured.keeping)
        before = max(measured.seconds - sum(measured.epochs) - kept, 0.0)
        if not ours:
            return warming + before
        return warming + before + self._more + kept * WHOLE[self.name][1] / len(measured.keeping)

    @cached_property
    def _more(self) -> float:
        """Return the seconds that `fit` takes longer until its first step where there are all pictures."""
        if self.quick or self.name == "digits":
            return 0.0
        few, all_ = (_begun(self.name, count) for count in (self.count, WHOLE[self.name][0]))
        print(f"  {self.name}: striate has begun after {few:.1f} s, with all pictures {all_:.1f} s", flush=True)
        return max(all_ - few, 0.0)

    def _add(self, found: dict[str, Measured], label: str, best: tuple[str, Measured] | None) -> None:
        if best is not None:
            variant, found[label] = best
            self._row(label, variant.replace("-", ", "), _epoch(found[label]), self._start(found[label]))

    def _row(self, label: str, settings: str, epoch: float, start: float) -> None:
        cells = f"{self._shown / epoch:,.0f}", f"{self._step(epoch):.1f}", f"{start:.1f}"
        self.table.rows.append((self.name, label, settings, *cells, f"{self._whole(epoch, start):.0f}"))

    def _best(self, trainer: str, variants: list[str], workers: tuple[str, ...] = ()) -> tuple[str, Measured] | None:
        """Measure variants, then the two fastest with other numbers of loading processes; return the fastest."""
        found: dict[str, Measured] = {}

        def add(variant: str) -> None:
            if (measured := self._measured(trainer, variant)) is not None:
                found[variant] = measured

        for variant in variants[:1] if self.quick else variants:
            add(variant)
        if found and not self.quick:
            fastest = sorted(found, key=lambda variant: _epoch(found[variant]))[:2]
            for count, variant in product(workers, fastest):
                add(f"{variant.rpartition('-')[0]}-{count}")
        return min(found.items(), key=lambda item: _epoch(item[1])) if found else None

    def _measured(self, trainer: str, variant: str) -> Measured | None:
        """Train in a process of its own, unless that was done before; None, and a line that says why, if it fails."""
        threads = torch.get_num_threads()
        key = "|".join(map(str, (self.name, trainer, variant, self.count, self.epochs, threads, _marks(trainer))))
        kept = _kept()
        if key in kept and not (self.again and self.measuring):
            return Measured(**kept[key])
        if not self.measuring:
            return None
        command = [sys.executable, "-m", "bench.trainers", self.name, trainer, variant]
        command += [str(self.count), str(self.epochs)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            print(f"  {self.name}: {trainer} {variant} took more than {LONGEST} s and was left out", flush=True)
            return None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            print(f"  {self.name}: {trainer} {variant} failed and was left out: {last}", flush=True)
            return None
        measured = Measured(**json.loads(done.stdout.strip().splitlines()[-1]))
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        _FILE.write_text(json.dumps(_kept() | {key: asdict(measured)}), encoding="utf-8")
        each = _epoch(measured)
        print(f"  {self.name}: {trainer} {variant}: {self._shown / each:,.0f} pictures/s", flush=True)
        return measured


_FILE = KEPT / "training-speed.json"


def _begun(name: str, count: int) -> float:
    """Return the seconds until the first step, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.beginning", name, str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def _kept() -> dict[str, dict[str, Any]]:
    """Return what was measured before, by what it is."""
    with suppress(OSError, ValueError):
        found: dict[str, dict[str, Any]] = json.loads(_FILE.read_text("utf-8"))
        return found
    return {}


def _marks(trainer: str) -> str:
    """Mark machine, libraries and code: what was measured with others counts no more."""
    named = [importlib.metadata.version(one) for one in ("torch", "keras", "jax", "jaxlib") if _there(one)]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    digest = hashlib.blake2b(" ".join([platform.node(), platform.machine(), device, *named]).encode(), digest_size=8)
    code = ROOT / "src" / "striate"
    places = (code.glob("*.py"), *((code / room).rglob("*.py") for room in ("dataset", "learn", "winograd")))
    ours = sorted(chain(*places)) if trainer == "striate" else []
    for file in [*ours, ROOT / "bench" / "trainers.py"]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _there(name: str) -> bool:
    with suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(name))
    return False


def _epoch(measured: Measured) -> float:
    """Return the mean seconds of an epoch after the first."""
    return fmean(measured.epochs[1:] or measured.epochs)
