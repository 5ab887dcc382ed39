"""Features of a data set against the bare forward pass and a plain torchvision loop; features and a head in seconds."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import bare_forward, frozen, network, ordered, pictures
from striate import Network, atlas, dataset
from striate.dataset.batches import processors

__all__ = ["run"]

# pictures in a timed call, some seconds each on two cores; and in one by which the best settings are looked for
COUNTS = {"efficientnet_lite0": (1024, 128), "resnet18": (160, 64), "resnet50": (64, 32)}
REPEATS = {"efficientnet_lite0": 3, "resnet18": 5, "resnet50": 3}
LEAST = 16  # pictures of a set that is hardly more than what is done once
NODES = {"resnet18": "flatten", "resnet50": "flatten", "efficientnet_lite0": "global_pool.flatten"}
MANY, SOME, CLASSES = 5000, 1500, 10  # pictures whose features get a head, and whose head is timed beside the peer's
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the logistic regression, as `fit_head` tries them
ORDERS = {"plain": torch.contiguous_format, "channels last": torch.channels_last}


def run(*, quick: bool = False) -> Table:
    """Measure networks from arrays, one from JPEG files, and features with a head."""
    table = Table(
        "Features of a data set",
        "What the classifier reads, averaged, float16, on the disk. The bare forward pass runs the pictures in both "
        "orders of memory and several batches; the plain loop is torchvision's create_feature_extractor with a "
        "DataLoader, inference mode, the better order of memory, 0 to as many workers as there are cores, kept in "
        "memory. The best settings of both are looked for on fewer pictures, and then all three are timed in turn. "
        "The plain head is scikit-learn's LogisticRegressionCV behind a StandardScaler, with the same strengths and "
        "folds, in one process or as many as there are cores; the faster counts. thingsvision is not measured: 2.7.3 "
        "asks for torch 2.0.1, numpy 1 and TensorFlow 2.15, and cannot be installed beside this torch; its loop is "
        "hooks and a DataLoader as well.",
        ("network", "what", "settings", "ms for a picture", "share of the bare pass"),
    )
    names = tuple(COUNTS)[:1] if quick else tuple(COUNTS)
    for name in names:
        _arrays(name, table, quick=quick)
    _files(names[0], table, quick=quick)
    _with_a_head(table, 100 if quick else MANY, 60 if quick else SOME, 96 if quick else 224)
    return table


def _arrays(name: str, table: Table, *, quick: bool) -> None:
    net, count, few = _subject(name, quick=quick)
    values = _pixels(net, count)
    source = dataset.open(values)
    images = torch.stack([source.read(index, net.spec) for index in range(count)]).to(net.device)
    with tempfile.TemporaryDirectory() as folder:
        bare = _fastest(lambda part: _bare(net, images[:part], quick=quick), few)
        plain = _fastest(lambda part: _theirs(name, net, _Array(values[:part], net), bare), few)
        calls = {
            bare: _bare(net, images, quick=quick)[bare],
            "features on disk|": _ours(net, source, Path(folder)),
            plain: _theirs(name, net, _Array(values, net), bare)[plain],
            f"features of {LEAST} pictures|": _ours(net, dataset.open(values[:LEAST]), Path(folder)),
        }
        seconds = interleaved(calls, repeats=1 if quick else REPEATS[name])
    _row(name, "arrays: ", bare, seconds[bare], count, seconds[bare], table)
    _row(name, "arrays: ", "features on disk|", seconds["features on disk|"], count, seconds[bare], table)
    _row(name, "arrays: ", plain, seconds[plain], count, seconds[bare], table)
    once = f"features of {LEAST} pictures|"
    _row(name, "arrays: ", once, seconds[once], LEAST, seconds[bare] * LEAST / count, table)
    share = seconds[bare] / seconds["features on disk|"]
    table.claims.append(Claim(f"{name}, arrays, share of the bare forward pass", share, 0.9, at_most=False))
    ratio = seconds[plain] / seconds["features on disk|"]
    table.claims.append(Claim(f"{name}, arrays, the plain loop's time by ours", ratio, 1, at_most=False))


def _files(name: str, table: Table, *, quick: bool) -> None:
    net, count, few = _subject(name, quick=quick)
    with tempfile.TemporaryDirectory() as folder:
        files = _jpegs(net, Path(folder) / "pictures", count)
        source = dataset.open(files)
        images = torch.stack([source.read(index, net.spec) for index in range(count)]).to(net.device)
        bare = _fastest(lambda part: _bare(net, images[:part], quick=quick), few)
        plain = _fastest(lambda part: _theirs(name, net, _Files(files[:part], net), bare), few)
        decoding, mine = "decoding alone|", "features on disk|"
        calls: dict[str, Callable[[], object]] = {
            bare: _bare(net, images, quick=quick)[bare],
            decoding: lambda: [None for _ in dataset.stream(source, net.spec, batch=16)],
            mine: _ours(net, source, Path(folder)),
            plain: _theirs(name, net, _Files(files, net), bare)[plain],
        }
        seconds = interleaved(calls, repeats=1 if quick else 3)
    for call in calls:
        _row(name, "JPEG files: ", call, seconds[call], count, seconds[bare], table)
    # decoding and the network share the cores: on a processor their work adds up, beside a GPU the slower counts
    both = (seconds[bare], seconds[decoding])
    least = max(both) if net.device.type == "cuda" else sum(both)
    text = f"{name}, JPEG files, share of decoding and the bare pass together"
    table.claims.append(Claim(text, least / seconds[mine], 0.9, at_most=False))
    text = f"{name}, JPEG files, the plain loop's time by ours"
    table.claims.append(Claim(text, seconds[plain] / seconds[mine], 1, at_most=False))


def _subject(name: str, *, quick: bool) -> tuple[Network, int, int]:
    """Return a network where it works, and how many pictures are timed and looked for settings with."""
    net = network(name)
    net = net.to("cuda") if torch.cuda.is_available() else net
    count, few = (48, 16) if quick else COUNTS[name]
    return (net, count * 4, few * 4) if net.device.type == "cuda" else (net, count, few)


def _fastest(calls: Callable[[int], dict[str, Callable[[], object]]], few: int) -> str:
    """Return the name of the call that is fastest on a few pictures, each timed once."""
    made = calls(few)
    return best(interleaved(made, repeats=1), "")[0]


def _row(name: str, what: str, call: str, spent: float, count: int, bare: float, table: Table) -> None:
    kind, _, settings = call.partition("|")
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


def _ours(net: Network, source: dataset.PictureSet, folder: Path) -> Callable[[], object]:
    def keep() -> None:
        shutil.rmtree(folder / "features", ignore_errors=True)
        atlas.features(net, source, folder / "features", layers=_place(net))

    return keep


def _place(net: Network) -> str:
    return net.graph().last_map().address


def _theirs(name: str, net: Network, source: Dataset[Tensor], bare: str) -> dict[str, Callable[[], object]]:
    """Return the plain loop with several settings, in the order of memory in which the bare pass is faster."""
    from torchvision.models.feature_extraction import create_feature_extractor

    shape = next(one for word, one in ORDERS.items() if word in bare)
    module = create_feature_extractor(_traceable(name, net).to(memory_format=shape), {NODES[name]: "features"})

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


def _traceable(name: str, net: Network) -> nn.Module:
    """Return a network that torchvision's extractor can trace: of Lite0 timm's, with the same weights."""
    if name != "efficientnet_lite0":
        return frozen(net.module)
    import timm

    made = timm.create_model(name)
    made.load_state_dict(net.module.state_dict())
    return made.to(net.device).eval().requires_grad_(False)


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


def _with_a_head(table: Table, count: int, some: int, side: int) -> None:
    """Classify small pictures, 32 x 32 as CIFAR's, by features of Lite0; and the head alone beside scikit-learn's."""
    from striate.learn.transferring.heads import fit_head

    rng = np.random.default_rng(0)
    net = network("efficientnet_lite0")
    whole = net.spec.pixels(pictures(net, CLASSES))
    at = rng.integers(0, net.spec.height - 32, (count, 2))
    values = np.stack(
        [whole[index % CLASSES, top : top + 32, left : left + 32] for index, (top, left) in enumerate(at.tolist())]
    )
    source = dataset.open(values, labels=np.arange(count) % CLASSES)
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
    table.rows.append((net.name, what, said, f"{(done - started) / count * 1e3:.2f}", ""))
    if side == 224:
        table.claims.append(Claim(f"seconds of {what} at {side} px", done - started, 60, at_most=True))
    _heads(table, np.ascontiguousarray(x[:some]), y[:some])


def _heads(table: Table, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
    """Time a cross-validated logistic regression, ours and the peer's, once each, on the same features."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from striate.learn.transferring.heads import fit_head

    def theirs(processes: int) -> None:
        chosen = LogisticRegressionCV(Cs=STRENGTHS, cv=5, max_iter=500, n_jobs=processes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
            make_pipeline(StandardScaler(), chosen).fit(x, y)

    spent = {}
    for call, act in {
        "a head|": lambda: fit_head("logistic", x, y, classes=CLASSES),
        **{f"plain head|{n} process{'es' * (n > 1)}": lambda n=n: theirs(n) for n in {1, processors()}},
    }.items():
        began = time.perf_counter()
        act()
        spent[call] = time.perf_counter() - began
    plain = best(spent, "plain")
    for call in ("a head|", plain[0]):
        kind, _, settings = call.partition("|")
        said = f"{spent[call]:.1f} s{', ' * bool(settings)}{settings}"
        table.rows.append(("efficientnet_lite0", f"{len(x):,} pictures: {kind}", said, "", ""))
    text = f"time of scikit-learn's cross-validated logistic regression by ours, {len(x):,} pictures"
    table.claims.append(Claim(text, plain[1] / spent["a head|"], 1, at_most=False))
