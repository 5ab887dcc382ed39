"""One view as files: by its address, from the command, and from the page as a zip; and that anybody can use them."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import progress
from striate.cli import main
from striate.errors import AddressError, OptionError, StriateError
from striate.images import encode_png
from striate.web.app import application
from striate.web.asking import question_of
from striate.web.exporting import export
from striate.web.exporting_view import read_view
from striate.web.house import House
from striate.web.routes import export as route
from web.browsing import new_tab, served, until
from web.test_accessible import GRAVE
from web.test_exporting import answers_of, index_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

OPEN = """async () => {
  const { set } = await import('striate/state');
  set({ opened: { layer: 'second_relu', unit: 3, row: 2, col: 2 } });
}"""
REACHED = """() => [...document.querySelectorAll(
    'a[href], button:not(:disabled), input, select, summary, [tabindex="0"]')]
  .filter((node) => node.checkVisibility({ checkVisibilityCSS: true }) && node.tabIndex >= 0 && !node.closest('dialog')
    && !node.closest('details:not([open]) > :not(summary)'))
  .map((node, index) => { node.dataset.test = index; return node.outerHTML.slice(0, 100); })"""


def grave(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds; it may not read the style sheets itself, for an exported page connects to nothing."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"] if one["impact"] in GRAVE]


@pytest.fixture(scope="module")
def axe() -> str:
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("needs axe-playwright-python, which brings axe-core")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two networks, two pictures, an atlas."""
    folder = tmp_path_factory.mktemp("both")
    network = make_network()
    images = pictures_of(network, 20)
    for index in (4, 7):
        (folder / f"{index}.png").write_bytes(encode_png(network.spec.pixels(images[index : index + 1])[0]))
    atlas = small_atlas(folder / "atlas", network, images, features=["deep"])
    return House.open(network, atlas=atlas, compare=make_network(), pictures=[folder / "4.png", folder / "7.png"])


def test_an_address_says_what_is_shown(both):
    given = both.pictures.all()[1]
    words = f"picture={given.id}&view=explain&lens=grad-cam,saliency&option.saliency.rule=guided&target=class:1&other=1"
    view = read_view(f"http://127.0.0.1:8765/?token=x#/second_relu/3?{words}", both)
    assert (view.layer, view.unit, view.picture, view.view) == ("second_relu", 3, given, "explain")
    assert view.lenses == ("grad_cam", "saliency")
    assert (view.target, view.other, view.epoch, view.scale) == ("class:1", True, None, "shared")
    from striate import registry

    assert view.options_of(registry.describe("saliency")) == {"rule": "guided"}
    assert view.options_of(registry.describe("grad_cam")) == {}
    assert read_view("#/second_relu", both).picture is both.pictures.all()[0]
    assert read_view("#/second_relu?lens=saliency,saliency", both).lenses == ("saliency",)  # asked once
    assert read_view("/second_relu/?show=filters", both).unit is None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("http://127.0.0.1:8765/", "names no layer. Copy the whole address"),
        ("second_relu/3", "names no layer"),
        ("#/second_rel/3", "second_relu"),
        ("#/second_relu/99", "no unit 99 in second_relu"),
        ("#/second_relu?picture=0123456789abcdef", r"none of these: 4\.png, 7\.png\. Name its file"),
        ("#/second_relu?view=run", "shows a training, and there is none"),
        ("#/second_relu?epoch=2", "no epochs here"),
        ("#/second_relu?epoch=%C2%B2", "shows a training, and there is none"),  # a digit that is no number
        ("#/second_relu?view=all", "its views are units, explain, map, run"),
        ("#/second_relu?lens=salience", "Did you mean saliency"),
    ],
)
def test_an_address_of_what_is_not_there_is_refused(both, tmp_path, address, text):
    with pytest.raises(StriateError, match=text):
        export(both, tmp_path / "page", view=address)
    assert list(tmp_path.iterdir()) == []


def test_an_address_and_layers_exclude_each_other(both, tmp_path, house):
    with pytest.raises(OptionError, match="shows one layer"):
        export(both, tmp_path / "page", view="#/deep", layers=["deep"])
    with pytest.raises(OptionError, match="--atlas FOLDER"):
        read_view("#/4?view=map", house)
    alone = SimpleNamespace(network=house.network, called=house.called, pictures=house.pictures, asked=house.asked)
    with pytest.raises(AddressError, match="nowhere"):
        read_view("#/nowhere", alone)  # type: ignore[arg-type]


