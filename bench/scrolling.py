"""Frames a second while a grid of 2,048 units scrolls, in Chromium. A part of `bench microscope`."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch import nn

from bench.measure import Claim, Table
from striate import InputSpec, Network
from striate.cli.demo import demo_pictures
from striate.web.background import serving
from striate.web.house import House

__all__ = ["UNITS", "measure"]

UNITS = 2048  # as in the last stage of ResNet-50
LIMIT = 50.0  # frames a second
AWAKE = 30.0  # frames a second of a page that does nothing; below that the browser or the machine is the limit
SECONDS = 4.0

# Frames are those in which the browser asked the page to draw: a frame that it dropped is missing here. The grid is
# scrolled in each, down and up again, so that it has to be drawn anew; `idle` scrolls nothing.
_FRAMES = """async ([seconds, idle]) => {
  const cells = document.querySelector(".cells"), pen = cells.querySelector("canvas").getContext("2d");
  const most = cells.scrollHeight - cells.clientHeight, times = [];
  let drawn = 0, direction = 1;
  const own = pen.drawImage;
  pen.drawImage = (...words) => { drawn += 1; own.apply(pen, words); };
  await new Promise((done) => {
    const frame = (now) => {
      times.push(now);
      if (now - times[0] >= 1000 * seconds) return done();
      if (!idle) {
        if (cells.scrollTop >= most - 1) direction = -1;
        else if (cells.scrollTop <= 0) direction = 1;
        cells.scrollTop += 24 * direction;
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  delete pen.drawImage;
  const gaps = times.slice(1).map((time, index) => time - times[index]).sort((a, b) => a - b);
  return {
    rate: 1000 * gaps.length / (times.at(-1) - times[0]), drawn: drawn / gaps.length,
    middle: gaps[gaps.length >> 1], late: gaps[Math.floor(0.99 * gaps.length)],
    shown: document.visibilityState, units: cells.clientHeight * cells.clientWidth,
  };
}"""


class Wide(nn.Module):
    """A network whose last map has 2,048 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.wide = nn.Conv2d(8, UNITS, 1)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(UNITS, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.wide(self.stem(x).relu())
        found: torch.Tensor = self.fc(self.average(x).flatten(1))
        return found


def measure(table: Table, *, quick: bool = False) -> None:
    """Add rows and a claim to a table; a row that says why not where there is no browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        table.rows.append(("frames a second of the grid", "not measured: playwright is not installed"))
        return
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        table.rows.append(("frames a second of the grid", "not measured: there is no Chromium"))
        return
    torch.manual_seed(0)
    network = Network(Wide().eval(), InputSpec(channels=3, height=64, width=64), name="wide")
    house = House.open(network, pictures=demo_pictures())
    with serving(house) as address, sync_playwright() as driver:
        # a page that nobody sees is asked to draw less often; this one counts as seen
        unthrottled = ["--disable-renderer-backgrounding", "--disable-background-timer-throttling"]
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", *unthrottled])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/#/wide")
        page.wait_for_selector("body[data-ready]")
        page.wait_for_load_state("networkidle")
        seconds = 1.0 if quick else SECONDS
        idle = page.evaluate(_FRAMES, [seconds, True])
        page.evaluate(_FRAMES, [0.5, False])  # what is compiled on the way is compiled now
        scrolling = page.evaluate(_FRAMES, [seconds, False])
        browser.close()
    _say(table, idle, scrolling)


def _say(table: Table, idle: dict[str, Any], scrolling: dict[str, Any]) -> None:
    assert scrolling["shown"] == "visible"
    assert scrolling["drawn"] > 20, "the grid was not drawn while it was scrolled"
    cells = f"{scrolling['drawn']:.0f} cells drawn in each"
    table.rows.append(("frames a second of a page that does nothing", f"{idle['rate']:.0f}"))
    table.rows.append((f"frames a second while {UNITS:,} units scroll, {cells}", f"{scrolling['rate']:.0f}"))
    times = f"{scrolling['middle']:.1f}, {scrolling['late']:.1f}"
    table.rows.append(("milliseconds between two of them: middle, 99 of 100", times))
    if idle["rate"] < AWAKE:
        table.rows.append(("", "the browser draws no faster when idle: the machine is busy, or has no display"))
    text = f"frames a second while {UNITS:,} units scroll"
    table.claims.append(Claim(text, scrolling["rate"], LIMIT, at_most=False))
