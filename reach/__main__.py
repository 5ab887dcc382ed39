"""`python -m reach [PATTERN...]`: each network in a process of its own, with a limit of time; resumable.

What is finished stands in build/reach.jsonl and is not run again (--again does); docs/reach.md is written anew from
it after every network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from reach.networks import TORCHVISION_LEFT_OUT, timm_families
from reach.page import write_page
from reach.processes import run

ROOT = Path(__file__).resolve().parents[1]
KEPT, PAGE = ROOT / "build" / "reach.jsonl", ROOT / "docs" / "reach.md"


def sources() -> list[str]:
    """Return every network that is to be looked at."""
    import torchvision

    left_out = tuple(TORCHVISION_LEFT_OUT)
    names = torchvision.models.list_models(module=torchvision.models)
    chosen = [f"torchvision:{name}" for name in names if not name.startswith(left_out)]
    return chosen + [f"timm:{name}" for _, name in timm_families()]


def failed(result: dict[str, Any]) -> bool:
    """Tell whether anything went wrong, refusals aside."""
    return "broken" in result or any(
        "failed" in variant or any(said.startswith("FAILED") for said in variant.get("looks", {}).values())
        for variant in result["variants"].values()
    )


def main() -> int:
    """Look at all networks that are not finished yet."""
    parser = argparse.ArgumentParser(prog="python -m reach", description="Look at every family of convnets.")
    parser.add_argument("patterns", nargs="*", help="only networks that match, such as 'timm:res*'")
    parser.add_argument("--again", action="store_true", help="also those that are finished")
    parser.add_argument("--only", nargs="+", default=[], help="only these looks, at all networks; the others are kept")
    parser.add_argument("--failed", action="store_true", help="those again that failed")
    parser.add_argument("--page", action="store_true", help="only write docs/reach.md from what is finished")
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time")
    parser.add_argument("--limit", type=float, default=900, help="seconds for one network")
    options = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    kept: dict[str, dict[str, Any]] = {}
    if KEPT.exists():
        kept = {(entry := json.loads(line))["source"]: entry for line in KEPT.read_text("utf-8").splitlines()}
    wanted = [
        source
        for source in sources()
        if not options.patterns or any(fnmatch(source, pattern) for pattern in options.patterns)
    ]
    todo = [
        source
        for source in wanted
        if options.again
        or source not in kept
        or (options.failed and failed(kept[source]))
        or _lacks(kept[source], options.only)
    ]
    if options.page:
        todo = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for done, result in enumerate(pool.map(lambda source: run(source, options.limit, options.only), todo), 1):
            result = kept[result["source"]] = _merged(kept.get(result["source"]), result)
            with KEPT.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{done}/{len(todo)} {result['source']} {result['seconds']} s {_short(result)}", flush=True)
            write_page(PAGE, [kept[source] for source in sources() if source in kept])
    failures = write_page(PAGE, [kept[source] for source in sources() if source in kept])
    print(f"{PAGE.relative_to(ROOT)}: {len(kept)} networks, {failures} with failures")
    return 1 if failures else 0


def _lacks(result: dict[str, Any], looks: Sequence[str]) -> bool:
    """Tell whether any of the looks was not taken yet."""
    return any(look not in variant.get("looks", {look: ""}) for variant in _variants(result) for look in looks)


def _variants(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(result.get("variants", {}).values())


def _merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Put looks that were taken earlier beside new ones."""
    if old is None or "broken" in old or "broken" in new:
        return new
    for name, variant in new["variants"].items():
        before = old["variants"].get(name, {})
        if "looks" in variant and "looks" in before:
            variant |= {key: value for key, value in before.items() if key not in variant}
            variant["looks"] = before["looks"] | variant["looks"]
    return new


def _short(result: dict[str, Any]) -> str:
    if "broken" in result:
        return f"BROKEN: {result['broken']}"
    problems = []
    for variant, entry in result["variants"].items():
        problems += [f"{variant}: {entry[key]}" for key in ("failed", "unable") if key in entry]
        problems += [f"{look}: {said}" for look, said in entry.get("looks", {}).items() if said != "ok"]
    return "; ".join(dict.fromkeys(problems)) or "ok"


if __name__ == "__main__":
    raise SystemExit(main())
