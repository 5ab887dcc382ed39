"""`python -m shots [NAME...]`: serve the microscope, open it in Chromium, keep pictures of its views in docs/images.

What is slow (the atlas of the demo, a small training) is kept in build/shots.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from striate import keep_memory, load
from striate.cli.demo import demo_pictures, demo_set
from striate.web.background import serving
from striate.web.house import House

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
WORK = ROOT / "build" / "shots"
NETWORK, OTHER = "efficientnet_lite0", "efficientnet_lite1"
LAYER, UNIT = "blocks.4", 11
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
USUAL = ("units", "explain", "map")  # the others are to be looked at: --out elsewhere
PATIENCE = 120  # seconds: the first answers of a network take their time


def main() -> int:
    """Take the pictures that are named, or those that the docs show."""
    parser = argparse.ArgumentParser(prog="python -m shots", description="Take pictures of the microscope.")
    parser.add_argument("names", nargs="*", choices=[*SHOTS, []], metavar="NAME", help=f"of {', '.join(SHOTS)}")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where they go")
    options = parser.parse_args()
    names = options.names or list(USUAL)
    from playwright.sync_api import sync_playwright

    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        for serve, wanted in ((_network, [name for name in names if name != "run"]), (_training, ["run"])):
            if not (mine := [name for name in wanted if name in names]):
                continue
            with serving(serve()) as address:
                for name in mine:
                    path = options.out / f"microscope-{name}.jpg"
                    _take(browser, address, path, SHOTS[name], phone=name.startswith("phone"), dark=name == "dark")
                    print(path, flush=True)
        browser.close()
    return 0


# --- the views


def _units(page: Page, address: str) -> None:
    _go(page, f"{address}/#/{LAYER}/{UNIT}?picture={_picture(page, 'chelsea')}&show=patches")
    page.wait_for_selector("#card .patches canvas")
    _until(page, "document.querySelector('.focus canvas').width > 10")
    page.locator(".pad").hover(position={"x": 120, "y": 60})
    page.wait_for_selector(".column:not(.empty) button")


def _explain(page: Page, address: str) -> None:
    _go(
        page,
        f"{address}/#/{LAYER}/{UNIT}?picture={_picture(page, 'chelsea')}&view=explain&lens=saliency,grad_cam,occlusion",
    )
    _until(page, "document.querySelectorAll('.lens .stack .map').length === 3")
    _until(page, "[...document.querySelectorAll('.lens .map')].every((map) => map.complete && map.naturalWidth > 1)")


def _map(page: Page, address: str) -> None:
    _go(page, f"{address}/#/{LAYER}/{UNIT}?view=map")
    _until(page, "document.querySelector('#map .under').textContent.includes('Trustworthiness')")
    page.wait_for_timeout(1500)
    page.locator("#map .stage canvas").focus()
    for _ in range(12):
        page.keyboard.press("n")
    page.wait_for_selector("#map aside .patches img")


def _arithmetic(page: Page, address: str) -> None:
    _go(page, f"{address}/#/conv_stem/14?picture={_picture(page, 'chelsea')}")
    _until(page, "document.querySelector('.focus canvas').width > 10")
    page.locator(".focus canvas").click(position={"x": 80, "y": 60})
    page.wait_for_selector("#arithmetic .sums")


def _beside(page: Page, address: str) -> None:
    _go(page, f"{address}/#/{LAYER}?picture={_picture(page, 'coffee')}&other=1")
    _until(page, "document.querySelectorAll('.cells:not([aria-busy]) canvas').length === 2")
    _until(page, "document.querySelectorAll('.answers .bars').length === 2")


def _run(page: Page, address: str) -> None:
    _go(page, f"{address}/#/?view=run")
    page.wait_for_selector("#runs .grown td")


def _cover(page: Page, address: str) -> None:
    _go(page, f"{address}/#/{LAYER}/{UNIT}?picture={_picture(page, 'coffee')}")
    _until(page, "document.querySelector('.focus canvas').width > 10")
    page.locator(".pad").click(position={"x": 100, "y": 80})
    _until(page, "document.querySelector('.change').textContent.includes('Covering this patch')")


def _tab(name: str, view: str = "") -> Callable[[Page, str], None]:
    def shown(page: Page, address: str) -> None:
        _go(page, f"{address}/#/{LAYER}/{UNIT}?picture={_picture(page, 'chelsea')}{view}")
        page.locator("#tabs button").nth(("picture", "layers", "units", "card").index(name)).click()
        if "explain" in view:
            _until(page, "document.querySelectorAll('.lens .stack .map').length === 3")
        page.wait_for_timeout(1500)

    return shown


SHOTS: dict[str, Callable[[Page, str], None]] = {
    "units": _units,
    "dark": _cover,
    "explain": _explain,
    "map": _map,
    "arithmetic": _arithmetic,
    "beside": _beside,
    "run": _run,
    "phone-picture": _tab("picture"),
    "phone-layers": _tab("layers"),
    "phone-units": _tab("units"),
    "phone-explain": _tab("units", "&view=explain"),
    "phone-map": _tab("units", "&view=map"),
    "phone-card": _tab("card"),
}


# --- what is served


def _network() -> House:
    """Open the network of the demo with its atlas, and another beside it."""
    from striate import atlas

    network, folder = load(NETWORK), WORK / "atlas"
    if not (folder / "manifest.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        atlas.build(network, demo_set(WORK / "pictures"), folder, layers="stages")
    return House.open(network, atlas=folder, pictures=demo_pictures(), compare=OTHER)


def _training() -> House:
    """Train a small network on handwritten digits for some epochs, once."""
    import numpy as np
    from sklearn.datasets import load_digits

    from striate.images import encode_png
    from striate.learn import fit

    digits, run = load_digits(), WORK / "run"
    for index, (pixels, label) in enumerate(zip(digits.images[:600], digits.target[:600], strict=True)):
        path = WORK / "digits" / str(label) / f"{index}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = np.rint(pixels * (255 / 16)).astype(np.uint8)
            path.write_bytes(encode_png(grey.repeat(2, 0).repeat(2, 1)))
    fit(load("striate:cnn2,classes=10,size=16,channels=1"), WORK / "digits", out=run, epochs=8, batch=32)
    return House.open(str(run), pictures=[WORK / "digits" / "3"])


# --- the browser


def _take(
    browser: Browser, address: str, path: Path, show: Callable[[Page, str], None], *, phone: bool, dark: bool
) -> None:
    scheme = "dark" if dark else "light"
    context = browser.new_context(
        viewport=PHONE if phone else WIDE,  # type: ignore[arg-type]
        device_scale_factor=1.5,
        has_touch=phone,
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    show(page, address)
    page.wait_for_timeout(500)
    page.screenshot(path=path, type="jpeg", quality=82)
    context.close()


def _go(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".bars button", state="attached")  # on the map it is hidden
    _until(page, "!document.querySelector('.cells[aria-busy]')")
    page.wait_for_timeout(300)


def _picture(page: Page, name: str) -> str:
    pictures = page.evaluate("fetch('api/session').then((answer) => answer.json()).then(({ pictures }) => pictures)")
    return str(next(one["id"] for one in pictures if one["name"].startswith(name)))


def _until(page: Page, true: str) -> None:
    """Wait for a condition in the page; Playwright's own way is refused by the page's policy."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(true):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{true} did not come about; the page says: {page.inner_text('#status')}")
        page.wait_for_timeout(50)


def _chromium() -> str | None:
    """Return the system's browser; None takes Playwright's own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


if __name__ == "__main__":
    keep_memory()
    raise SystemExit(main())
