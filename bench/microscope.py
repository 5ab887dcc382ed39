"""How soon the page answers: start, first view, activations, heatmaps, a click that covers; how smoothly it scrolls."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.measure import Claim, Table, interleaved
from bench.scrolling import measure as measure_scrolling
from striate.cli.demo import demo_pictures
from striate.web.background import serving
from striate.web.house import House

__all__ = ["run"]

NETWORK = "efficientnet_lite0"
FIRST = ("session", "network", "lenses")  # what the page asks for before it shows anything
LAYERS = ("blocks.1.0.bn1.act", "blocks.2.1.bn3", "blocks.4.0.bn2.act", "conv_head")  # the first is the largest
GRADIENT = ("saliency", "input_x_gradient", "grad_cam")
LIMITS = {"first view": 1000.0, "activations": 150.0, "heatmap": 300.0, "occlude": 120.0}  # milliseconds
START = 2.5  # seconds
CLIENTS, REQUESTS = 50, 10_000


def run(*, quick: bool = False) -> Table:
    """Ask a served page as a browser would, every time something that it has not answered before."""
    table = Table(
        "Microscope",
        f"`striate serve {NETWORK}` on loopback, asked by one client; answers are of pictures and places that were not "
        "asked for before, so nothing comes out of the cache. Activations: numbers and sheet of all channels of a "
        "layer. Heatmap: the lens and its map. Then many clients at once, of a server in a process of its own.",
        ("what", "milliseconds"),
    )
    begun = time.perf_counter()
    house = House.open(NETWORK, pictures=demo_pictures())
    with serving(house) as address, httpx.Client(base_url=f"{address}/api/", timeout=60) as client:
        table.rows.append(("start: network and pictures", f"{1000 * (time.perf_counter() - begun):.0f}"))
        first = _took(lambda: _first_view(client))
        table.rows.append(("first view", f"{first:.0f}"))
        table.claims.append(Claim("first view, ms", first, LIMITS["first view"], at_most=True))
        # uploaded before the clock runs: a call, to begin with, and one for each repeat
        layers, lenses, repeats = (LAYERS[:1], GRADIENT[:1], 3) if quick else (LAYERS, GRADIENT, 7)
        count = (len(layers) + len(lenses)) * (repeats + 2) + 1
        fresh = iter(list(itertools.islice(_fresh(client), count)))
        calls: dict[str, Callable[[], object]] = {}
        for layer in layers:
            calls[f"activations of {layer}"] = lambda layer=layer: _activations(client, next(fresh), layer)
        for lens in lenses:
            calls[f"heatmap, {lens}"] = lambda lens=lens: _heatmap(client, next(fresh), lens)
        places = (0.3 + 0.001 * step for step in itertools.count())
        picture = next(fresh)
        calls["occlude"] = lambda: _get(client, "occlude", picture=picture, x=next(places), y=0.5)
        for name, seconds in interleaved(calls, repeats=repeats).items():
            table.rows.append((name, f"{1000 * seconds:.0f}"))
            limit = LIMITS[name.split(",")[0].split(" ")[0]]
            table.claims.append(Claim(f"{name}, ms", 1000 * seconds, limit, at_most=True))
    with _alone() as (address, process, seconds):
        table.rows.append(("from `striate serve` to the first byte", f"{1000 * seconds:.0f}"))
        table.claims.append(Claim("seconds from the command to the first byte", seconds, START, at_most=True))
        _crowd(table, address, process, 200 if quick else REQUESTS)
    measure_scrolling(table, quick=quick)
    return table


def _first_view(client: httpx.Client) -> None:
    for path in ("", "style.css", "modules/main.js"):
        client.get(f"{client.base_url.copy_with(path='/')}{path}").raise_for_status()
    for path in FIRST:
        _get(client, path)


def _activations(client: httpx.Client, picture: str, layer: str) -> None:
    _get(client, "activations", picture=picture, layer=layer)
    _get(client, "activations.png", picture=picture, layer=layer)


def _heatmap(client: httpx.Client, picture: str, lens: str) -> None:
    found = client.post("run", json={"lens": lens, "picture": picture})
    assert found.status_code == 200, found.text
    client.get(found.json()["overlays"][0]["map"].removeprefix("/api/")).raise_for_status()


def _crowd(table: Table, address: str, process: int, requests: int) -> None:
    """Ask from many clients at once for what is kept: none may be lost, and the server's memory must not grow."""
    taken: list[float] = []
    lost: list[str] = []

    def visit(left: Iterator[int]) -> None:
        # certificates are not asked for on loopback, and reading the list of them takes longer than many answers
        with httpx.Client(base_url=f"{address}/api/", timeout=60, verify=False) as client:
            for _ in left:
                started = time.perf_counter()
                try:
                    client.get("network").raise_for_status()
                except httpx.HTTPError as error:
                    lost.append(str(error))
                taken.append(1000 * (time.perf_counter() - started))

    def crowd(many: int) -> None:
        left = iter(range(many))
        threads = [threading.Thread(target=visit, args=(left,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    crowd(requests // 10)  # the server's threads and their stacks are there afterwards
    before = _resident(process)
    taken.clear()
    crowd(requests)
    taken.sort()
    for share in (0.5, 0.9, 0.99):
        table.rows.append((f"{CLIENTS} clients at once, quantile {share:g}", f"{taken[int(share * len(taken))]:.0f}"))
    table.claims.append(Claim(f"requests lost of {requests:,}", float(len(lost)), 0, at_most=True))
    after = _resident(process)
    table.rows.append(
        (f"megabytes of the server before and after {requests:,} requests", f"{before / 1e6:.0f}, {after / 1e6:.0f}")
    )
    table.claims.append(Claim("megabytes that the server grew by", (after - before) / 1e6, 16, at_most=True))


def _fresh(client: httpx.Client) -> Iterator[str]:
    """Upload pictures that were never seen: the demo's, each with another pixel."""
    import numpy as np

    from striate.images import encode_png, read_image

    photograph = np.array(read_image(demo_pictures()[0]))
    for number in itertools.count():
        photograph[0, 0] = number % 256, number // 256, 0
        found = client.post("pictures", content=encode_png(photograph)).json()["id"]
        _get(client, f"pictures/{found}/input.png")  # decoded, as for whoever looks at it
        yield found


def _get(client: httpx.Client, path: str, **parameters: object) -> httpx.Response:
    found = client.get(path, params={name: str(value) for name, value in parameters.items()})
    return found.raise_for_status()


def _took(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def _resident(process: int) -> int:
    """Return the bytes of memory that a process holds; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


@contextmanager
def _alone() -> Iterator[tuple[str, int, float]]:
    """Serve in a process of its own, as its users do; yield address, process and the seconds to the first byte."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "striate", "serve", NETWORK, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"(http://\S+)/", process.stdout.readline())
            assert found is not None
            httpx.get(f"{found[1]}/", timeout=60).raise_for_status()
            yield found[1], process.pid, time.perf_counter() - begun
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
