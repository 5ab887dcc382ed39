"""One training by one trainer, in a process of its own: `python -m bench.trainers TASK TRAINER VARIANT COUNT EPOCHS`.

Prints what it measured as one line of JSON: seconds in all, and of each epoch. Every trainer gets the same network,
pictures, optimiser and batches. An epoch is a handful of steps here, at whose end everything is waited for: the first
warms up, those after it are what counts. Keras is told its backend before it is imported, which is why each has its own
process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.data import part, photographs

__all__ = ["Measured", "Task", "bare_steps", "settings_of", "task"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DIGITS_MEAN, DIGITS_STD = 0.1307, 0.3081


@dataclass(frozen=True)
class Task:
    """What is trained: cnn2 on digits (Adam), or ResNet-18 on photographs (SGD with momentum)."""

    name: str
    net: str
    batch: int
    side: int
    channels: int
    rate: float
    count: int
    epochs: int


@dataclass
class Measured:
    """Seconds of the clock.

    Attributes:
        seconds: in all.
        epochs: of the steps of each epoch.
        bare: of the bare steps behind each.
        keeping: of what comes between its last step and the next epoch.
    """

    seconds: float
    epochs: list[float]
    bare: list[float] = field(default_factory=list)
    keeping: list[float] = field(default_factory=list)


def task(name: str, count: int, epochs: int) -> Task:
    if name == "digits":
        return Task(name, "cnn2", 128, 28, 1, 0.001, count, epochs)
    return Task(name, "resnet-18", 32, 224, 3, 0.02, count, epochs)


# --- ours


def settings_of(what: Task) -> tuple[Any, dict[str, Any]]:
    """Return the pictures and the settings of `fit`."""
    from striate import dataset

    augment: Any
    optimizer: dict[str, Any]
    if what.name == "digits":
        pictures = dataset.open(part("mnist", what.count), part="train")
        augment, optimizer = "none", {"optimizer": "adam"}
    else:
        pictures = dataset.open(photographs(what.count) / "train")
        augment = {"crop": (0.08, 1.0), "flip": "horizontal"}
        optimizer = {"optimizer": "momentum", "momentum": 0.9, "weight_decay": 1e-4}
    settings = {
        "epochs": what.epochs,
        "batch": what.batch,
        "rate": what.rate,
        "schedule": "constant",
        "standardize": "channel",
        "share": 0.0,
        "augment": augment,
        **optimizer,
    }
    return pictures, settings


def _striate(what: Task, variant: str) -> Measured:
    """Train by `fit` as it comes; behind each epoch the bare steps of one, as the machine changes its speed."""
    from striate import learn, progress
    from striate.learn.interrupting import TASK

    network = learn.start(what.net, classes=10, channels=what.channels, size=what.side, seed=0)
    pictures, settings = settings_of(what)
    bare = bare_steps(what)
    found = Measured(0.0, [])
    left = stepped = 0.0  # when the bare steps behind the last epoch were done, and the last step

    def hear(event: progress.Event) -> None:
        nonlocal left, stepped
        if event.task == TASK:
            if event.done:
                found.keeping.append(time.perf_counter() - stepped)
                found.epochs.append(stepped - left)
                found.bare.append(bare())
            left = time.perf_counter()
        elif event.task.startswith("epoch"):
            if torch.cuda.is_available() and event.done == event.total:
                torch.cuda.synchronize()
            stepped = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder_of_run, progress.listen(hear):
        started = time.perf_counter()
        learn.fit(network, pictures, out=Path(folder_of_run) / "run", **settings)
        found.seconds = time.perf_counter() - started - sum(found.bare)
    return found


def bare_steps(what: Task) -> Callable[..., float]:
    """Return what takes the steps of an epoch as `fit` does, on tensors that lie ready, and returns their seconds.

    It may be told what of bfloat16 takes fewer multiplications, as `sparing_convolutions` is.
    """
    from striate import learn
    from striate.learn.narrow_norm import narrow_norms
    from striate.learn.precision import autocast, precision_for
    from striate.learn.sparing import Halves, sparing_convolutions

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = learn.start(what.net, classes=10, channels=what.channels, size=what.side, seed=0)
    module = network.module.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
    optimizer = _optimizer(what, module, fused=True)
    shape = (what.batch, what.channels, what.side, what.side)
    images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (what.batch,), device=device)
    precision = precision_for("auto", device)

    def steps(halves: Halves | None = "weights") -> float:
        started = time.perf_counter()
        with narrow_norms(module), sparing_convolutions(module, halves=halves):
            for _ in range(max(1, what.count // what.batch)):
                with autocast(precision, device):
                    logits = module(images)
                nn.functional.cross_entropy(logits.float(), labels).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return steps


def _optimizer(what: Task, module: nn.Module, *, fused: bool = False) -> torch.optim.Optimizer:
    if what.name == "digits":
        return torch.optim.Adam(module.parameters(), what.rate, fused=fused)
    return torch.optim.SGD(module.parameters(), what.rate, 0.9, weight_decay=1e-4, fused=fused)


# --- a loop as torchvision's reference has it, written by hand


class Digits(torch.utils.data.Dataset[tuple[Any, int]]):
    """Digits one by one as Pillow images, as torchvision's own data set gives them."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], transform: Callable[[Any], Tensor]
    ) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def last_channel(image: Tensor) -> NDArray[np.float32]:
    """Return a picture (H, W, C), as Keras takes it."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _set(what: Task, then: Callable[[Tensor], Any] | None = None) -> Any:
    """Return the training pictures with torchvision's transforms."""
    from torchvision import datasets
    from torchvision import transforms as t

    last = [] if then is None else [then]
    if what.name == "digits":
        archive = np.load(part("mnist", what.count), allow_pickle=False)
        transform = t.Compose([t.ToTensor(), t.Normalize((DIGITS_MEAN,), (DIGITS_STD,)), *last])
        return Digits(archive["x_train"][..., 0], archive["y_train"], transform)
    normal = [t.ToTensor(), t.Normalize(MEAN, STD), *last]
    varied = t.Compose([t.RandomResizedCrop(224), t.RandomHorizontalFlip(), *normal])
    return datasets.ImageFolder(str(photographs(what.count) / "train"), varied)


