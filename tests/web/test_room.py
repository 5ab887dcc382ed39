"""The page in windows of real sizes: nothing is cut off, the head leaves room, what is compared stands side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from web.browsing import new_tab, served, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("fastapi", reason="needs the extra web: FastAPI")
pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")

SIZES = [(1440, 900), (1280, 720), (1024, 768), (820, 1180), (390, 844)]
WIDE = [(width, height) for width, height in SIZES if width > 900]  # where all panels stand beside each other


@pytest.fixture(scope="module")
def address(house) -> Iterator[str]:
    """The address of a server with two networks and two pictures."""
    with served(house) as there:
        yield there


def visit(browser: Browser, address: str, size: tuple[int, int], place: str) -> Page:
    tab, _ = new_tab(browser, viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    tab.goto(f"{address}/#/{place}")
    tab.wait_for_selector("body[data-ready]")
    until(tab, "document.querySelectorAll('.bars button').length > 0")
    return tab


def height(page: Page, selector: str) -> float:
    return float(page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().height"))


@pytest.mark.parametrize("size", SIZES)
def test_nothing_reaches_beyond_the_window(browser, address, size):
    page = visit(browser, address, size, "0/1?other=1")
    # a name so long that it cannot fit gives way; all else stays inside
    page.evaluate("document.getElementById('facts').textContent = '3 x 224 x 224, beside another '.repeat(9)")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    outside = page.evaluate(
        """() => [...document.querySelectorAll('#top a, #top button, #top input, #tabs button')]
          .filter((one) => one.checkVisibility()).filter((one) => {
            const { left, right, top, bottom } = one.getBoundingClientRect();
            return left < 0 || top < 0 || right > innerWidth || bottom > innerHeight; }).map((one) => one.outerHTML)"""
    )
    assert outside == []
    page.context.close()


@pytest.mark.parametrize("size", WIDE)
def test_what_is_looked_at_leaves_room_for_the_units(browser, address, size):
    page = visit(browser, address, size, "0/1")
    head = height(page, "#top") + height(page, "#look")
    assert head <= 0.45 * size[1]
    assert height(page, ".cells") >= 0.4 * size[1]
    assert page.locator(".sample.add").first.is_visible()
    page.context.close()


@pytest.mark.parametrize("size", WIDE)
def test_nothing_below_jumps_when_the_answer_comes(browser, address, size):
    page = visit(browser, address, size, "0")
    after = page.evaluate("document.querySelector('#units').getBoundingClientRect().top")
    # as it stands before the network has said anything
    page.evaluate("document.querySelector('#predictions').replaceChildren()")
    before = page.evaluate("document.querySelector('#units').getBoundingClientRect().top")
    assert before == pytest.approx(after, abs=28)  # a line more where the sentence is long
    page.context.close()


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720), (1024, 768)])
def test_three_explanations_stand_side_by_side(browser, address, size):
    page = visit(browser, address, size, "0?view=explain&lens=saliency,input_x_gradient,grad_cam")
    until(page, "document.querySelectorAll('.lens .stack .map').length === 3")
    tops = page.eval_on_selector_all(".lens", "found => found.map((one) => one.getBoundingClientRect().top)")
    assert max(tops) - min(tops) < 1
    page.context.close()
