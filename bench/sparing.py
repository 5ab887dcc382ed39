"""Steps of ResNet-18 in bfloat16 with more and more of its convolutions done here: `python -m bench.sparing`.

Prints milliseconds of a step on 32 photographs' worth of noise, each way in turn, and against PyTorch's own
convolutions. It is what decides, with the accuracies in docs/training.md, what `fit` does.
"""

from __future__ import annotations

from statistics import median

import torch

from bench.trainers import bare_steps, task
from striate import keep_memory
from striate.learn.sparing import Halves

ROUNDS = 8
WAYS: tuple[Halves | None, ...] = (None, "weights", "gradients", "all")


def main() -> None:
    """Measure, and print a line for each way."""
    keep_memory()
    step = bare_steps(task("photographs", 32, 1))
    found: dict[Halves | None, list[float]] = {way: [] for way in WAYS}
    for way in WAYS * ROUNDS:
        step(way)  # the first after another way is slower
        found[way].append(min(step(way), step(way)))
    own = median(found[None])
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for way, seconds in found.items():
        print(f"{way or 'nothing':10} {median(seconds) * 1000:6.0f} ms, {own / median(seconds):.2f} times as fast")


if __name__ == "__main__":
    main()
