"""The unit's card, the arithmetic, the map and the training run in a real browser, against what they should say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from striate import tap
from web.browsing import colours, new_tab, served, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("fastapi", reason="needs the extra web: FastAPI")
playwright_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")
expect = playwright_api.expect

PLANE = "#map .stage canvas"


@pytest.fixture(scope="module")
def address(house_with_atlas) -> Iterator[str]:
    """The address of a running server with an atlas; its picture is number 4 of the atlas."""
    with served(house_with_atlas) as there:
        yield there


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new tab; that nothing was complained about is checked when it closes."""
    tab, complaints = new_tab(browser, reduced_motion="reduce")
    yield tab
    tab.context.close()
    assert complaints == []


def visit(page: Page, address: str, place: str) -> None:
    page.goto(f"{address}/#/{place}")
    page.wait_for_selector("body[data-ready]")


def test_the_card_shows_the_best_pictures_and_leads_to_units_like_it(page, address, network, images):
    maps = tap.activations(network, images, ["second_relu"]).outputs["second_relu"].numpy()
    channel = int((maps.max((2, 3)) > 0).sum(0).argmax())
    visit(page, address, f"second_relu/{channel}")
    page.wait_for_selector("#card .histogram")
    assert page.inner_text("#card h2").replace("\n", "") == f"second_relu:{channel}"
    best = int(maps[:, channel].max((1, 2)).argmax())
    first = page.locator("#card .patches .patch").first
    assert ("ant", "bee", "crane")[best % 3] in first.get_attribute("aria-label")
    page.get_by_role("button", name="In its picture").click()
    assert page.locator("#card .framed .box").count() == 9
    page.get_by_role("button", name="Guided").click()
    page.wait_for_selector("#card .patches canvas[height='192']")
    like = page.locator("#card .alike button:not(:disabled)").first
    wanted = like.locator("code").inner_text().replace("\n", "")
    like.click()
    page.wait_for_url(lambda url: f"#/{wanted.replace(':', '/')}" in url)


def test_a_best_picture_opens_in_the_page(page, address):
    visit(page, address, "second_relu/0")
    page.locator("#card .patches .patch").first.click()
    expect(page.locator(".samples .sample img")).to_have_count(2)


def test_a_picture_is_made_while_one_watches_and_stopped(page, address):
    visit(page, address, "second/1")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_selector(".made .going img, .made .result[src^='data:'], .made .result[src*='results']")
    # in one go: a quick machine may be done by now, or between a look and a click
    page.evaluate("() => [...document.querySelectorAll('button')].find((one) => one.textContent === 'Stop')?.click()")
    page.wait_for_selector(".made .result[src*='results']")
    assert page.get_by_role("button", name="Again").count() == 1


def test_a_page_that_goes_takes_its_job_along(page, address, house_with_atlas, monkeypatch):
    monkeypatch.setattr("striate.web.jobs._ALONE", 0.5)
    visit(page, address, "second/1")
    job = page.evaluate(
        """async () => {
          const { post, events } = await import('/modules/api.js');
          const ask = { kind: 'lens', lens: 'synthesize', target: ['second:1'], options: { steps: 100000 } };
          const { job } = await post('jobs', ask);
          await new Promise((begun) => events(`jobs/${job}/events`, { progress: begun }));
          return job;
        }"""
    )
    assert house_with_atlas.jobs.get(job).state == "running"
    page.reload()
    page.wait_for_selector("body[data-ready]")
    until(page, lambda: house_with_atlas.jobs.get(job).ended)


def test_the_arithmetic_adds_up_and_the_arrows_slide_the_window(page, address, network, images):
    visit(page, address, "second/3")
    page.evaluate(
        """() => import('/modules/state.js').then(
          ({ set }) => set({ opened: { layer: 'second', unit: 3, row: 2, col: 5 } })
        )"""
    )
    page.wait_for_selector("#arithmetic .sums")
    own = float(tap.activations(network, images[4:5], ["second"]).outputs["second"][0, 3, 2, 5])
    written = page.inner_text("#arithmetic .own .figure").replace("−", "-")
    assert float(written) == pytest.approx(own, abs=0.03)
    assert page.locator("#arithmetic .matrix").count() == 5 * 3  # window, kernel and products of each channel
    page.keyboard.press("ArrowDown")
    expect(page.locator("#arithmetic h2")).to_have_text("second:3@3,5")
    page.keyboard.press("Escape")
    expect(page.locator("#arithmetic")).not_to_be_visible()


def test_the_map_zooms_opens_a_picture_and_says_what_a_region_has_in_common(page, address):
    visit(page, address, "second/0?view=map")
    expect(page.locator("#map .under")).to_contain_text("Trustworthiness")
    canvas = page.locator("#map .stage canvas")
    canvas.focus()
    page.keyboard.press("n")
    page.wait_for_selector("#map aside .patches img")
    assert page.locator("#map aside .patches li").count() == 12
    page.keyboard.press("0")
    page.get_by_role("button", name="Lasso").click()
    box = canvas.bounding_box()
    corners = [(2, 2), (box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)]
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    expect(page.locator("#map aside")).to_contain_text("30 pictures of 30.")
    names = page.locator("#map aside .means").first.locator(".name").all_inner_texts()
    assert sorted(names) == ["ant", "bee", "crane"]
    # and by keys: all that is in sight
    page.get_by_role("button", name="Let go").click()
    expect(page.locator("#map aside")).not_to_contain_text("30 pictures of 30.")
    canvas.focus()
    page.keyboard.press("r")
    expect(page.locator("#map aside")).to_contain_text("30 pictures of 30.")


def test_the_map_has_pictures_on_it(page, address):
    visit(page, address, "second/0?view=map")
    expect(page.locator("#map .under")).to_contain_text("Trustworthiness")
    until(page, lambda: colours(page, PLANE) >= 500)  # thumbnails come after the points


def test_a_training_shows_its_curves_and_its_epochs(page, tmp_path):
    from PIL import Image

    from striate import load
    from striate.learn.loop import fit
    from striate.web.house import House

    draw = np.random.default_rng(0)
    for label in (0, 1):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True)
        for index in range(12):
            made = draw.integers(0, 120, (12, 12), dtype=np.uint8) + np.uint8(label * 120)
            Image.fromarray(made).save(tmp_path / "pictures" / str(label) / f"{index}.png")
    trained = load("striate:cnn2,classes=2,size=12,channels=1")
    run = fit(trained, tmp_path / "pictures", out=tmp_path / "run", epochs=2, batch=8)
    house = House.open(str(run.path), pictures=[tmp_path / "pictures" / "0" / "0.png"])
    with served(house) as there:
        visit(page, there, "?view=run")
        page.wait_for_selector("#runs .curves svg")
        assert page.locator("#runs .curves circle.train").count() == 4  # two epochs on two charts
        page.wait_for_selector("#runs .grown td")
        page.locator("#epoch").focus()
        page.keyboard.press("Home")
        page.wait_for_url(lambda url: "epoch=0" in url)
        expect(page.locator("#epoch-words")).to_contain_text("before training")
