"""Every view of the page for those who cannot see it or have no mouse: axe-core finds nothing serious, keys do all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import load
from striate.images import encode_png
from web.browsing import new_tab, served, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("fastapi", reason="needs the extra web: FastAPI")
pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")

GRAVE = ("serious", "critical")
OPEN = """async ([layer, unit]) => {
  const { set } = await import('/modules/state.js');
  set({ opened: { layer, unit, row: 2, col: 2 } });
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, as the package that brings it along has it."""
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("needs axe-playwright-python, which brings axe-core")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with an atlas and a second network."""
    from striate.web.house import House

    folder = tmp_path_factory.mktemp("house")
    network, other = make_network(), make_network()
    images = pictures_of(network, 30)
    for name, index in (("fourth", 4), ("seventh", 7)):
        (folder / f"{name}.png").write_bytes(encode_png(network.spec.pixels(images[index : index + 1])[0]))
    atlas = small_atlas(folder / "atlas", network, images, features=["deep"])
    house = House.open(network, atlas=atlas, compare=other, pictures=[folder / "fourth.png", folder / "seventh.png"])
    with served(house) as there:
        yield there


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a training's folder."""
    from striate.learn.loop import fit
    from striate.web.house import House

    folder = tmp_path_factory.mktemp("training")
    draw = np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / "pictures" / label).mkdir(parents=True)
        for index in range(12):
            made = draw.integers(0, 120, (12, 12), dtype=np.uint8) + np.uint8((label == "light") * 120)
            (folder / "pictures" / label / f"{index}.png").write_bytes(encode_png(made[:, :, None].repeat(3, 2)))
    network = load("striate:cnn2,classes=2,size=12,channels=1")
    run = fit(network, folder / "pictures", out=folder / "run", epochs=2, batch=8)
    house = House.open(str(run.path), pictures=[folder / "pictures" / "dark" / "0.png"])
    with served(house) as there:
        yield there


def grave(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds serious or critical, each with the first place where it is."""
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
    ]


def visit(page: Page, address: str, place: str) -> None:
    page.goto(f"{address}/#/{place}")
    page.wait_for_selector("body[data-ready]")
    until(page, "document.querySelectorAll('.bars button').length > 0")


def test_what_is_wrong_is_found(browser: Browser, axe: str) -> None:
    page, _ = new_tab(browser)
    page.set_content(
        "<html lang='en'><title>t</title><main><button></button><p style='color:#ccc'>pale</p></main></html>"
    )
    found = " ".join(grave(page, axe))
    assert "button-name" in found
    assert "color-contrast" in found
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_in_any_view(browser: Browser, address: str, axe: str, scheme: str) -> None:
    page, complaints = new_tab(browser, reduced_motion="reduce", color_scheme=scheme)
    visit(page, address, "second_relu/0?show=patches")
    page.wait_for_selector("#card .histogram")
    assert grave(page, axe) == [], "units"
    page.locator(".pad").click(position={"x": 40, "y": 40})
    until(page, "document.querySelector('.change').textContent.includes('Covering this patch')")
    page.get_by_label("Beside").check()
    until(page, "document.querySelectorAll('.answers .bars').length === 2")
    assert grave(page, axe) == [], "two networks, a cover"
    page.get_by_role("link", name="Explain").click()
    until(page, "document.querySelectorAll('.lens .stack .map').length >= 2")
    page.locator(".lens details summary").first.click()
    page.locator(".menu summary").click()
    assert grave(page, axe) == [], "explanations"
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Map").click()
    until(page, "document.querySelector('#map .under').textContent.includes('Trustworthiness')")
    page.locator("#map .stage canvas").focus()
    page.keyboard.press("n")
    page.wait_for_selector("#map aside .patches img")
    assert grave(page, axe) == [], "map"
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    assert grave(page, axe) == [], "keys"
    page.keyboard.press("Escape")
    page.evaluate(OPEN, ["second", 1])
    page.wait_for_selector("#arithmetic .sums")
    assert grave(page, axe) == [], "arithmetic"
    assert complaints == []
    page.context.close()


def test_nothing_serious_at_phone_width(browser: Browser, address: str, axe: str) -> None:
    page, complaints = new_tab(browser, viewport={"width": 390, "height": 844}, has_touch=True)
    visit(page, address, "second_relu/0")
    for tab in ("Picture", "Layers", "Units", "Unit"):
        page.locator("#tabs").get_by_role("button", name=tab, exact=True).click()
        page.wait_for_timeout(200)
        assert grave(page, axe) == [], tab
    assert complaints == []
    page.context.close()


def test_nothing_serious_about_a_training(browser: Browser, trained: str, axe: str) -> None:
    page, complaints = new_tab(browser, reduced_motion="reduce")
    visit(page, trained, "?view=run")
    page.wait_for_selector("#runs .curves svg")
    page.wait_for_selector("#runs .grown td")
    assert grave(page, axe) == []
    assert complaints == []
    page.context.close()


def test_every_control_is_reached_by_the_tab_key(browser: Browser, address: str) -> None:
    """Whatever can be clicked is on the way of the Tab key, or inside something that is and has arrow keys."""
    page, complaints = new_tab(browser, reduced_motion="reduce")
    for place in ("second_relu/0?show=patches", "second_relu/0?view=explain", "second_relu/0?view=map"):
        visit(page, address, place)
        page.wait_for_selector("#card .histogram")
        page.wait_for_timeout(300)
        page.evaluate("document.activeElement.blur()")
        wanted = page.evaluate(
            """() => [...document.querySelectorAll(
                'a[href], button:not(:disabled), input, select, summary, [tabindex="0"]')]
              .filter((node) => node.checkVisibility({ checkVisibilityCSS: true }) && node.tabIndex >= 0
                && !node.closest('dialog') && !node.closest('details:not([open]) > :not(summary)'))
              .map((node, index) => { node.dataset.test = index; return node.outerHTML.slice(0, 100); })"""
        )
        seen: set[int] = set()
        for _ in range(len(wanted) + 5):
            page.keyboard.press("Tab")
            found = page.evaluate("document.activeElement.dataset.test ?? null")
            if found is not None:
                seen.add(int(found))
            # a focus that nobody sees is none
            shown = page.evaluate(
                """() => { const style = getComputedStyle(document.activeElement);
                  return document.activeElement === document.body || style.outlineStyle !== 'none'
                    || document.activeElement.matches('.cells'); }"""
            )
            assert shown, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        missed = [wanted[index] for index in range(len(wanted)) if index not in seen]
        assert missed == [], place
    assert complaints == []
    page.context.close()
