"""`striate demo`: look at four photographs that come with scikit-image, with EfficientNet-Lite0."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from striate.cli.look import write_report
from striate.cli.source import Source
from striate.errors import MissingExtraError

__all__ = ["PHOTOGRAPHS", "demo", "demo_pictures"]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@click.command("demo", short_help="Look at four photographs that come along.")
@click.option(
    "--out",
    metavar="DIR",
    default="striate-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where report.html and results.json go.",
)
@click.option("--device", metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps.")
def demo(out: Path, device: str | None) -> None:
    """Look at four photographs with EfficientNet-Lite0, trained on ImageNet.

    The photographs (an astronaut, a cat, a coffee, a rocket) come with scikit-image, the weights with the
    extra "demo": nothing is downloaded.
    """
    click.echo("Looking at an astronaut, a cat, a coffee and a rocket with EfficientNet-Lite0.", err=True)
    write_report(Source("efficientnet_lite0", device=device), demo_pictures(), out)


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
