"""One look at some pictures: which they are, and what each lens gave or why it would not. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate import registry
from striate.errors import OptionError, Stopped, StriateError
from striate.files import shown
from striate.images import find_images
from striate.network import Network
from striate.progress import Event, check_stop, report
from striate.reading import Broken, read
from striate.results import Result

if TYPE_CHECKING:
    from torch import Tensor

    from striate.atlas import Atlas

__all__ = ["MOST_PICTURES", "TASK", "Broken", "Run", "Visit", "arrive"]

TASK = "looking"  # what listeners to its progress hear
MOST_PICTURES = 64  # a page with more of them is too large to open and too long to read


@dataclass(frozen=True, eq=False)
class Run:
    """What came of one lens: a result, or the sentence with which it refused.

    Args:
        key: name of this run in results.json, unlike those of all others.
        lens: name of the lens.
        result: None when it refused.
        refusal: why; empty when it did not.
    """

    key: str
    lens: str
    result: Result | None
    refusal: str = ""


@dataclass(eq=False)
class Visit:
    """The pictures of a report, and every run of a lens on them so far.

    Args:
        network: that is looked at.
        images: shape (N, C, H, W), normalised: all pictures that could be read, as one batch.
        paths: where they came from, N of them.
        broken: those that could not be read.
        target: what is explained; None for the top class of each picture.
        trust: explanations are to be checked, which takes about as long as making them.
        atlas: what the network saw in a data set, in whose context the pictures are put; or None.
        runs: by key, in the order in which they were made.
    """

    network: Network
    images: Tensor
    paths: tuple[Path, ...]
    broken: tuple[Broken, ...]
    target: str | None
    trust: bool = True
    atlas: Atlas | None = None
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """What to call each picture: its file name, with its folder where two have the same; always printable."""
        names = [path.name for path in self.paths]
        return [
            shown(Path(path.parent.name, path.name) if names.count(path.name) > 1 else path.name) for path in self.paths
        ]

    def run(self, lens: str, *, key: str | None = None, **options: Any) -> Run:
        """Run a lens on the pictures, or return what it gave when it was run under this key before.

        Pictures, target and atlas are handed over where the lens takes them; a `target` among the options counts
        instead of the visit's.

        Args:
            lens: name of the lens.
            key: in results.json; the lens's name unless given.
            options: of the lens.

        Returns:
            The result, or the lens's refusal: a network without rectifiers has no guided backprop, and the rest
            of the report is worth reading all the same.

        Raises:
            Stopped: someone asked to stop.
        """
        needs = registry.describe(lens).needs
        given: dict[str, Any] = {"target": self.target} if "target" in needs else {}
        if "atlas" in needs:
            given["atlas"] = self.atlas
        pictures = (self.images,) if "images" in needs else ()
        return self.keep(
            key or lens, lens, lambda: registry.function(lens)(self.network, *pictures, **{**given, **options})
        )

    def keep(self, key: str, name: str, make: Callable[[], Result]) -> Run:
        """Make a result, or return what was made under this key before.

        Args:
            key: in results.json.
            name: of what makes it.
            make: makes it; a refusal is kept as well.

        Raises:
            Stopped: someone asked to stop.
        """
        if key not in self.runs:
            check_stop(TASK)
            report(Event(TASK, len(self.runs), None, note=key.replace("_", " ")))
            try:
                self.runs[key] = Run(key, name, make())
            except Stopped:
                raise
            except StriateError as error:
                self.runs[key] = Run(key, name, None, str(error))
        return self.runs[key]


def arrive(
    network: Network,
    paths: Sequence[str | Path],
    target: str | None,
    *,
    trust: bool = True,
    atlas: Atlas | None = None,
) -> Visit:
    """Read the pictures; those that cannot be read are set aside as long as one can.

    Args:
        network: says how pictures are to be read.
        paths: files, and folders to be walked.
        target: what is to be explained.
        trust: whether explanations are to be checked.
        atlas: of this network.

    Raises:
        ImageError: not one picture can be read, or nothing was found.
        OptionError: more pictures than a report holds.
    """
    files = find_images(paths)
    if len(files) > MOST_PICTURES:
        raise OptionError(
            f"{len(files):,} pictures are too many for one report, which holds {MOST_PICTURES}. "
            "Give fewer, or several folders one after another."
        )
    reading = read(network, files)
    images = reading.images
    network.graph(*images.shape[2:])  # worked out once, here, so that the first lens is not said to have taken so long
    return Visit(network, images, reading.paths, reading.broken, target, trust, atlas)