def test_only_what_the_view_shows_is_written(both, tmp_path):
    given = both.pictures.all()[1]
    words = f"picture={given.id}&view=explain&lens=saliency&option.rule=guided&target=class:1&scale=own"
    told: list[str] = []
    made = export(both, tmp_path / "page", view=f"#/second_relu/3?{words}", tell=told.append, covers=False)
    assert (made.layers, made.pictures, made.left_out) == (("second_relu",), 1, ())
    assert told[-1] == "Guided patches of 1 unit: about 45 kB (--no-guided)."
    assert told[-2].startswith("Cards of 1 unit: about 10 kB, with 20 pictures of the atlas at most")
    kept, index = answers_of(tmp_path / "page"), index_of(tmp_path / "page")
    session = kept["session"]
    assert [one["id"] for one in session["pictures"]] == [given.id]
    assert session["other"] is None  # it was not beside it
    assert session["exported"]["views"] == ["units", "explain"]
    assert session["exported"]["start"] == f"#/second_relu/3?{words}"
    asked = {question.partition("?")[0] for question in kept}
    assert "map" not in asked
    assert [question for question in kept if question.startswith("unit?")] == ["unit?layer=second_relu&unit=3"]
    assert [question for question in kept if question.startswith("run?")] == [
        question_of("run", {"lens": "saliency", "picture": given.id, "target": "class:1"})
    ]
    assert kept[question_of("activations", {"layer": "second_relu", "picture": given.id, "scale": "own"})]
    assert any(question.startswith("unit/signals.png") for question in index["files"])
    whole = export(both, tmp_path / "whole", covers=False)
    assert made.bytes < whole.bytes / 2