class Held:
    """Batches of digits that lie in memory, normalised: the least that a loop can do."""

    def __init__(self, what: Task) -> None:
        archive = np.load(part("mnist", what.count), allow_pickle=False)
        self.images = torch.from_numpy(_normal(archive["x_train"], "last")).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(archive["y_train"]).long()
        self.batch = what.batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(len(self.labels)).split(self.batch):
            yield self.images[chosen], self.labels[chosen]


def _loader(what: Task, pictures: Any, workers: int, *, context: str | None = None) -> Any:
    return torch.utils.data.DataLoader(
        pictures,
        what.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=bool(workers),
        multiprocessing_context=context if workers else None,
    )


def _reference(what: Task, variant: str) -> Measured:
    """Train by the usual loop. The variant: "plain" or "best" (bfloat16, channels last, fused), and the workers.

    "best-memory" takes digits from tensors in memory.
    """
    settings, workers = variant.split("-")
    at_best = settings == "best"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    from striate import learn  # for the network alone: the same layers

    module = learn.start(what.net, classes=10, channels=what.channels, size=what.side, seed=0).module
    module = module.to(device).train().requires_grad_(True)
    order = torch.channels_last if at_best else torch.contiguous_format
    module = module.to(memory_format=order)

    def precise() -> Any:
        return torch.autocast(device.type, torch.bfloat16) if at_best else nullcontext()

    optimizer = _optimizer(what, module, fused=at_best)
    started = time.perf_counter()
    loader = Held(what) if workers == "memory" else _loader(what, _set(what), int(workers))
    epochs = []
    for _ in range(what.epochs):
        begun = time.perf_counter()
        for images, labels in loader:
            images, labels = images.to(device, memory_format=order), labels.to(device)
            with precise():
                logits = module(images)
            loss = nn.functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        epochs.append(time.perf_counter() - begun)
    return Measured(time.perf_counter() - started, epochs)


