"""`striate demo`: look at four photographs that come with scikit-image, in the context of an atlas of all of them."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.look import write_report
from striate.cli.source import Source
from striate.errors import MissingExtraError

if TYPE_CHECKING:
    from striate.network import Network
    from striate.results.drawn import Pixels

__all__ = ["CLASSES", "PHOTOGRAPHS", "demo", "demo_pictures", "demo_set"]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")

# These and the other pictures in the package that show something are the classes of the demo's atlas, by these names.
CLASSES = {
    "astronaut.png": "astronaut",
    "chelsea.png": "cat",
    "coffee.png": "coffee",
    "rocket.jpg": "rocket",
    "brick.png": "bricks",
    "cell.png": "cell",
    "coins.png": "coins",
    "grass.png": "grass",
    "gravel.png": "gravel",
    "hubble_deep_field.jpg": "galaxies",
    "ihc.png": "tissue",
    "moon.png": "moon",
    "motorcycle_left.png": "motorcycle",
    "page.png": "page",
    "retina.jpg": "retina",
}
_SIDE = 320  # pixels of a part's longer side: more than the network sees
_PART = 0.6  # of either side of a photograph that a part of it has


@click.command("demo", short_help="Look at four photographs that come along.")
@click.option(
    "--out",
    metavar="DIR",
    default="striate-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where report.html, results.json and the atlas go.",
)
@click.option("--device", metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps.")
@click.option(
    "--serve/--no-serve",
    default=None,
    help="Open the microscope on them at the end, until Ctrl-C. [default: where somebody sits at a terminal]",
)
def demo(out: Path, device: str | None, serve: bool | None) -> None:
    """Look at four photographs with EfficientNet-Lite0, trained on ImageNet.

    The photographs (an astronaut, a cat, a coffee, a rocket) come with scikit-image, the weights with the
    extra "demo": nothing is downloaded. An atlas of parts of these and a dozen other pictures that come along
    shows them in context, and lies in DIR/atlas for the lenses that take --atlas. At the end the microscope is
    served: a page to look at all of this live.
    """
    click.echo("Looking at an astronaut, a cat, a coffee and a rocket with EfficientNet-Lite0.", err=True)
    source = Source("efficientnet_lite0", device=device)
    write_report(source, demo_pictures(), out, atlas=lambda net: _atlas(net, out))
    if serve is None:  # a script that runs the demo would wait for ever
        serve = sys.stdout.isatty()
    if serve:
        _serve(source, out)
    else:
        click.echo(f"The microscope on all of this: striate serve efficientnet_lite0 --atlas {out / 'atlas'}", err=True)


def _serve(source: Source, out: Path) -> None:
    """Open the microscope on what was looked at; where its port is taken, at another."""
    from striate.cli.house import check_extra
    from striate.cli.serve import PORT, serve_house

    check_extra()
    from striate.web.house import House

    house = House.open(source.load(), atlas=out / "atlas", pictures=demo_pictures())
    serve_house(house, port=PORT, or_any=True)


def _atlas(network: Network, out: Path) -> Path:
    """Build the atlas of the demo, anew each time: it takes seconds."""
    from striate import atlas

    folder = out / "atlas"
    shutil.rmtree(folder, ignore_errors=True)
    atlas.build(network, demo_set(out / "pictures"), folder, layers="stages")
    return folder


def demo_set(folder: Path) -> Path:
    """Cut the photographs into parts: the corners and the middle of each, a folder for each photograph.

    What lies in one folder shows parts of one thing. So the report can tell how often a part's nearest neighbour is of
    the same thing, by what the network makes of them and by their pixels.

    Args:
        folder: where the parts are written, as JPEG; what is there stays.

    Returns:
        The folder.

    Raises:
        MissingExtraError: scikit-image is not installed, or does not bring the photographs.
        OutputError: they cannot be written.
    """
    from striate.files import write_bytes
    from striate.images import encode_jpeg

    data = demo_pictures()[0].parent
    for path in (one for name in CLASSES if (one := data / name).is_file()):
        for name, part in _parts(path).items():
            file = folder / CLASSES[path.name] / f"{name}.jpg"
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(file, encode_jpeg(part))
    return folder


def _parts(path: Path) -> dict[str, Pixels]:
    """Return the corners and the middle of a photograph, uint8 (H, W, 3), none larger than the network needs."""
    import numpy as np

    from striate.drawing import resample_bilinear
    from striate.images import read_image

    whole = np.asarray(read_image(path))
    height, width = (round(_PART * side) for side in whole.shape[:2])
    down, across = whole.shape[0] - height, whole.shape[1] - width
    corners = {
        "top left": (0, 0),
        "top right": (0, across),
        "middle": (down // 2, across // 2),
        "bottom left": (down, 0),
        "bottom right": (down, across),
    }
    scale = min(1.0, _SIDE / max(height, width))
    size = round(scale * height), round(scale * width)
    return {
        name: resample_bilinear(np.ascontiguousarray(whole[top : top + height, left : left + width]), size)
        for name, (top, left) in corners.items()
    }


def demo_pictures() -> tuple[Path, ...]:
    """Return the paths of the four photographs.

    Raises:
        MissingExtraError: scikit-image is not installed, or does not bring them.
    """
    # skimage.data would fetch over the network what is not there; these four lie in the package itself
    spec = find_spec("skimage")
    folders = [Path(place) / "data" for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        paths = tuple(folder / name for name in PHOTOGRAPHS)
        if all(path.is_file() for path in paths):
            return paths
    raise MissingExtraError(
        "the photographs of the demo come with scikit-image, which is missing here or incomplete. "
        "Install it (pip install --force-reinstall scikit-image), or look at a picture of yours: "
        "striate look efficientnet_lite0 PICTURE"
    )