def test_it_opens_where_the_view_was(browser, both, tmp_path):
    given = both.pictures.all()[1]
    words = f"picture={given.id}&view=explain&lens=saliency&option.saliency.rule=guided&target=class:2&other=1"
    export(both, tmp_path / "page", view=f"#/second_relu/3?{words}", covers=False)
    tab, complaints = new_tab(browser)
    tab.goto((tmp_path / "page" / "index.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    until(tab, "document.querySelectorAll('.lens .stack .map').length === 2")  # both networks
    assert tab.evaluate("document.querySelector('#target').value") == "class:2"
    assert tab.locator("#views a").all_inner_texts() == ["Units", "Explain"]
    tab.get_by_role("link", name="Units", exact=True).click()
    until(tab, "document.querySelectorAll('.cells:not([aria-busy]) canvas').length === 2")
    tab.wait_for_selector("#card .histogram")
    tab.get_by_role("button", name="The next unit").click()  # of this one nothing was kept
    until(tab, "document.querySelector('#card').textContent.includes('This was not exported')")
    assert complaints == []
    tab.context.close()


def test_the_command_writes_a_view(tmp_path, pictures, capsys):
    import striate

    net = striate.load("striate:cnn2,classes=3,size=16").save(tmp_path / "net.safetensors")
    words = ["--pictures", str(pictures / "chelsea.png"), "--no-covers", "--out", str(tmp_path / "page")]
    assert main(["export", str(net), "--view", "#/conv1", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"Numbers of 1 layer: .* at most", lines[0])
    assert re.match(r"1 picture and 1 layer of .*: \d+ files, .*opens without a server:", lines[-2])
    assert json.loads((tmp_path / "page" / "striate-export.json").read_text())["layers"] == ["conv1"]
    assert main(["export", str(net), "--view", "http://127.0.0.1:8765/", *words]) != 0
    assert "names no layer" in capsys.readouterr().err


def test_the_page_saves_its_view_as_a_zip(browser, both, tmp_path):
    with served(both) as address:
        tab, complaints = new_tab(browser, accept_downloads=True)
        tab.goto(f"{address}/#/second_relu/3?show=patches")
        tab.wait_for_selector("#card .histogram")
        tab.get_by_role("button", name="Save this view as files").click()
        assert "--view '#/second_relu/3?picture=" in tab.inner_text(".saving code")
        with tab.expect_download() as coming:
            tab.get_by_role("button", name="Save as a zip").click()
        coming.value.save_as(tmp_path / "view.zip")
        until(tab, "document.querySelector('.saving [role=status]').textContent.includes('MB')")
        tab.keyboard.press("Escape")
        until(tab, "!document.querySelector('.saving')")
        tab.context.close()
    with zipfile.ZipFile(tmp_path / "view.zip") as packed:
        packed.extractall(tmp_path)
    tab, more = new_tab(browser)
    tab.goto((tmp_path / "striate" / "index.html").as_uri())
    tab.wait_for_selector("#card .histogram")
    until(tab, "document.querySelector('#units .cells:not([aria-busy]) canvas').width > 10")
    assert tab.get_by_role("button", name="Save this view as files").count() == 0
    assert tab.get_by_role("button", name="Best patches").get_attribute("aria-pressed") == "true"
    assert complaints + more == []
    tab.context.close()


def test_a_zip_is_made_one_at_a_time_and_of_views_only(client):
    answer = client.get("/api/export.zip", params={"view": "#/4/1"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        assert all(name.startswith("striate/") for name in packed.namelist())
    assert client.get("/api/export.zip", params={"view": "/etc/passwd"}).status_code == 400
    with route._one:
        busy = client.get("/api/export.zip", params={"view": "#/4/1"})
    assert busy.status_code == 429
    assert "being saved already" in busy.json()["error"]


def test_a_zip_that_nobody_waits_for_is_given_up_and_leaves_nothing(house, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun, told = threading.Event(), []

    def endless(*_: object, **__: object) -> None:
        begun.set()
        (Path(tempfile.mkdtemp(dir=next(tmp_path.iterdir()))) / "half.png").touch()
        while True:
            progress.check_stop("export the page")
            time.sleep(0.005)

    monkeypatch.setattr("striate.web.exporting.export", endless)

    async def asked(goes: Callable[[], object]) -> None:
        scope = {
            "type": "http", "method": "GET", "path": "/api/export.zip", "query_string": b"view=%23/4", "root_path": "",
            "headers": [(b"host", b"127.0.0.1")], "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, object]:
            for message in messages:
                return message
            while not begun.is_set():
                await asyncio.sleep(0.005)
            if goes() is False:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            told.append(message)

        await asyncio.wait_for(application(house)(scope, receive, send), 60)

    for goes in (lambda: None, lambda: bool(house.jobs.close())):  # the page was closed; the server ends
        begun.clear()
        told.clear()
        # in a thread of its own: Playwright's loop runs in this one
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda goes=goes: asyncio.run(asked(goes))).result(90)
        assert told[0]["status"] == 400
        assert b"as asked" in told[1]["body"]
        assert list(tmp_path.iterdir()) == []
        assert not route._one.locked()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1024), ("light", 390), ("dark", 390)])
def test_nothing_serious_in_any_view_of_an_export(browser, both, axe, tmp_path_factory, scheme, width):
    folder = tmp_path_factory.getbasetemp() / "everything"
    if not folder.exists():
        export(both, folder, covers=False, lenses=["saliency"])
    size = {"width": width, "height": 844 if width == 390 else 900}
    tab, complaints = new_tab(browser, reduced_motion="reduce", color_scheme=scheme, viewport=size)
    turn = tab.locator("#tabs").get_by_role("button")
    tab.goto((folder / "index.html").as_uri() + "#/second_relu/3")
    tab.wait_for_selector("body[data-ready]")
    until(tab, "document.querySelectorAll('.bars button').length > 0")
    for name in ("Picture", "Layers", "Units", "Unit") if width == 390 else ("",):
        if name:
            turn.filter(has_text=re.compile(f"^{name}$")).click()
        tab.wait_for_timeout(150)
        assert grave(tab, axe) == [], name
    tab.get_by_role("button", name="Guided").click()
    until(tab, "document.querySelector('#card .patches + .words')?.textContent.includes('guided backprop')")
    assert grave(tab, axe) == [], "guided"
    tab.evaluate(OPEN)
    tab.wait_for_selector("#arithmetic .sums")
    assert grave(tab, axe) == [], "arithmetic"
    tab.keyboard.press("Escape")
    for view, ready in (
        ("explain", "document.querySelector('.lens .stack .map')?.naturalWidth > 1"),
        ("map", "document.querySelector('#map .under').textContent.includes('Trustworthiness')"),
    ):
        tab.locator("#views a", has_text=view.title()).click()
        until(tab, ready)
        if view == "map":
            tab.locator("#map .stage canvas").focus()
            tab.keyboard.press("r")
            tab.wait_for_selector("#map aside [role=status]")
        assert grave(tab, axe) == [], view
    tab.keyboard.press("?")
    tab.wait_for_selector("#help[open]")
    assert grave(tab, axe) == [], "keys"
    tab.keyboard.press("Escape")
    if width == 1440:  # by keyboard alone
        tab.evaluate("document.activeElement.blur()")
        wanted, seen = tab.evaluate(REACHED), set()
        for _ in range(len(wanted) + 5):
            tab.keyboard.press("Tab")
            seen.add(tab.evaluate("document.activeElement.dataset.test ?? null"))
        assert [text for at, text in enumerate(wanted) if str(at) not in seen] == []
    assert complaints == []
    tab.context.close()


def test_a_picture_of_ones_own_is_answered_with_a_sentence(browser, both, tmp_path):
    export(both, tmp_path / "page", view="#/deep", covers=False)
    tab, complaints = new_tab(browser)
    tab.goto((tmp_path / "page" / "index.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    data = encode_png(np.zeros((8, 8, 3), np.uint8))
    tab.evaluate(
        """bytes => { const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], 'mine.png', { type: 'image/png' }));
          const settings = { dataTransfer: transfer, bubbles: true, cancelable: true };
          window.dispatchEvent(new DragEvent('drop', settings)); }""",
        list(data),
    )
    until(tab, "document.querySelector('#status').textContent.includes('takes pictures of your own')")
    assert complaints == []
    tab.context.close()
