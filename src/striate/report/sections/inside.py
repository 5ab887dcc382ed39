"""Inside: the first layer's filters, then a few depths with their strongest channels and what a unit sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from striate import drawing
from striate.report.pictures import map_uri
from striate.report.visit import Visit
from striate.results import Activations, FilterBank
from striate.results.drawn import Pixels
from striate.results.fields import field_sentence
from striate.results.filters import LINES
from striate.results.words import count, number, shape

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 30
TITLE = "Inside"

MOST_FILTERS = 96
MOST_DEPTHS = 6
ENLARGED = 8  # pixels for each weight of a kernel among others
CHANNELS = 6  # feature maps shown of each depth and picture


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return the filters and, for each depth, what its strongest channels make of each picture."""
    filters = visit.run("filters")
    activations = visit.run("activations")
    if isinstance(activations.result, Activations):
        # the numbers are to be those of what is drawn here
        activations = replace(activations, result=replace(activations.result, shown=CHANNELS, chosen_by="spread"))
        visit.runs[activations.key] = activations
    return {
        "filters": _bank(filters.result) if isinstance(filters.result, FilterBank) else None,
        "filters_run": filters,
        "activations_run": activations,
        "depths": _depths(activations.result, visit.names) if isinstance(activations.result, Activations) else [],
    }


def _bank(bank: FilterBank) -> Mapping[str, Any]:
    """Draw every filter by itself, so that each can say its number."""
    many = len(bank) > MOST_FILTERS
    chosen = sorted(bank.strongest(MOST_FILTERS)) if many else range(len(bank))
    norms = bank.norms()
    return {
        "layer": bank.layer,
        "caption": bank.caption(),
        "left_out": len(bank) - len(chosen),
        "width": bank.weights.shape[-1],
        "wide": not bank.colour and bank.weights.shape[1] > 1,
        "cells": [{"index": index, "norm": norms[index], "uri": map_uri(_filter(bank, index))} for index in chosen],
    }


def _filter(bank: FilterBank, index: int) -> Pixels:
    """Draw one filter; over several channels enlarged beforehand, so that the gaps between them stay thin."""
    channels = bank.weights.shape[1]
    if bank.colour or channels == 1:
        return bank.picture(index)
    kernels = [drawing.enlarge(bank.picture(index, channel), ENLARGED) for channel in range(channels)]
    return drawing.sheet(kernels, columns=channels, background=LINES)


def _depths(activations: Activations, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Choose depths from first to last, and draw each."""
    layers = activations.layers
    if len(layers) > MOST_DEPTHS:
        step = (len(layers) - 1) / (MOST_DEPTHS - 1)
        layers = [layers[round(place * step)] for place in range(MOST_DEPTHS)]
    return [_depth(activations, names, layer) for layer in layers]


def _depth(activations: Activations, names: Sequence[str], layer: str) -> Mapping[str, Any]:
    low, high = activations.scale(layer)
    field = activations.fields.get(layer)
    rows = []
    for index, name in enumerate(names):
        channels = activations.chosen(layer, index)
        rows.append(
            {
                "index": index,
                "name": name,
                "frame": _frame(activations, layer, index, channels[0]),
                "cells": [
                    {
                        "address": f"{layer}:{channel}",
                        "channel": channel,
                        "mean": activations.mean(layer, index, channel),
                        "peak": activations.peak(layer, index, channel)[2],
                        "uri": map_uri(activations.picture(layer, index, channel, low, high)),
                    }
                    for channel in channels
                ],
            }
        )
    return {
        "layer": layer,
        "shape": shape(activations.maps[layer].shape[1:]),
        "field": field_sentence(field) if field else "",
        "signed": activations.signed(layer),
        "low": low,
        "high": high,
        "words": _words(activations, layer),
        "rows": rows,
    }


def _words(activations: Activations, layer: str) -> str:
    """Say how much of the layer is silent: "41 % of the values are zero; 3 channels are silent in all pictures."."""
    zeros = activations.zeros(layer)
    if zeros < 0.005:
        return ""
    text = f"{number(100 * zeros, 2)} % of the values are zero"
    if silent := len(activations.silent(layer)):
        text += f"; {count(silent, 'channel is', 'channels are')} silent in all pictures"
    return f"{text}."


def _frame(activations: Activations, layer: str, index: int, channel: int) -> Mapping[str, Any] | None:
    """Return what the unit of a channel that answers most can see, as a box to be drawn; None when it is unknown."""
    field = activations.fields.get(layer)
    if field is None or field.status == "unknown":
        return None
    row, column, value = activations.peak(layer, index, channel)
    top, left, bottom, right = field.box(row, column, own=True)
    height, width = field.picture
    return {
        "address": f"{layer}:{channel}@{row},{column}",
        "value": value,
        "top": top,
        "left": left,
        "height": bottom - top + 1,
        "width": right - left + 1,
        "whole": (top, left, bottom, right) == (0, 0, height - 1, width - 1),
    }
