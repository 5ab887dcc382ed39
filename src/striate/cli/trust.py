"""`striate trust`: how far to believe what lenses show of some pictures. Parses, calls the library, shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.source import SOURCES, Source, source_options

if TYPE_CHECKING:
    from striate.results import Result

__all__ = ["trust"]

LENSES = ("saliency", "saliency:rule=guided", "grad_cam")


def _box(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Read four whole numbers with commas between them."""
    if text is None:
        return None
    try:
        top, left, bottom, right = (int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no box: give TOP,LEFT,BOTTOM,RIGHT in pixels.") from None
    return top, left, bottom, right


@click.command("trust", short_help="Check how far to believe an explanation.", epilog=SOURCES)
@source_options
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--lens",
    "lenses",
    metavar="NAME[:OPTION=VALUE,...]",
    multiple=True,
    help=f"What to check, once for each lens: grad_cam, saliency:rule=guided. [default: {', '.join(LENSES)}]",
)
@click.option("--target", metavar="ADDRESS", help="What is explained; each picture's top class when left out.")
@click.option(
    "--out",
    metavar="DIR",
    default="striate-trust",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where trust.json and the pictures go.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Points of a deletion curve.",
)
@click.option(
    "--deletion",
    metavar="NAME",
    default="mean",
    show_default=True,
    help="What stands in for a deleted pixel: black, white, grey, mean, blur, noise or #rrggbb.",
)
@click.option(
    "--insertion", metavar="NAME", default="blur", show_default=True, help="The picture that insertion begins with."
)
@click.option(
    "--stages",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="How many times the maps are redrawn while the network's layers get random weights from the top down.",
)
@click.option(
    "--similarity",
    type=click.Choice(["rank", "ssim"]),
    default="rank",
    show_default=True,
    help="How maps are compared: by the order of their pixels, or by structure.",
)
@click.option(
    "--noise",
    type=click.FloatRange(min=0, min_open=True),
    default=0.02,
    show_default=True,
    metavar="NUMBER",
    help="Noise that maps should survive, where black is 0 and white is 1.",
)
@click.option(
    "--box",
    metavar="TOP,LEFT,BOTTOM,RIGHT",
    callback=_box,
    help="Where the thing is, in pixels of the picture as the network sees it, last row and column included.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of everything that is random.")
def trust(source: Source, pictures: tuple[Path, ...], lenses: tuple[str, ...], out: Path, **options: Any) -> None:
    """Check how far to believe what lenses show.

    Deletion and insertion: does the score follow the pixels that a map marks? Randomisation: does the map change
    when the network forgets what it has learned? Stability: does it survive noise that nobody sees? Agreement: do
    the lenses tell the same story? With --box: do they point at the thing?
    """
    from striate.files import shown, write_text
    from striate.images import find_images

    paths = find_images(pictures)
    box, target, seed = options["box"], options["target"], options["seed"]
    from striate import trust as checks
    from striate.reading import read
    from striate.results import encode_json

    judged = checks.explainers(lenses or LENSES)  # what is misspelt is said before the network is loaded
    network = source.load()
    for note in network.notes:
        click.echo(note, err=True)
    reading = read(network, paths)
    if reading.broken:
        click.echo(reading.sentence(), err=True)
    images = reading.images
    maps = {one.name: checks.explain(one, network, images, target) for one in judged}
    if box is not None:
        pointing = checks.pointing(maps, box)
    curves = checks.curves(
        network,
        images,
        maps,
        steps=options["steps"],
        deletion=options["deletion"],
        insertion=options["insertion"],
        seed=seed,
    )
    randomisation = checks.randomisation(
        network,
        images,
        judged,
        target,
        stages=options["stages"],
        similarity=options["similarity"],
        seed=seed,
        heatmaps=maps,
    )
    stability = checks.stability(
        network, images, judged, target, noise=options["noise"], similarity=options["similarity"], seed=seed
    )
    results: dict[str, Result] = {"curves": curves, "randomisation": randomisation, "stability": stability}
    if len(maps) > 1:
        agreement = checks.agreement(maps)
        results["agreement"] = agreement
    if box is not None:
        results["pointing"] = pointing

    names = [shown(path.name) for path in reading.paths]
    for name in maps:
        click.echo(click.style(name, bold=True))
        for index, picture in enumerate(names):
            click.echo(f"  {picture}  {curves.target[index]}  {curves.sentence(name, index)}")
            if box is not None:
                click.echo(f"  {picture}  {pointing.sentence(name, index)}")
        click.echo(f"  {randomisation.sentence(name)}")
        click.echo(f"  {stability.sentence(name)}")
    if len(maps) > 1:
        click.echo(agreement.sentence())
    for key, result in results.items():
        if key != "stability":  # a sentence says it
            click.echo(str(result.save(out / f"{key}.png")))
    plain = {key: {"recipe": result.recipe.to_dict(), **result.numbers()} for key, result in results.items()}
    made = {name: heatmap.recipe.to_dict() for name, heatmap in maps.items()}
    click.echo(str(write_text(out / "trust.json", encode_json({"pictures": names, "maps": made, **plain}))))
