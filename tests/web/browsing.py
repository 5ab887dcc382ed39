"""A server in a thread and tabs of a real browser, Debian's Chromium driven by Playwright. No test stands here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from striate.web.house import House

__all__ = ["chromium", "colours", "new_tab", "served", "until"]

PATIENCE = 120_000  # ms; the machine may be busy


@contextmanager
def served(house: House) -> Iterator[str]:
    """Serve a house, and give the address."""
    pytest.importorskip("uvicorn", reason="needs the extra web: uvicorn")

    from striate.web.background import serving

    with serving(house) as address:
        yield address


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open Chromium without a window; skip the test where it or its driver is missing."""
    driven = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    driven.expect.set_options(timeout=PATIENCE)
    with driven.sync_playwright() as driver:
        # a camera that is none: green, with a clock on it
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox", *camera])
        yield opened
        opened.close()


def new_tab(browser: Browser, **settings: Any) -> tuple[Page, list[str]]:
    """Open an empty tab, and the list of what its console will complain about."""
    tab = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings}).new_page()
    tab.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    return tab, complaints


def colours(page: Page, selector: str) -> int:
    """Count the colours on a canvas: one means that nothing was drawn."""
    return int(
        page.eval_on_selector(
            selector,
            """canvas => {
              const {width, height} = canvas;
              const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
              return new Set(new Uint32Array(data.buffer)).size;
            }""",
        )
    )


def until(page: Page, true: str | Callable[[], bool]) -> None:
    """Wait for a condition in the page, or here.

    Playwright's own way evaluates text in the page, which the page's policy refuses.
    """
    deadline = time.monotonic() + PATIENCE / 1000
    while not (page.evaluate(true) if isinstance(true, str) else true()):
        assert time.monotonic() < deadline, f"{true} did not come about; the page says: {page.inner_text('#status')}"
        page.wait_for_timeout(30)