# --- Keras


def _keras(what: Task, variant: str) -> Measured:
    """Train by Keras. The variant: backend, numbers, order of memory, workers, as in "jax-float32-last-2"."""
    backend, numbers, order, workers = variant.split("-")
    os.environ["KERAS_BACKEND"] = backend
    warnings.simplefilter("ignore")
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy({"bfloat16": "mixed_bfloat16"}.get(numbers, numbers))
    keras.config.set_image_data_format(f"channels_{order}")
    turned = last_channel if order == "last" else None
    model = _keras_model(keras, what)
    if what.name == "digits":
        optimizer = keras.optimizers.Adam(what.rate)
    else:
        optimizer = keras.optimizers.SGD(what.rate, 0.9, weight_decay=1e-4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # JAX compiles the step, several steps in one call for small networks; the torch backend runs as it is
    many = 16 if backend == "jax" and what.name == "digits" else 1
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=many)

    class Clock(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        epochs: list[float] = []  # noqa: RUF012

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs.append(time.perf_counter() - self.begun)

    clock = Clock()
    given: dict[str, Any] = {"epochs": what.epochs, "verbose": 0, "callbacks": [clock]}
    if what.name == "digits":
        archive = np.load(part("mnist", what.count), allow_pickle=False)
        x, y = (_normal(archive[key], order) for key in ("x_train", "y_train"))
        started = time.perf_counter()
        model.fit(x, y, batch_size=what.batch, **given)
    else:
        train = _set(what, turned)
        started = time.perf_counter()
        model.fit(_loader(what, train, int(workers), context="spawn"), **given)
    return Measured(time.perf_counter() - started, clock.epochs)


def _normal(values: NDArray[Any], order: str) -> NDArray[Any]:
    if values.ndim == 1:
        return values.astype(np.int32)
    normal = (values.astype(np.float32) / 255 - DIGITS_MEAN) / DIGITS_STD
    return normal if order == "last" else np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def _keras_model(keras: Any, what: Task) -> Any:
    """Return cnn2 or ResNet-18, layer by layer as ours."""
    layers = keras.layers
    last = keras.config.image_data_format() == "channels_last"
    axis = -1 if last else 1
    side, channels = what.side, what.channels
    picture = keras.Input((side, side, channels) if last else (channels, side, side))

    def norm(x: Any) -> Any:
        return layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5)(x)

    if what.name == "digits":
        x = picture
        for number, width in enumerate((8, 8, 16, 16), start=1):
            x = layers.ReLU()(norm(layers.Conv2D(width, 3, padding="same")(x)))
            x = layers.MaxPooling2D(2)(x) if number % 2 == 0 else x
        x = layers.Dense(40)(layers.Flatten()(x))
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
        x = layers.ReLU()(layers.Dropout(0.3)(x))
        return keras.Model(picture, layers.Dense(10, dtype="float32")(x))

    def convolution(x: Any, width: int, window: int, stride: int) -> Any:
        padded = layers.ZeroPadding2D(window // 2)(x) if window > 1 else x
        return norm(layers.Conv2D(width, window, stride, use_bias=False)(padded))

    x = layers.ReLU()(convolution(picture, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="valid")(layers.ZeroPadding2D(1)(x))
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            inner = layers.ReLU()(convolution(x, width, 3, stride))
            inner = convolution(inner, width, 3, 1)
            around = convolution(x, width, 1, stride) if stride == 2 else x
            x = layers.ReLU()(layers.Add()([inner, around]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(10, dtype="float32")(x))


TRAINERS: dict[str, Callable[[Task, str], Measured]] = {"striate": _striate, "reference": _reference, "keras": _keras}


def main() -> None:
    """Train once and print what was measured."""
    name, trainer, variant, count, epochs = sys.argv[1:]
    from striate import keep_memory

    keep_memory()
    measured = TRAINERS[trainer](task(name, int(count), int(epochs)), variant)
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
