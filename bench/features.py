"""Features of a data set against the bare forward pass and a plain torchvision loop; features and a head in seconds."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import NETWORKS, bare_forward, frozen, network, ordered, pictures
from striate import Network, atlas, dataset
from striate.dataset.batches import processors

__all__ = ["run"]

COUNTS = {"resnet18": 256, "efficientnet_lite0": 512, "resnet50": 128}
NODES = {"resnet18": "flatten", "resnet50": "flatten", "efficientnet_lite0": "global_pool.flatten"}
MANY, CLASSES = 5000, 10  # pictures whose features get a head
ORDERS = {"plain": torch.contiguous_format, "channels last": torch.channels_last}


def run(*, quick: bool = False) -> Table:
    """Measure networks from arrays, from JPEG files, and features with a head."""
    table = Table(
        "Features of a data set",
        "What the classifier reads, averaged, float16. The bare forward pass runs the same pictures in both orders of "
        "memory and several batches; the fastest counts. The plain loop is torchvision's create_feature_extractor with "
        "a DataLoader, inference mode, the better order of memory, 0 to as many workers as there are cores; the "
        "fastest counts. thingsvision is not measured: 2.7.3 asks for torch 2.0.1, numpy 1 and TensorFlow 2.15, and "
        "cannot be installed beside this torch; its loop is hooks and a DataLoader as well.",
        ("network", "what", "settings", "ms for a picture", "share of the bare pass"),
    )
    for name in ("efficientnet_lite0",) if quick else NETWORKS:
        _arrays(name, table, quick=quick)
        _files(name, table, quick=quick)
    _with_a_head(table, 100 if quick else MANY, (96,) if quick else (224, 128, 96))
    return table


def _arrays(name: str, table: Table, *, quick: bool) -> None:
    net = network(name)
    net = net.to("cuda") if torch.cuda.is_available() else net
    count = 64 if quick else COUNTS[name] * (4 if net.device.type == "cuda" else 1)
    values = _pixels(net, count)
    source = dataset.open(values)
    images = torch.stack([source.read(index, net.spec) for index in range(count)]).to(net.device)
    with tempfile.TemporaryDirectory() as folder:
        calls = _bare(net, images, quick=quick)
        calls |= _ours(net, source, Path(folder))
        order, _ = best(interleaved({key: calls[key] for key in calls if key.startswith("bare")}, repeats=1), "bare")
        calls |= _theirs(name, net, _Array(values, net), order)
        seconds = interleaved(calls, repeats=1 if quick else 3)
    bare = best(seconds, "bare forward|")[1]
    _rows(name, "arrays: ", seconds, count, bare, table)
    mine, plain = seconds["features on disk|"], best(seconds, "plain loop|")[1]
    table.claims.append(Claim(f"{name}, arrays, share of the bare forward pass", bare / mine, 0.9, at_most=False))
    table.claims.append(Claim(f"{name}, arrays, the plain loop's time by ours", plain / mine, 1, at_most=False))


def _files(name: str, table: Table, *, quick: bool) -> None:
    net = network(name)
    net = net.to("cuda") if torch.cuda.is_available() else net
    count = 48 if quick else COUNTS[name]
    with tempfile.TemporaryDirectory() as folder:
        files = _jpegs(net, Path(folder) / "pictures", count)
        source = dataset.open(files)
        images = torch.stack([source.read(index, net.spec) for index in range(min(count, 64))]).to(net.device)
        bare = _bare(net, images, quick=quick)
        order, forward = best(interleaved(bare, repeats=1 if quick else 3), "bare forward|")
        forward *= count / len(images)
        calls: dict[str, Callable[[], object]] = {
            "decoding alone|": lambda: [None for _ in dataset.stream(source, net.spec, batch=16)]
        }
        calls |= _ours(net, source, Path(folder)) | _theirs(name, net, _Files(files, net), order)
        seconds = interleaved(calls, repeats=1 if quick else 3)
    seconds[order] = forward
    _rows(name, "JPEG files: ", seconds, count, forward, table)
    mine, plain = seconds["features on disk|"], best(seconds, "plain loop|")[1]
    # decoding and the network share the cores: on a processor their work adds up, beside a GPU the slower counts
    both = (forward, seconds["decoding alone|"])
    least = max(both) if net.device.type == "cuda" else sum(both)
    text = f"{name}, JPEG files, share of decoding and the bare pass together"
    table.claims.append(Claim(text, least / mine, 0.9, at_most=False))
    table.claims.append(Claim(f"{name}, JPEG files, the plain loop's time by ours", plain / mine, 1, at_most=False))


def _rows(name: str, what: str, seconds: Mapping[str, float], count: int, bare: float, table: Table) -> None:
    for kind in dict.fromkeys(call.partition("|")[0] for call in seconds):
        fastest, spent = best(seconds, f"{kind}|")
        settings = fastest.partition("|")[2]
        table.rows.append((name, what + kind, settings, f"{spent / count * 1e3:.2f}", f"{bare / spent:.2f}"))


# --- the bare pass, ours, theirs


def _bare(net: Network, images: Tensor, *, quick: bool) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    for order, shape in ORDERS.items():
        lean, x = frozen(ordered(net, shape).module), images.contiguous(memory_format=shape)
        for size in (64, 256) if net.device.type == "cuda" else (16,) if quick else (8, 16, 32):
            calls[f"bare forward|{order}, {size} at a time"] = lambda m=lean, x=x, s=size: _pass(m, x, s)
    return calls


def _pass(module: nn.Module, images: Tensor, size: int) -> None:
    for part in images.split(size):
        bare_forward(module, part)


def _ours(net: Network, source: dataset.PictureSet, folder: Path) -> dict[str, Callable[[], object]]:
    def keep(**options: object) -> None:
        shutil.rmtree(folder / "features", ignore_errors=True)
        atlas.features(net, source, folder / "features", **options)  # type: ignore[arg-type]

    place = _place(net)
    return {
        "features on disk|": lambda: keep(layers=place),
        "whole maps on disk|": lambda: keep(layers=place, pool="whole"),
        "features in memory|": lambda: atlas.pooled(net, source, place),
    }


def _place(net: Network) -> str:
    return net.graph().last_map().address


def _theirs(name: str, net: Network, source: Dataset[Tensor], order: str) -> dict[str, Callable[[], object]]:
    from torchvision.models.feature_extraction import create_feature_extractor

    shape = next(one for word, one in ORDERS.items() if word in order)
    module = create_feature_extractor(frozen(ordered(net, shape).module), {NODES[name]: "features"})

    def loop(size: int, workers: int) -> NDArray[np.float16]:
        kept = []
        loader = DataLoader(source, size, num_workers=workers, persistent_workers=False)
        with torch.inference_mode():
            for images in loader:
                x = images.to(net.device).contiguous(memory_format=shape)
                kept.append(module(x)["features"].half().cpu().numpy())
        return np.concatenate(kept)

    sizes = (64, 256) if net.device.type == "cuda" else (16, 32)
    return {
        f"plain loop|{size} at a time, {workers} workers": lambda s=size, w=workers: loop(s, w)
        for size in sizes
        for workers in range(processors() + 1)
    }


class _Array(Dataset[Tensor]):
    """Pictures in memory, normalised one by one as a plain data set does."""

    def __init__(self, values: NDArray[np.uint8], net: Network) -> None:
        from torchvision import transforms

        self.values = values
        steps = [transforms.ToTensor(), transforms.Normalize(net.spec.mean, net.spec.std)]
        self.change = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Tensor:
        return self.change(self.values[index])


class _Files(Dataset[Tensor]):
    """Pictures in files, with the resizing that torchvision's weights come with."""

    def __init__(self, files: list[Path], net: Network) -> None:
        from torchvision import transforms

        self.files = files
        side = net.spec.height
        self.change = transforms.Compose(
            [
                transforms.Resize(round(side / 0.875)), transforms.CenterCrop(side), transforms.ToTensor(),
                transforms.Normalize(net.spec.mean, net.spec.std),
            ]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.files[index]) as picture:
            return self.change(picture.convert("RGB"))


