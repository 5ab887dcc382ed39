"""Building an atlas against the bare forward pass, against two plain scans, from files, and in memory that is flat."""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.measure import Claim, Table, best, interleaved, last_line, memory_of
from bench.subjects import NETWORKS, bare_forward, frozen, network, ordered, pictures
from striate import Network, atlas, dataset, keep_memory
from striate.atlas.compiled import compiled_for
from striate.choosing import choose_layers

__all__ = ["run"]

COUNTS = {"resnet18": 192, "efficientnet_lite0": 512, "resnet50": 112}
LEAN = {"sample": 0, "histograms": False, "classes": False, "features": [], "keep": False}
TOP = 9
FILES = 2048  # a multiple of 64; what is done once for a job (0.2 s) is 2 % of the time of so many


def run(*, quick: bool = False) -> Table:
    """Measure networks from arrays, what each statistic adds, from JPEG files, and the memory."""
    table = Table(
        "Building an atlas",
        "All convolution layers. The bare forward pass runs the same pictures in batches of 4 to 16 (64 and 256 on a "
        "GPU), in both orders of memory; the fastest counts, and so does the fastest batch of the build. Plain scans "
        "keep the maxima and their places, means and deviations: with hooks and numpy, and as network dissection does, "
        "which writes all maps to the disk and reads them again. What a statistic adds is measured once, against a "
        "build without it. On a processor decoding, the network and the statistics share the cores, so that a build "
        "from files cannot have a larger share than one from arrays. The files are 340 x 256 pixels, no two the same; "
        "they are built from in a process of its own, where as many pictures go through the bare forward pass.",
        ("network", "what", "settings", "ms for a picture", "share of the bare pass"),
    )
    for name in ("efficientnet_lite0",) if quick else NETWORKS:
        _arrays(name, table, quick=quick)
    _from_files("efficientnet_lite0", table, quick=quick)
    if not quick:
        _memory(table)
    return table


