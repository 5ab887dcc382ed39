"""How a transfer lies on disk: what it was begun with, what was measured, its best network as a run.

OUT/begun.json            of which network and pictures it is; others are refused
OUT/features/             features of all pictures, an atlas
OUT/measured.json         how like the pictures are, and what the features took
OUT/heads/                heads that were fitted
OUT/tuning/               fine-tuning, a run for each stage
OUT/scratch/              the run from random weights
OUT/network.safetensors   the best; `striate.load(OUT)` loads it. With settings.json and split.csv OUT is a run
OUT/transfer.json         the table
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.errors import DataError, OutputError, TrainingError
from striate.files import csv_text, one_line, shown, write_bytes, write_text
from striate.learn.folder import Folder
from striate.learn.pictures.split import Split
from striate.learn.ranks import ranks_here
from striate.learn.settings import Settings
from striate.learn.taking_up import about
from striate.network import Network
from striate.results import encode_json
from striate.results.transferring import Transfer

__all__ = ["Kept", "read_transfer"]

_FORMAT = "striate-transfer-1"
_TABLE = "transfer.json"


class Kept:
    """The folder of a transfer.

    Attributes:
        path: of it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def features(self) -> Path:
        """Features of all pictures."""
        return self.path / "features"

    @property
    def heads(self) -> Path:
        """Heads that were fitted."""
        return self.path / "heads"

    @property
    def tuning(self) -> Path:
        """Fine-tuning."""
        return self.path / "tuning"

    @property
    def scratch(self) -> Path:
        """The run from random weights."""
        return self.path / "scratch"

    def begin(self, network: Network, parts: Split, seed: int) -> None:
        """Write down of what this transfer is, or make sure that it is this one.

        Raises:
            OutputError: there is something else in the folder.
            TrainingError: there is a transfer of another network, of other pictures or of another seed.
        """
        now = {
            "network": network.name,
            "weights": network.weights_hash,
            "spec": network.spec.to_dict(),
            "pictures": parts.identity,
            "count": [len(parts.train_indices), len(parts.validation_indices)],
            "classes": len(parts.class_names),
            "seed": seed,
        }
        now = json.loads(json.dumps(now))
        file = self.path / "begun.json"
        was = _read(file)
        if was is None:
            others = sorted(entry.name for entry in self.path.iterdir() if entry.name not in ("lock", "features"))
            if others := [name for name in others if not name.startswith(".")]:
                raise OutputError(
                    f"{shown(self.path)} is not empty ({', '.join(others[:3])}{', ...' * (len(others) > 3)}), and what "
                    "is in it is no transfer. Name a folder that is empty, or not there yet."
                )
            write_text(file, json.dumps({"format": _FORMAT, **now}, indent=1) + "\n")
            return
        wrong = []
        if was.get("weights") != now["weights"]:
            wrong.append(
                f"it is of {was.get('network')} with weights {was.get('weights')}, not of this {network.name} with "
                f"weights {now['weights']}"
            )
        if was.get("spec") != now["spec"]:
            wrong.append("its pictures were prepared in another way (size, mean or std)")
        if was.get("pictures") != now["pictures"]:
            then = was.get("count") or [0, 0]
            wrong.append(
                f"its pictures were others ({then[0]:,} and {then[1]:,}; now {now['count'][0]:,} and "
                f"{now['count'][1]:,}), or had other labels"
            )
        if was.get("seed") != seed:
            wrong.append(f"its seed was {was.get('seed')}, not {seed}")
        if wrong:
            raise TrainingError(
                f"the transfer in {shown(self.path)} cannot be gone on with: {'; '.join(wrong)}. Its features and "
                "heads belong to what it was begun with. Give that, or another folder."
            )

    def measured(self) -> dict[str, Any]:
        """Read what was measured; nothing where it was not yet."""
        return _read(self.path / "measured.json") or {}

    def write_measured(self, measured: Mapping[str, Any]) -> None:
        """Write what was measured."""
        write_text(self.path / "measured.json", encode_json(dict(measured)))

    def write(
        self,
        found: Transfer,
        network: Network,
        parts: Split,
        settings: Settings,
        skipped: Sequence[tuple[str, str, str]],
    ) -> None:
        """Write the table, and the best network as a run.

        Args:
            found: the table.
            network: the best.
            parts: the pictures.
            settings: how it was trained, where it was.
            skipped: pictures that could not be read: part, name, reason.

        Raises:
            OutputError: it cannot be written.
        """
        folder = Folder(self.path)
        predictions = self.path / "predictions.npz"
        predictions.unlink(missing_ok=True)  # of the network that was best before
        write_bytes(folder.network, network.to_bytes(nameless=True))
        parts.save(folder.split)
        if skipped:
            write_text(folder.skipped, csv_text([("part", "picture", "reason"), *skipped]))
        written = about(network, parts, settings, network.spec, ranks_here(), "float32")
        words = f"made by transfer; best is {found.best.name} (validation {100 * found.best.accuracy:.1f} %)"
        folder.write_about({**written, "notes": list(found.recipe.notes), "transfer": words})
        write_text(self.path / _TABLE, encode_json({"recipe": found.recipe.to_dict(), **found.numbers()}))


def read_transfer(path: str | os.PathLike[str]) -> Transfer:
    """Read the table of a transfer that is over.

    Args:
        path: its folder.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    found = _read(Path(path) / _TABLE)
    if found is None:
        raise DataError(
            f"{shown(path)} holds no transfer that is over (it has no {_TABLE}). `striate transfer` makes one."
        )
    return Transfer.from_dict(found, Path(path))


def _read(file: Path) -> dict[str, Any] | None:
    """Read a file of ours; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shown(file)} cannot be read ({one_line(error)}). Take it away, and do the transfer again."
        ) from error
    return found if isinstance(found, dict) else None
