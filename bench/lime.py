"""LIME with 1,000 samples against the bare 1,000 forward passes, Captum, and the package `lime`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr

import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from lime.lime_image import LimeImageExplainer
from torch import Tensor, nn

import striate
from bench.measure import Claim, Table, best, interleaved
from bench.subjects import bare_forward, frozen, network, ordered, pictures
from striate import lenses
from striate.perturbation.superpixels import segment

__all__ = ["run"]

SAMPLES, TRIAL = 1000, 96
ORDERS = (("plain", torch.contiguous_format), ("channels last", torch.channels_last))
SUBJECTS = ("next to nothing", "efficientnet_lite0", "resnet18")


def run(*, quick: bool = False) -> Table:
    """Measure one picture of 224 x 224 and one class."""
    samples, trial = (200, 32) if quick else (SAMPLES, TRIAL)
    table = Table(
        f"LIME with {samples:,} samples",
        "One picture of 224 x 224, one class, about 50 superpixels by SLIC; a ridge surrogate everywhere. The "
        "superpixels are cut in our time, and given to the peers. The bare passes run as many pictures in the faster "
        "order of memory, 4, 8 or 32 at a time; the peers as they come (Captum 1 sample at a time, lime 10), and at "
        "the best of several batch sizes, found in a trial. Ours runs the network with batch norm folded and "
        "rectifiers done by the convolutions, which nearly all networks gain by, but never threefold: where the "
        "network takes nearly all the time, the peers at their best are near. A network that does next to nothing "
        "shows what a method itself costs.",
        ("network", "what", "settings", "seconds", "speed"),
    )
    for name in SUBJECTS[1:2] if quick else SUBJECTS:
        _one(name, table, samples, trial, repeats=1 if quick else 3)
    return table


def _one(name: str, table: Table, samples: int, few: int, *, repeats: int) -> None:
    net = _cheap() if name == SUBJECTS[0] else network(name)
    image = pictures(net, 1)
    parts = segment(net.spec.pixels(image)[0])
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # lime draws bars
        warnings.simplefilter("ignore")
        trial = interleaved({key: call(few) for key, call in _calls(net, image, parts).items()}, repeats=2)
        calls = _calls(net, image, parts)
        kinds = ("bare passes", "lime of Striate", "Captum", "lime", "Captum as it comes", "lime as it comes")
        chosen = [best(trial, f"{kind}|")[0] for kind in kinds]
        seconds = interleaved({key: calls[key](samples) for key in dict.fromkeys(chosen)}, repeats=repeats)
    bare, ours = seconds[chosen[0]], seconds[chosen[1]]
    for key in chosen:
        what, _, setting = key.partition("|")
        table.rows.append((name, what, setting, f"{seconds[key]:.2f}", f"{bare / seconds[key]:.2f}"))
    if name != SUBJECTS[0]:
        table.claims.append(Claim(f"{name}, speed against the bare passes", bare / ours, 0.9, at_most=False))
    for kind, key in zip(kinds[2:], chosen[2:], strict=True):
        table.claims.append(Claim(f"{name}, speed against {kind}", seconds[key] / ours, 3, at_most=False))


def _calls(net: striate.Network, image: Tensor, parts: Tensor) -> dict[str, Callable[[int], Callable[[], object]]]:
    """Return by name what makes a call for a number of samples."""
    calls: dict[str, Callable[[int], Callable[[], object]]] = {}
    for order, shape in ORDERS:
        own = ordered(net, shape)
        lean = frozen(own.module)
        x = image.to(memory_format=shape)
        for size in (4, 8, 32):
            batch = x.expand(size, -1, -1, -1).contiguous(memory_format=shape)
            calls[f"bare passes|{order}, {size} at a time"] = lambda n, m=lean, b=batch: lambda: _bare(m, b, n)
        calls[f"lime of Striate|{order}"] = lambda n, o=own, x=x: lambda: lenses.lime(o, x, "class:7", samples=n)
        for size in (1, 4, 8, 32):
            run_captum = _captum(lean, x, net.spec.baseline("grey", x), parts, size)
            calls[f"Captum|{order}, {size} at a time"] = run_captum
            if size == 1 and order == "plain":
                calls["Captum as it comes|plain, 1 at a time"] = run_captum
        for size in (4, 10, 32):
            run_lime = _package(lean, net, image, shape, parts, size)
            calls[f"lime|{order}, {size} at a time"] = run_lime
            if size == 10 and order == "plain":
                calls["lime as it comes|plain, 10 at a time"] = run_lime
    return calls


def _bare(module: nn.Module, batch: Tensor, samples: int) -> None:
    for _ in range(samples // len(batch)):
        bare_forward(module, batch)


def _captum(
    module: nn.Module, image: Tensor, blank: Tensor, parts: Tensor, size: int
) -> Callable[[int], Callable[[], object]]:
    peer = Lime(module, SkLearnRidge(alpha=1))
    return lambda samples: (
        lambda: peer.attribute(
            image,
            target=7,
            baselines=blank,
            feature_mask=parts[None, None],
            n_samples=samples,
            perturbations_per_eval=size,
        )
    )


def _package(
    module: nn.Module, net: striate.Network, image: Tensor, shape: torch.memory_format, parts: Tensor, size: int
) -> Callable[[int], Callable[[], object]]:
    labels, photo = parts.numpy(), net.spec.pixels(image)[0]

    def classify(batch):  # numpy in, numpy out, as the package wants it
        values = torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(255)
        return bare_forward(module, net.spec.normalise(values).contiguous(memory_format=shape)).numpy()

    return lambda samples: (
        lambda: LimeImageExplainer(random_state=0, verbose=False).explain_instance(
            photo,
            classify,
            labels=(7,),
            top_labels=None,
            hide_color=127.5,
            num_features=len(labels),
            num_samples=samples,
            batch_size=size,
            segmentation_fn=lambda _: labels,
        )
    )


def _cheap() -> striate.Network:
    """Return a network that costs next to nothing."""
    module = nn.Sequential(nn.Conv2d(3, 4, 1, stride=32), nn.Flatten(), nn.Linear(4 * 7 * 7, 10))
    return striate.Network(module, striate.InputSpec())
