"""Atlases made by brute force: every activation kept, everything worked out by numpy. No test stands here.

``make_atlas(folder, network, images, ["layer1", "fc"])`` writes one without the builder and returns it opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import tap
from striate.atlas import histogram, store
from striate.atlas.opened import Atlas, as_json
from striate.atlas.opened import open as open_atlas

Array = NDArray[Any]


def responses(network: striate.Network, images: Tensor, places: Sequence[str]) -> dict[str, Array]:
    """Return every activation of every layer, (N, C, h, w) or (N, C)."""
    outputs = tap.activations(network, in_order(images), places).outputs
    return {place: output.numpy().astype(np.float32) for place, output in outputs.items()}


def in_order(images: Tensor) -> Tensor:
    """Return pictures with their channels last in memory, of which PyTorch cannot be sure where there is only one."""
    return torch.empty(images.shape, memory_format=torch.channels_last).copy_(images)


def values_of(maps: Array) -> tuple[Array, Array]:
    """Return the maximum of each map, (N, C), and the topmost of the leftmost places that have it, (N, C, 2)."""
    if maps.ndim == 2:
        return maps, np.full((*maps.shape, 2), -1, np.int32)
    down = maps.swapaxes(2, 3).reshape(*maps.shape[:2], -1)  # column by column
    columns, rows = np.divmod(down.argmax(2), maps.shape[2])
    return down.max(2), np.stack([rows, columns], 2).astype(np.int32)


def ranked(values: Array, positions: Array, k: int, *, largest: bool) -> tuple[Array, Array, Array]:
    """Return values (C, k), pictures and positions of the k largest or smallest; of equals the earlier comes first."""
    channels = values.shape[1]
    order = np.argsort(-values if largest else values, axis=0, kind="stable")[:k].T  # C x k
    taken = order.shape[1]
    best, pictures = np.full((channels, k), np.nan, np.float32), np.full((channels, k), -1, np.int64)
    places = np.full((channels, k, 2), -1, np.int32)
    units = np.arange(channels)[:, None]
    best[:, :taken], pictures[:, :taken] = values[order, units], order
    places[:, :taken] = positions[order, units]
    return best, pictures, places


def counted(values: Array) -> Array:
    """Return a histogram of each column, (C, bins), by comparing with the edges."""
    found = np.searchsorted(histogram.EDGES, values.astype(np.float64), side="right") - 1
    # below zero a bin holds its lower end in size, which is the end nearer to zero
    mirrored = histogram.BINS - np.searchsorted(histogram.EDGES, -values.astype(np.float64), side="right")
    found = np.where(values < 0, mirrored, found).clip(0, histogram.BINS - 1)
    return np.stack([np.bincount(column, minlength=histogram.BINS) for column in found.T]).astype(np.uint32)


def make_atlas(
    folder: Path,
    network: striate.Network,
    images: Tensor,
    places: Sequence[str],
    *,
    paths: Sequence[Path] | None = None,
    labels: Sequence[int] | None = None,
    label_names: Sequence[str] | None = None,
    features: Sequence[str] = (),
    top: int = 9,
    sample: int = 256,
    vectors: int = 100,
    keep: bool = True,
) -> Atlas:
    """Write an atlas of a few pictures.

    Args:
        folder: where.
        network: on the CPU.
        images: (N, C, H, W), normalised.
        places: layers.
        paths: their files; pictures without are kept in the atlas.
        labels: class of each picture, -1 where unknown.
        label_names: their names; those of the network unless given.
        features: layers whose features and vectors are kept.
        top: k.
        sample: pictures of the random sample.
        vectors: of single positions, for each layer of `features`.
        keep: keep copies of the pictures, unless they have files.
    """
    graph, count = network.graph(*images.shape[2:]), len(images)
    layers = [graph.layer(place) for place in places]
    maps = responses(network, images, [layer.address for layer in layers])
    logits = network(in_order(images))
    chance = logits.softmax(1)
    draw = np.random.default_rng(0)
    parts: dict[str, list[Array]] = {}

    def add(name: str, part: Array) -> None:
        parts.setdefault(name, []).append(part)

    rows = np.sort(draw.permutation(count)[:sample])
    known = None if labels is None else np.asarray(labels, np.int64)
    classes = 0 if known is None else max(int(known.max()) + 1, len(label_names or network.class_names or ()))
    for layer in layers:
        output = maps[layer.address]
        values, positions = values_of(output)
        flat = output.reshape(*output.shape[:2], -1).astype(np.float64)
        for name, largest in (("top", True), ("bottom", False)):
            for what, part in zip(
                ("values", "pictures", "positions"), ranked(values, positions, top, largest=largest), strict=True
            ):
                add(f"{name}_{what}", part)
        add("sums", flat.sum((0, 2)))
        add("squares", (flat**2).sum((0, 2)))
        add("fired", (values > 0).sum(0).astype(np.int64))
        add("largest", values.max(0))
        add("smallest", values.min(0))
        add("histogram", counted(values))
        add("sample_values", values[rows].T)
        add("sample_positions", positions[rows].astype(np.int16).swapaxes(0, 1))
        if known is not None:
            means = flat.mean(2)
            add("class_sums", np.stack([means[known == one].sum(0) for one in range(classes)], 1))
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    for name in ("sample_values", "sample_positions", "class_sums"):
        if name in arrays:
            arrays[name] = arrays[name].swapaxes(0, 1)
    arrays["sample_pictures"] = rows.astype(np.int64)
    arrays["predictions"] = logits.argmax(1).numpy().astype(np.int64)
    arrays["probabilities"] = chance.max(1).values.numpy()
    arrays["logits"] = logits.half().numpy()
    same = known is not None and (label_names is None or tuple(label_names) == network.class_names)
    if known is not None:
        arrays["labels"] = known
        arrays["class_counts"] = np.bincount(known[known >= 0], minlength=classes).astype(np.int64)
        if same:
            loss = -chance.double().log().numpy()[np.arange(count), known.clip(0)]
            arrays["losses"] = np.where(known >= 0, loss, np.nan).astype(np.float32)
    if paths is None and keep:
        shown = network.spec.denormalise(images).mul(255).round().clamp(0, 255).byte()
        arrays["pictures"] = shown.permute(0, 2, 3, 1).numpy()
    for number, place in enumerate(features):
        output = responses(network, images, [place])[place]
        maps4 = output[..., None, None] if output.ndim == 2 else output
        arrays[f"features-{number}"] = maps4.mean((2, 3)).astype(np.float16)
        chosen = draw.integers(0, [count, *maps4.shape[2:]], (min(vectors, maps4[:, 0].size), 3))
        arrays[f"samples-{number}-vectors"] = maps4[chosen[:, 0], :, chosen[:, 1], chosen[:, 2]]
        arrays[f"samples-{number}-pictures"] = chosen[:, 0]
        arrays[f"samples-{number}-positions"] = chosen[:, 1:].astype(np.int32) - (output.ndim == 2)
    names = label_names if label_names is not None else network.class_names
    manifest = {
        "version": striate.__version__,
        "torch": torch.__version__,
        "network": {
            "name": network.name,
            "factory": network.factory,
            "weights_hash": network.weights_hash,
            "spec": as_json(network.spec.to_dict()),
            "class_names": network.class_names,
        },
        "label_names": None if known is None else names,
        "labels_are_classes": same,
        "sources": [{"origin": None, "description": f"{count} pictures", "identity": "", "count": count}],
        "layers": [
            {
                "address": layer.address,
                "kind": layer.kind,
                "channels": layer.channels,
                "map": layer.map_size,
                "field": store.field_to(layer.field),
            }
            for layer in layers
        ],
        "features": [
            {"place": place, "number": number, "features": True, "samples": True}
            for number, place in enumerate(features)
        ],
        "options": {"top": top, "sample": sample, "seed": 0},
        "arrays": sorted(arrays),
    }
    data = store.new_data(folder)
    for name, array in arrays.items():
        store.write_array(data, name, array.shape, array.dtype, [array])
    files = [None] * count if paths is None else [str(path) for path in paths]
    listed = [
        {"name": f"{index}" if file is None else Path(file).name, "path": file, "source": 0, "index": index}
        for index, file in enumerate(files)
    ]
    store.write_lines(data, "pictures", listed)
    store.write_lines(data, "broken", [])
    store.commit(folder, data, manifest)
    return open_atlas(folder)