def _pixels(net: Network, count: int) -> NDArray[np.uint8]:
    """Return photographs at the network's size, shifted so that no two are the same."""
    few = net.spec.pixels(pictures(net, 16))
    return np.stack([np.roll(few[index % 16], 7 * (index // 16), axis=(0, 1)) for index in range(count)])


def _jpegs(net: Network, folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{index:05d}.jpg" for index in range(count)]
    small = [Image.fromarray(one).resize((340, 256)) for one in _pixels(net, 16)]
    for index, file in enumerate(files):
        stream = io.BytesIO()
        small[index % 16].save(stream, "JPEG", quality=92)
        file.write_bytes(stream.getvalue())
    return files


# --- with a head


def _with_a_head(table: Table, count: int, sides: tuple[int, ...]) -> None:
    """Classify small pictures, 32 x 32 as CIFAR's, by features of Lite0 at several sizes of its input."""
    from striate.learn.transferring.heads import fit_head

    rng = np.random.default_rng(0)
    net = network("efficientnet_lite0")
    whole = net.spec.pixels(pictures(net, CLASSES))
    at = rng.integers(0, net.spec.height - 32, (count, 2))
    values = np.stack(
        [whole[index % CLASSES, top : top + 32, left : left + 32] for index, (top, left) in enumerate(at.tolist())]
    )
    source = dataset.open(values, labels=np.arange(count) % CLASSES)
    for side in sides:
        sized = Network(net.module, net.spec.changed(height=side, width=side, resize=None), name=net.name)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            made = atlas.features(sized, source, Path(folder) / "features", layers=_place(net))
            middle = time.perf_counter()
            x, y = made.xy()
            head = fit_head("logistic", x, y, classes=CLASSES)
            done = time.perf_counter()
        what = f"{count:,} pictures, features and a head"
        said = f"input {side} px: {middle - started:.1f} s features, {done - middle:.1f} s head ({head.accuracy:.3f})"
        table.rows.append(("efficientnet_lite0", what, said, f"{(done - started) / count * 1e3:.2f}", ""))
        if side == 224:
            table.claims.append(Claim(f"seconds of {what} at {side} px", done - started, 60, at_most=True))
