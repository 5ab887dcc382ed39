"""`python -m bench [NAME...] [--quick] [--write]`: run benchmarks, print tables, keep them in docs/performance.md."""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from bench.measure import Table, busy
from striate import keep_memory

NAMES = (
    "gradients", "grad_cam", "activations", "integrated", "occlusion", "lime", "ablation_cam", "trust",
    "convolution", "locally_connected", "decode", "feeding", "atlas", "features", "synthesis", "neighbours", "training",
    "microscope",
)  # fmt: skip
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def machine() -> str:
    """Describe where the figures come from, without naming the machine."""
    versions = ["torch", "captum", "pytorch_grad_cam"]
    found = []
    for name in versions:
        distribution = {"pytorch_grad_cam": "grad-cam"}.get(name, name)
        found.append(f"{distribution} {importlib.metadata.version(distribution)}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = torch.get_num_threads()
    threads = f"{count} thread{'s' * (count > 1)}"
    return (
        f"{datetime.date.today():%Y-%m-%d}, {cores} cores ({platform.machine()}), {threads}, "
        f"{device}, Python {platform.python_version()}, {', '.join(found)}."
    )


def _sections(tables: list[Table]) -> list[str]:
    """Return the new tables among those that the page already has."""
    kept = {}
    if PAGE.exists():
        for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
            kept[section.splitlines()[0]] = "## " + section.rstrip("\n") + "\n"
    return list((kept | {table.title: table.markdown() for table in tables}).values())


def main() -> int:
    """Run what is named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed and memory against the peers.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="one network, few repetitions")
    parser.add_argument("--busy", action="store_true", help="processor time of one thread, for a machine in use")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/performance.md")
    parser.add_argument("--only", metavar="PART", help="one part of the benchmark, where it has parts (training: cnn2)")
    parser.add_argument("--again", action="store_true", help="measure anew what is kept of an earlier time (training)")
    options = parser.parse_args()
    if options.busy:
        busy()
    keep_memory()
    tables = []
    print(machine(), flush=True)
    for name in options.names or NAMES:
        module = importlib.import_module(f"bench.{name}")
        parts = getattr(module, "PARTS", None)
        if options.only is not None and options.only not in (parts or ()):
            parser.error(f"{name} has no part {options.only!r}; it has {', '.join(parts or ()) or 'none'}")
        more = {} if parts is None else {"only": options.only, "again": options.again}
        table = module.run(quick=options.quick, **more)
        print(f"\n{table.markdown()}", flush=True)
        tables.append(table)
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        intro = (
            "# Performance\n\nMeasured by `make bench` (`python -m bench --write`), which times the calls in turn and "
            f"takes medians; the peers run at their best settings in the same process, "
            f"all of them with `striate.keep_memory()`, which is worth a factor of two on this machine.\n\n{machine()}"
            f"{' Other work ran beside: the figures are processor time of one thread.' * options.busy}\n\n"
        )
        PAGE.write_text(intro + "\n".join(_sections(tables)), encoding="utf-8")
    return 0 if all(claim.holds for table in tables for claim in table.claims) else 1


if __name__ == "__main__":
    raise SystemExit(main())
