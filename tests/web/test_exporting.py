"""The page as files: they hold what the server answers, and open without one, as a file and from any server."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate.cli import main
from striate.errors import AddressError, OptionError, OutputError, Stopped
from striate.images import encode_png, read_image
from striate.progress import listen, stoppable
from striate.web.asking import question_of
from striate.web.exporting import PLACES, export
from striate.web.house import House
from striate.web.still import MARK, page_without_server
from web.browsing import colours, new_tab, until
from web.conftest import small_network

COUNT = 12  # pictures of the atlas


def index_of(folder: Path) -> dict:
    text = (folder / "index.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("globalThis.exported = ").rstrip(";\n"))


def answers_of(folder: Path) -> dict:
    found = {}
    for path in (folder / "answers").iterdir():
        number, text = re.fullmatch(r"exported\.take\((\d+), (.*)\);\n", path.read_text("utf-8"), re.DOTALL).groups()
        assert path.stem == number
        found |= json.loads(text)
    return found


@pytest.fixture(scope="module")
def exported(house, tmp_path_factory) -> Path:
    """An export of two networks and two pictures."""
    out = tmp_path_factory.mktemp("export") / "page"
    made = export(house, out, classes=2, lenses=["saliency", "predictions"])
    assert made.left_out == ()
    assert made.files == sum(1 for path in out.rglob("*") if path.is_file())
    assert made.bytes == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return out


@pytest.fixture(scope="module")
def of_atlas(tmp_path_factory) -> Path:
    """An export with an atlas."""
    folder = tmp_path_factory.mktemp("atlas")
    network = make_network()
    images = pictures_of(network, COUNT)
    (folder / "fourth.png").write_bytes(encode_png(network.spec.pixels(images[4:5])[0]))
    atlas = small_atlas(folder / "atlas", network, images, features=["deep"])
    house = House.open(network, atlas=atlas, pictures=[folder / "fourth.png"])
    made = export(house, folder / "page", covers=False, lenses=[])
    assert made.left_out == ()
    return folder / "page"


def test_the_files_hold_what_the_server_answers(exported, client, house, picture):
    kept, index = answers_of(exported), index_of(exported)
    for path, parameters in (
        ("network", {}),
        ("predictions", {"picture": picture, "top": 5}),
        ("predictions", {"picture": picture, "top": 5, "other": True}),
        ("activations", {"layer": "4", "picture": picture}),
        ("filters", {"layer": "4"}),
    ):
        given = {name: "1" if value is True else value for name, value in parameters.items()}
        assert kept[question_of(path, parameters)] == client.get(f"/api/{path}", params=given).json(), path
    for path, parameters in (
        ("activations.png", {"layer": "4", "picture": picture}),
        ("filters.png", {"layer": "4"}),
        (f"pictures/{picture}.png", {"side": 96}),
    ):
        file = exported / index["files"][question_of(path, parameters)]
        assert file.read_bytes() == client.get(f"/api/{path}", params=parameters).content, path
    assert index["about"]["weights"] == house.network.weights_hash


def test_what_units_see_is_kept_by_rows_and_columns(exported, client, picture):
    held = answers_of(exported)[question_of("fields", {"layer": "4", "picture": picture})]
    assert (len(held["rows"]), len(held["columns"])) == (10, 8)  # the map of that layer
    for row, col in ((0, 0), (3, 7), (9, 2)):
        asked = {"layer": "4", "row": row, "col": col, "picture": picture}
        found = client.get("/api/field", params=asked).json()
        if found is None:
            assert held["rows"][row] is None or held["columns"][col] is None
        else:
            assert held["rows"][row] == [found["top"], found["bottom"]]
            assert held["columns"][col] == [found["left"], found["right"]]


def test_covers_and_explanations_are_those_of_the_server(exported, client, picture):
    kept = answers_of(exported)
    row, col = 6, 9
    place = {"picture": picture, "x": (col + 0.5) / PLACES, "y": (row + 0.5) / PLACES, "size": 32}
    found = client.get("/api/occlude", params=place).json()
    held = kept[question_of("covers", {"picture": picture, "row": row})]
    assert len(held) == PLACES
    assert held[col] == {name: found[name] for name in ("before", "after", "target", "box", "drop")}
    top = client.get("/api/predictions", params={"picture": picture, "top": 2}).json()["classes"]
    target = f"class:{top[1]['index']}"
    seen = kept[question_of("run", {"lens": "saliency", "picture": picture, "target": target})]
    body = {"lens": "saliency", "pictures": [picture], "target": [target]}
    overlay = client.post("/api/run", json=body).json()["overlays"][0]
    assert (exported / seen["overlays"][0]["map"]).read_bytes() == client.get(overlay["map"]).content
    names = [one["name"] for one in kept["lenses"]]
    assert names == ["predictions", "saliency"]  # the page offers no other


def test_the_modules_stand_in_the_page():
    page = page_without_server()
    modules = json.loads(re.search(r'<script type="importmap">(.*?)</script>', page)[1])["imports"]
    assert "striate/main" in modules
    assert "striate/exported" not in modules  # it stands in the place of api
    import base64

    for name, address in modules.items():
        source = base64.b64decode(address.partition(",")[2]).decode()
        for wanted in re.findall(r"""(?:from|import\()\s*["`]([^"`]+)["`]""", source):
            assert wanted in modules or wanted == "striate/${name}", (name, wanted)


def test_only_an_export_is_replaced(house, exported, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="holds other files"):
        export(house, tmp_path / "mine", covers=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    again = tmp_path / "again"
    export(house, again, covers=False, lenses=[], layers=["0"])
    (again / "stale.txt").touch()
    made = export(house, again, covers=False, lenses=[], layers=["4"])
    assert not (again / "stale.txt").exists()
    assert made.layers == ("4",)
    assert json.loads((again / MARK).read_text())["layers"] == ["4"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_one_that_is_stopped_leaves_nothing(house, tmp_path):
    with stoppable() as stop:

        def halt(event):
            if event.done == 2:
                stop.stop()

        with listen(halt), pytest.raises(Stopped):
            export(house, tmp_path / "page", covers=False)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said_before_the_work(house, tmp_path):
    with pytest.raises(AddressError, match="nowhere"):
        export(house, tmp_path / "page", layers=["nowhere"])
    with pytest.raises(OptionError, match="style cannot be exported"):
        export(house, tmp_path / "page", lenses=["style"])
    with pytest.raises(OptionError, match="no pictures to export"):
        export(House.open(small_network()), tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote_and_where(tmp_path, pictures, capsys):
    import striate

    net = striate.load("striate:cnn2,classes=3,size=16").save(tmp_path / "net.safetensors")
    words = ["--pictures", str(pictures / "chelsea.png"), "--lens", "saliency", "--no-covers"]
    assert main(["export", str(net), "--out", str(tmp_path / "page"), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"1 pictures? and \d+ layers of .*: \d+ files, .*opens without a server:", lines[-2])
    assert lines[-1] == str(tmp_path / "page" / "index.html")
    assert main(["export", str(net), "--out", str(net), *words]) == 2
    assert "no folder" in capsys.readouterr().err


# --- in a browser


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Serve files, and nothing else."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def check_page(page, address: str, picture_width: int) -> None:
    page.goto(f"{address}#/4/2")
    page.wait_for_selector("body[data-ready]")
    until(page, "document.querySelectorAll('.bars button').length === 4")
    until(page, "document.querySelector('.focus canvas').width > 10")
    until(page, "document.querySelector('#cell').textContent.startsWith('Unit 2')")
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('.photo img').naturalWidth") == picture_width
    page.locator(".focus canvas").hover(position={"x": 60, "y": 60})
    until(page, "document.querySelector('.photo figcaption').textContent.includes('sees')")
    page.locator(".pad").hover(position={"x": 80, "y": 80})
    until(page, "document.querySelector('.column p').textContent.includes('the strongest')")
    page.keyboard.press("a")
    page.wait_for_selector("#arithmetic .sums")
    assert "the network says" in page.inner_text("#arithmetic")
    page.keyboard.press("Escape")
    page.locator(".pad").click(position={"x": 80, "y": 80})
    until(page, "document.querySelector('.change').textContent.includes('Covering this patch')")
    page.get_by_role("link", name="Explain").click()
    until(page, "document.querySelector('.lens .stack .map')?.naturalWidth > 1")
    assert page.locator("#target option").count() == 2  # as many classes as were explained
    page.get_by_label("Beside small 1").check()
    until(page, "document.querySelectorAll('.lens .stack .map').length === 2")
    page.get_by_role("link", name="Units", exact=True).click()
    until(page, "document.querySelectorAll('.cells:not([aria-busy]) canvas').length === 2")


@pytest.mark.parametrize("way", ["as a file", "from a server"])
def test_it_opens_without_our_server(browser, exported, picture, way):
    tab, complaints = new_tab(browser)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    width = read_image(exported / index_of(exported)["files"][f"pictures/{picture}.png?side=640"]).width
    if way == "as a file":
        check_page(tab, (exported / "index.html").as_uri(), 64)
        tab.get_by_role("button", name="Picture chelsea.png").click()
        until(tab, f"document.querySelector('.photo img').naturalWidth === {width}")
        # a layer that was left out is answered with a sentence and the way to those that are there
        tab.evaluate("location.hash = '#/2.conv/0'")
        until(tab, "document.querySelector('.grid .message').textContent.includes('was not exported')")
        assert "striate serve 'small 0'" in tab.inner_text(".grid .message")
        assert all(url.startswith(("file:", "data:")) for url in asked)
    else:
        with static(exported) as address:
            check_page(tab, address, 64)
            assert all(url.startswith((address, "data:")) for url in asked)
    assert complaints == []
    tab.context.close()


def test_cards_and_the_map_of_an_atlas(browser, of_atlas):
    kept = answers_of(of_atlas)
    assert (
        sum(question.startswith("unit?layer=second_relu&") for question in kept)
        == kept["patches?layer=second_relu"]["channels"]
    )
    tab, complaints = new_tab(browser, reduced_motion="reduce")
    with static(of_atlas) as address:  # of a page that is a file the canvases cannot be read
        look_at_cards_and_map(tab, address)
    assert complaints == []
    tab.context.close()


def look_at_cards_and_map(tab, address: str) -> None:
    tab.goto(f"{address}#/second_relu/0?show=patches")
    tab.wait_for_selector("#card .histogram")
    until(tab, "document.querySelectorAll('#card .patches canvas').length > 3")
    tab.wait_for_timeout(300)
    assert colours(tab, "#card .patches canvas") > 10
    tab.get_by_role("button", name="Guided").click()
    until(tab, "document.querySelector('#card .patches + .words')?.textContent.includes('guided backprop')")
    assert tab.locator("#card .patches canvas").count() >= 3
    tab.get_by_role("link", name="Map").click()
    until(tab, "document.querySelector('#map .under').textContent.includes('Trustworthiness')")
    until(tab, lambda: colours(tab, "#map .stage canvas") > 100)
    tab.locator("#map .stage canvas").focus()
    tab.keyboard.press("n")
    tab.wait_for_selector("#map aside .patches img")
    tab.get_by_role("button", name="Lasso").click()
    tab.locator("#map .stage canvas").focus()
    tab.keyboard.press("r")
    tab.wait_for_selector("#map aside [role=status]")
    assert f"pictures of {COUNT}." in tab.inner_text("#map aside [role=status]")
    assert tab.locator("#map aside img").evaluate_all("all => all.every(one => one.src.endsWith('.jpg'))")
    tab.locator("#map .stage canvas").focus()
    tab.keyboard.press("Escape")
    tab.keyboard.press("n")
    tab.wait_for_selector("#map aside .patches img")
    # what would be sent to a server is answered with a sentence
    tab.keyboard.press("Enter")
    until(tab, "document.querySelector('#status').textContent.includes('was not exported')")


def test_missing_files_are_said(browser, exported, tmp_path):
    import shutil

    shutil.copytree(exported, tmp_path / "half", ignore=shutil.ignore_patterns("answers"))
    tab, _ = new_tab(browser)
    tab.goto((tmp_path / "half" / "index.html").as_uri())
    until(tab, "document.body.textContent.includes('was not copied as a whole')")
    tab.context.close()
