"""What to call the classes of an atlas's pictures. Looks names up; reads no picture."""

from __future__ import annotations

from collections.abc import Sequence

from striate.atlas.opened import Atlas

__all__ = ["label_word", "said_word", "words"]


def label_word(atlas: Atlas, label: int) -> str:
    """Return the first synonym of a class that pictures are labelled with; empty for -1, which is not known."""
    return _word(atlas.label_names, label)


def said_word(atlas: Atlas, prediction: int) -> str:
    """Return the first synonym of a class that the network says; empty for -1, which is none."""
    names = atlas.class_names
    if names is None and atlas.labels_are_classes:
        names = atlas.label_names
    return _word(names, prediction)


def words(atlas: Atlas, index: int) -> tuple[str, str]:
    """Return the class that a picture is of, and the one that the network took it for; empty where unknown."""
    label = -1 if atlas.labels is None else int(atlas.labels[index])
    return label_word(atlas, label), said_word(atlas, int(atlas.predictions[index]) if atlas.predicts else -1)


def _word(names: Sequence[str] | None, index: int) -> str:
    if index < 0:
        return ""
    return names[index].split(",")[0].strip() if names is not None and index < len(names) else f"class {index}"
