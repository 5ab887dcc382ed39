"""`python -m sheets [PART...] [--quick]`: measure synthesis on trained networks, and write docs/synthesis.md.

Each part is kept in build/synthesis and not measured again (--again does); the page is written when all are there.
Real pictures: STRIATE_PHOTOGRAPHS (a folder; the thousand lent beside the checkout unless given), STRIATE_CIFAR10
(cifar10.npz). A network whose data are missing is left out, and said so.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from sheets.page import lines_of, write_page
from sheets.parts import PARTS, Arrays, Settings, parts_of, run
from sheets.subjects import SUBJECTS, Missing
from striate import keep_memory, progress

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "synthesis"
QUICK = Settings(real=64, channels=6, classes=4, steps=16, class_steps=32)


def main() -> int:
    """Measure what is not kept yet, print the figures, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m sheets", description="Measure synthesis on trained networks.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--network", choices=[subject.name for subject in SUBJECTS], help="only this one")
    parser.add_argument("--quick", action="store_true", help="a few of everything, to try it; the page stays as it is")
    parser.add_argument("--channels", type=int, default=Settings.channels, help="of a layer, at most")
    parser.add_argument("--classes", type=int, default=Settings.classes, help="class pictures, and fooling ones")
    parser.add_argument("--again", action="store_true", help="also what is kept")
    options = parser.parse_args()
    keep_memory()
    settings = QUICK if options.quick else Settings(channels=options.channels, classes=options.classes)
    found: dict[str, dict[str, Arrays]] = {}
    complete = True
    for subject in SUBJECTS:
        if options.network not in (None, subject.name):
            complete = False
            continue
        try:
            network = subject.load()
            measured: dict[str, Arrays] = {}
            for part in parts_of(subject):
                if options.parts and not part.name.startswith(tuple(options.parts)):
                    complete = False
                    continue
                started = time.perf_counter()
                with progress.listen(progress.terminal(sys.stderr)):
                    measured[part.name] = run(part, network, subject, settings, KEPT, options.again)
                print(f"{subject.name} {part.name}: {time.perf_counter() - started:.0f} s", flush=True)
        except Missing as missing:
            print(f"{subject.title} is left out: {missing}.", file=sys.stderr)
            complete = False
            continue
        found[subject.name] = measured
        print("\n".join(lines_of(subject, measured)), flush=True)
    if complete and not options.quick:
        print(write_page(ROOT / "docs", found, settings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
