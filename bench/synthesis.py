"""Pictures for channels of a middle layer, against lucent and against the bare pass to that layer and back."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.measure import Claim, Table, interleaved
from bench.subjects import frozen, network, ordered
from striate import Network
from striate.synthesis import ascend, objective
from striate.tap import activations

__all__ = ["run"]

NAME, LAYER, PEERS_LAYER = "resnet50", "layer3.1", "layer3_1"
COUNT, SIZE = 16, 128
# of one call, times being told for each step of one picture; in 64 of ours the pictures are looked at as in 256
STEPS = {"ours": 64, "bare": 8, "best": 4, "users": 4}
QUICK = {"ours": 32, "bare": 2, "best": 2, "users": 2}
AGAINST_LUCENT, AGAINST_BARE = 10.0, 0.85


def run(*, quick: bool = False) -> Table:
    """Measure 16 channels of layer3.1 of a ResNet-50, 128 x 128 pixels."""
    table = Table(
        "Synthesis",
        f"Pictures of {SIZE} x {SIZE} for {COUNT} channels of {LAYER} of a {NAME} with random weights, by the recipe "
        "lucid. lucent as its users run it makes one picture at a time, and enlarges it to 224 x 224; at its best "
        f"(weights frozen by hand, channels last, {COUNT} pictures at once with a sum of objectives written by hand, "
        "`fixed_image_size`) it still runs the whole network. The bare pass runs the frozen network as far as the "
        f"layer and back to {COUNT} pictures that stay as they are, in the fastest of both orders of memory, all at "
        "once or 8 at a time. Ours is everything: spectrum, warp, the looks at the pictures as they are, and the best "
        "kept; as it comes it takes bfloat16 where the device gains by it, the others are float32. "
        "Each figure is the median time of a step of one picture.",
        ("what", "settings", "ms a step and picture", "pictures of 256 steps a minute", "times as fast as lucent"),
    )
    steps = QUICK if quick else STEPS
    net = ordered(network(NAME), torch.channels_last)
    channels = _awake(net)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        **_ours(net, channels, steps, quick=quick),
        **_bare(net.module, channels, steps),
        **_lucents(net.module, channels, steps),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = interleaved({name: call for name, (call, _) in calls.items()}, repeats=1 if quick else 3)
    each = {name: seconds[name] / work for name, (_, work) in calls.items()}
    users = each["lucent|as its users run it"]
    for name, took in each.items():
        what, _, settings = name.partition("|")
        table.rows.append((what, settings, f"{took * 1e3:.1f}", f"{60 / took / 256:.2f}", f"{users / took:.2f}"))

    def fastest(prefix: str) -> float:
        return min(took for name, took in each.items() if name.startswith(prefix))

    ours, bare, best = fastest("striate"), fastest("bare"), fastest("lucent|at its best")
    table.claims += [
        Claim("pictures per second against lucent as its users run it", users / ours, AGAINST_LUCENT, at_most=False),
        Claim("pictures per second against lucent at its best", best / ours, 1.0, at_most=False),
        Claim("float32, speed against the bare pass", bare / each["striate|float32"], AGAINST_BARE, at_most=False),
    ]
    return table


def _awake(net: Network) -> Tensor:
    """Return channels that answer on noise: random weights leave some silent, and no pass leads back from those."""
    noise = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    answers = activations(net, net.batch(net.spec.normalise(noise)), [LAYER]).outputs[LAYER].mean((2, 3)).amin(0)
    return answers.topk(COUNT).indices.cpu()


def _ours(
    net: Network, channels: Tensor, steps: dict[str, int], *, quick: bool
) -> dict[str, tuple[Callable[[], object], int]]:
    """Return our calls, each with the steps of single pictures that it makes."""
    goals = [objective(net, f"{LAYER}:{channel}", SIZE) for channel in channels.tolist()]

    def call(chunk: int | None, precision: str) -> Callable[[], object]:
        return lambda: ascend(net, goals, size=SIZE, steps=steps["ours"], chunk=chunk, precision=precision)

    work = steps["ours"] * COUNT
    found = {"striate|as it comes": (call(None, "auto"), work), "striate|float32": (call(None, "float32"), work)}
    if not quick:
        found |= {f"striate|{size} at a time": (call(size, "auto"), work) for size in (4, 8)}
    return found


def _bare(module: nn.Module, channels: Tensor, steps: dict[str, int]) -> dict[str, tuple[Callable[[], object], int]]:
    """Return passes of the frozen network to the layer and back to the pictures."""
    found = {}
    rows = torch.arange(COUNT)
    for order, shape in (("plain", torch.contiguous_format), ("channels last", torch.channels_last)):
        lean = frozen(module).to(memory_format=shape)
        stem = nn.Sequential(lean.conv1, lean.bn1, lean.relu, lean.maxpool, lean.layer1, lean.layer2, lean.layer3[:2])
        images = torch.rand(COUNT, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(memory_format=shape)
        for size in (COUNT, 8):

            def call(stem: nn.Module = stem, images: Tensor = images, size: int = size) -> None:
                for _ in range(steps["bare"]):
                    for part, chosen in zip(images.split(size), channels.split(size), strict=True):
                        leaf = part.clone().requires_grad_()
                        values = stem(leaf)[rows[: len(part)], chosen].mean()
                        torch.autograd.grad(values, leaf)

            settings = f"{order}, {'all at once' if size == COUNT else f'{size} at a time'}"
            found[f"bare pass|{settings}"] = (call, steps["bare"] * COUNT)
    return found


def _lucents(module: nn.Module, channels: Tensor, steps: dict[str, int]) -> dict[str, tuple[Callable[[], object], int]]:
    """Return lucent's calls; each works on a copy of the network, for its hooks stay and add up."""
    from lucent.optvis import objectives, param, render

    def users() -> None:
        render.render_vis(
            copy.deepcopy(module).eval(),
            objectives.channel(PEERS_LAYER, int(channels[0])),
            param_f=lambda: param.image(SIZE),
            thresholds=(steps["users"],),
            progress=False,
            show_image=False,
        )

    def together(reach: Callable[[str], Tensor]) -> Tensor:
        maps = reach(PEERS_LAYER)
        return -sum(maps[row, channel].mean() for row, channel in enumerate(channels.tolist()))

    def best() -> None:
        render.render_vis(
            frozen(module).to(memory_format=torch.channels_last),
            objectives.Objective(together),
            param_f=lambda: param.image(SIZE, batch=COUNT),
            thresholds=(steps["best"],),
            progress=False,
            show_image=False,
            fixed_image_size=SIZE,
        )

    return {
        "lucent|as its users run it": (users, steps["users"]),
        "lucent|at its best": (best, steps["best"] * COUNT),
    }