def _arrays(name: str, table: Table, *, quick: bool) -> None:
    net = network(name)
    on_gpu = torch.cuda.is_available()
    net = net.to("cuda") if on_gpu else net
    count = 64 if quick else COUNTS[name] * (4 if on_gpu else 1)
    pixels = _pixels(net, count)
    labels = np.arange(count) % 10
    source = dataset.open(pixels, labels=labels)
    images = torch.stack([source.read(index, net.spec) for index in range(count)]).to(net.device)
    sizes = (64, 256) if on_gpu else (16,) if quick else (4, 8, 16)
    layers = choose_layers(net, None)
    numbers = count * sum(layer.channels * math.prod(layer.map_size or (1,)) for layer in layers)
    reader = "PyTorch" if compiled_for(numbers, net.device) is None else "numba"
    with tempfile.TemporaryDirectory() as folder:
        bare: dict[str, tuple[nn.Module, Tensor, int]] = {}
        for order, shape in (("plain", torch.contiguous_format), ("channels last", torch.channels_last)):
            lean, x = frozen(ordered(net, shape).module), images.contiguous(memory_format=shape)
            bare |= {f"bare forward|{order}, {size} at a time": (lean, x, size) for size in sizes}
        # the best two of all ways on some of the pictures: all of them on all would take minutes
        few = {way: lambda m=m, x=x, s=s: _pass(m, x[: count // 8], s) for way, (m, x, s) in bare.items()}
        ranked = sorted((spent, way) for way, spent in interleaved(few, repeats=1 if quick else 3).items())
        calls: dict[str, Callable[[], object]] = {way: lambda way=way: _pass(*bare[way]) for _, way in ranked[:2]}
        for size in (64, 256) if on_gpu else (16,) if quick else (8, 16):
            calls[f"top {TOP}, mean and std|{size} at a time, {reader}"] = _builder(
                net, source, folder, batch=size, **LEAN
            )
        seconds = interleaved(calls, repeats=1 if quick else 2)
        plain: dict[str, Callable[[], object]] = {"without|": _builder(net, source, folder, **LEAN)}
        more = {
            "and histograms": {"histograms": True},
            "and means by class": {"classes": True},
            "and a sample of 64": {"sample": 64},
            "and features": {"features": None},
        }
        plain |= {f"{what}|": _builder(net, source, folder, **LEAN | change) for what, change in more.items()}
        added = interleaved(plain, repeats=1, warm=True)
        without, base = added.pop("without|"), best(seconds, f"top {TOP}")[1]
        seconds |= {what: base * spent / without for what, spent in added.items()}
        # plain scans are too slow for all of them
        some = images[: 32 if on_gpu else 16]
        plain = {
            "hooks and numpy|": lambda: _hooks_and_numpy(net, some),
            "maps on disk|": lambda: _by_way_of_the_disk(net, some, Path(folder)),
        }
        seconds |= {key: value * count / len(some) for key, value in interleaved(plain, repeats=1).items()}
    alone, mine = best(seconds, "bare forward|")[1], best(seconds, f"top {TOP}")[1]
    for what in dict.fromkeys(call.partition("|")[0] for call in seconds):
        fastest, spent = best(seconds, f"{what}|")
        row = (name, what, fastest.partition("|")[2], f"{spent / count * 1e3:.2f}", f"{alone / spent:.2f}")
        table.rows.append(row)
    limit = 0.85 if on_gpu else 0.75
    table.claims.append(Claim(f"{name}, share of the bare forward pass", alone / mine, limit, at_most=False))


def _builder(net: Network, source: object, folder: str, **options: object) -> Callable[[], object]:
    def build() -> None:
        shutil.rmtree(Path(folder) / "atlas", ignore_errors=True)
        atlas.build(net, source, Path(folder) / "atlas", **options)  # type: ignore[arg-type]

    return build


def _pass(module: nn.Module, images: Tensor, size: int) -> None:
    for part in images.split(size):
        bare_forward(module, part)


def _pixels(net: Network, count: int) -> NDArray[np.uint8]:
    """Return photographs at the network's size, shifted so that no two are the same."""
    few = net.spec.pixels(pictures(net, 16))
    return np.stack([np.roll(few[index % 16], 7 * (index // 16), axis=(0, 1)) for index in range(count)])


# --- what one would write by hand


def _hooked(net: Network, images: Tensor, size: int = 16) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Run a network with hooks, and yield the outputs of all convolutions for each batch."""
    layers = choose_layers(net, None)
    outputs: dict[str, NDArray[np.float32]] = {}
    module = frozen(net.module)

    def hook(name: str) -> Callable[..., None]:
        def keep(_module: object, _inputs: object, output: Tensor) -> None:
            outputs[name] = output.detach().cpu().numpy()

        return keep

    for layer in layers:
        module.get_submodule(layer.name).register_forward_hook(hook(layer.address))
    for part in images.split(size):
        bare_forward(module, part)
        yield outputs


def _hooks_and_numpy(net: Network, images: Tensor) -> None:
    values: dict[str, list[NDArray[np.float32]]] = {}
    places: dict[str, list[NDArray[np.int64]]] = {}
    sums: dict[str, NDArray[np.float64]] = {}
    for outputs in _hooked(net, images):
        for name, maps in outputs.items():
            flat = maps.reshape(*maps.shape[:2], -1)
            values.setdefault(name, []).append(flat.max(2))
            places.setdefault(name, []).append(flat.argmax(2))
            both = np.stack([flat.sum((0, 2), dtype=np.float64), np.square(flat).sum((0, 2), dtype=np.float64)])
            sums[name] = sums.get(name, np.zeros_like(both)) + both
    for name in values:
        whole, where = np.concatenate(values[name]), np.concatenate(places[name])
        order = np.argsort(-whole, axis=0)[:TOP]
        np.take_along_axis(whole, order, 0), np.take_along_axis(where, order, 0)


def _by_way_of_the_disk(net: Network, images: Tensor, folder: Path) -> None:
    files: dict[str, NDArray[np.float32]] = {}
    start = 0
    for outputs in _hooked(net, images):
        for name, maps in outputs.items():
            if name not in files:
                shape = (len(images), *maps.shape[1:])
                files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
            files[name][start : start + len(maps)] = maps
        start += len(maps)
    for name, maps in files.items():
        for channel in range(maps.shape[1]):
            one = maps[:, channel].reshape(len(maps), -1)
            order = np.argsort(-one.max(1))[:TOP]
            one[order].argmax(1), one.mean(), one.std()
        (folder / f"{name}.npy").unlink()


# --- from files


def _from_files(name: str, table: Table, *, quick: bool) -> None:
    """Measure in a process of its own, as a build is: what others have left behind slows the network, not decoding."""
    count = 64 if quick else FILES
    way, seconds = json.loads(last_line("bench.atlas", name, str(count)))
    forward = seconds["bare forward of these"]
    slower = max(seconds["decoding alone"], forward)
    for what, spent in seconds.items():
        settings = way if what == "bare forward of these" else f"{count:,} pictures"
        table.rows.append((name, what, settings, f"{spent / count * 1e3:.2f}", f"{forward / spent:.2f}"))
    share = slower / seconds["from JPEG files"]
    table.claims.append(Claim(f"{name}, from files, share of the slower part alone", share, 0.9, at_most=False))


def _files(name: str, count: int) -> tuple[str, dict[str, float]]:
    """Return the fastest way of the bare pass, and the seconds of everything over as many pictures."""
    keep_memory()
    quick = count < FILES
    net = network(name)
    repeats = 1 if quick else 3
    pixels = _pixels(net, count)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index:05d}.jpg" for index in range(count)]
        for path, one in zip(paths, pixels, strict=True):
            Image.fromarray(one).resize((340, 256)).save(path, "JPEG", quality=92)
        files = dataset.open(paths)
        images = torch.stack([files.read(index, net.spec) for index in range(64)])
        bare: dict[str, tuple[nn.Module, Tensor, int]] = {}
        for order, shape in (("plain", torch.contiguous_format), ("channels last", torch.channels_last)):
            lean, x = frozen(ordered(net, shape).module), images.contiguous(memory_format=shape)
            bare |= {f"{order}, {size} at a time": (lean, x, size) for size in ((16,) if quick else (4, 8, 16))}
        few = {way: lambda given=given: _pass(*given) for way, given in bare.items()}
        way, _ = best(interleaved(few, repeats=repeats), "")
        calls: dict[str, Callable[[], object]] = {
            "decoding alone": lambda: [None for _ in dataset.stream(files, net.spec, batch=16)],
            # as many as are built from: a shorter time would be more by chance
            "bare forward of these": lambda: [_pass(*bare[way]) for _ in range(count // len(images))],
            "the same many from arrays": _builder(net, dataset.open(pixels), folder, **LEAN),
            "from JPEG files": _builder(net, files, folder, **LEAN),
        }
        return way, interleaved(calls, repeats=repeats)


# --- memory


def _memory(table: Table) -> None:
    few, many = (memory_of("bench.atlas", str(count)) for count in (10_000, 60_000))
    for count, taken in ((10_000, few), (60_000, many)):
        table.rows.append(
            ("resnet-20-cifar", "memory of the process", f"{count:,} pictures", f"{taken / 1e6:.0f} MB", "")
        )
    table.claims.append(Claim("memory of 60,000 pictures against 10,000", many / few, 1.1, at_most=True))


class _Drawn:
    """A data set that lies nowhere: each picture is made when it is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.base = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return np.roll(self.base[index % 64], (index // 64 % 32, index // 2048), axis=(0, 1))


def _peak(count: int) -> int:
    """Return the most bytes that a process holds which builds over `count` pictures."""
    import resource

    from striate import InputSpec, nets

    keep_memory()
    net = Network(nets.create("resnet-20-cifar"), InputSpec(3, 32, 32))
    with tempfile.TemporaryDirectory() as folder:
        atlas.build(net, _Drawn(count), Path(folder) / "atlas", keep=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(_peak(int(sys.argv[1])) if len(sys.argv) == 2 else json.dumps(_files(sys.argv[1], int(sys.argv[2]))))
