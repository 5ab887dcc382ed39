"""Random small networks for property tests: every kind of step that a convolutional network is made of.

``random_network(seed)`` is the same network for the same seed; ``print(net.module)`` shows its steps, and a few
``steps`` or an ``only`` list make it small. No test stands here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import striate
from perturbation.random_parts import HEADS, Calling, Gate, Head, Joined, Norm, Residual, Shape, Shuffle, Twice

__all__ = ["AWKWARD", "HEADS", "STEPS", "RandomNetwork", "random_network", "random_patches"]


Draw = random.Random
Step = Callable[[Draw, Shape], nn.Module | None]  # None where it does not go with the shape


def _side(draw: Draw, length: int, largest: int = 5) -> int:
    """Draw a kernel side that fits into a length."""
    return draw.choice([side for side in (1, 2, 3, 3, 3, 4, 5, 7) if side <= min(length, largest)])


def convolution(draw: Draw, shape: Shape, *, outputs: int | None = None, depthwise: bool = False) -> nn.Module:
    channels, height, width = shape
    kernel = (_side(draw, min(height, width)),) * 2
    if draw.random() < 0.3:
        kernel = (_side(draw, height, 7), _side(draw, width, 7))
    dilation = tuple(draw.choice((1, 1, 2, 3)) if (side - 1) * 3 < min(height, width) else 1 for side in kernel)
    reach = [(side - 1) * step + 1 for side, step in zip(kernel, dilation, strict=True)]
    padding = tuple(draw.choice((0, side // 2, side // 2, draw.randint(0, side - 1))) for side in reach)
    stride = (draw.choice((1, 1, 1, 2, 2, 3)),) * 2
    if draw.random() < 0.2:
        stride = (draw.choice((1, 2, 3)), draw.choice((1, 2)))
    mode = draw.choice(["zeros"] * 5 + ["reflect", "replicate", "circular"])
    outputs = outputs or draw.randint(2, 10)
    groups = 1
    if depthwise:
        groups, outputs = channels, channels * draw.choice((1, 1, 2))
    elif draw.random() < 0.2 and channels % 2 == 0:
        groups, outputs = 2, outputs + outputs % 2
    if mode != "zeros" and any(side >= length for side, length in zip(padding, (height, width), strict=True)):
        mode = "zeros"
    return nn.Conv2d(
        channels, outputs, kernel, stride, padding, dilation, groups, bias=draw.random() < 0.7, padding_mode=mode
    )


def same_convolution(draw: Draw, shape: Shape) -> nn.Module:
    """Draw a convolution that keeps the size, with padding="same"."""
    kernel, dilation = draw.choice(((1, 1), (3, 1), (5, 1), (3, 2), (2, 2), (4, 2)))
    return nn.Conv2d(shape[0], draw.randint(2, 10), kernel, padding="same", dilation=dilation)


def padded_by_hand(draw: Draw, shape: Shape) -> nn.Module:
    """Pad unevenly before a convolution, as networks from TensorFlow do."""
    before, after = draw.choice(((0, 1), (1, 2), (2, 1)))
    pads = [nn.ZeroPad2d((before, after, before, after)), nn.ConstantPad2d((after, 0, before, 0), 0.7)]
    if min(shape[1:]) > 3:
        pads += [nn.ReflectionPad2d(after), nn.ReplicationPad2d((before, after, after, before))]
    return nn.Sequential(draw.choice(pads), nn.Conv2d(shape[0], draw.randint(2, 8), 3, draw.choice((1, 2))))


def depthwise(draw: Draw, shape: Shape) -> nn.Module:
    return convolution(draw, shape, depthwise=True)


def batch_norm(draw: Draw, shape: Shape) -> nn.Module:
    return nn.BatchNorm2d(shape[0], affine=draw.random() < 0.8)


ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU, lambda: nn.ReLU(inplace=True), nn.ReLU6, lambda: nn.Hardtanh(-0.5, 1.5), nn.LeakyReLU, nn.ELU, nn.CELU,
    nn.SELU, nn.GELU, lambda: nn.GELU("tanh"), nn.SiLU, lambda: nn.SiLU(inplace=True), nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.PReLU, nn.Identity,
    lambda: nn.Dropout(0.5), lambda: nn.Dropout2d(0.5),
)  # fmt: skip


def activation(draw: Draw, shape: Shape) -> nn.Module:
    return nn.PReLU(shape[0]) if draw.random() < 0.05 else draw.choice(ACTIVATIONS)()


SAME_SHAPE_FUNCTIONS = (
    "F.relu", "F.relu in place", "torch.relu", "method relu_", "clamp", "clamp_min", "swish by hand", "swish shifted",
    "affine", "one minus", "negative", "half in place", "abs", "square root", "exp", "softmax of channels",
    "norm of channels", "gate of channels", "chunks swapped",
)  # fmt: skip


def function(draw: Draw, shape: Shape) -> nn.Module:
    return Calling(draw.choice((*SAME_SHAPE_FUNCTIONS, "cut edges", "half of the channels", "repeat channels")))


def slicing(draw: Draw, shape: Shape) -> nn.Module:
    return Calling("take every second")


def _pooling(draw: Draw, shape: Shape) -> tuple[int, int, int]:
    side = draw.choice([side for side in (2, 2, 3, 3, 4, 5) if side <= min(shape[1:])] or [1])
    return side, draw.choice((1, 2, 2, 3)), draw.randint(0, side // 2)


def max_pooling(draw: Draw, shape: Shape) -> nn.Module:
    side, stride, padding = _pooling(draw, shape)
    dilation = draw.choice((1, 1, 1, 2)) if 2 * side <= min(shape[1:]) else 1
    return nn.MaxPool2d(side, stride, padding, dilation, ceil_mode=draw.random() < 0.5)


def average_pooling(draw: Draw, shape: Shape) -> nn.Module:
    side, stride, padding = _pooling(draw, shape)
    divisor = draw.choice((None, None, None, 3))
    return nn.AvgPool2d(side, stride, padding, draw.random() < 0.5, draw.random() < 0.5, divisor)


def upsampling(draw: Draw, shape: Shape) -> nn.Module | None:
    if max(shape[1:]) > 30:
        return None
    match draw.choice(("nearest", "bilinear", "corners", "size", "shuffle")):
        case "nearest":
            return nn.Upsample(scale_factor=2, mode="nearest")
        case "bilinear":
            return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        case "corners":
            return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        case "size":
            size = (shape[1] + draw.randint(0, 5), shape[2] + draw.randint(0, 5))
            return nn.Upsample(size=size, mode=draw.choice(("nearest", "bilinear")))
        case _:
            return nn.PixelShuffle(2) if shape[0] % 4 == 0 else None


def gate(draw: Draw, shape: Shape) -> nn.Module:
    if draw.random() < 0.3:
        return Calling(draw.choice(("gate of means", "minus means", "gate of maxima")))
    return Gate(shape[0], draw.choice(("linear", "mean", "in place")))


def shuffle(draw: Draw, shape: Shape) -> nn.Module | None:
    return Shuffle() if shape[0] % 2 == 0 else None


def local_norm(draw: Draw, shape: Shape) -> nn.Module:
    return Norm(shape[0]) if draw.random() < 0.6 else nn.LocalResponseNorm(draw.choice((2, 3)))


def residual(draw: Draw, shape: Shape) -> nn.Module:
    """Draw a body of two or three steps; a convolution and pooling bring the shortcut to its size."""
    way = draw.choice(("+", "+", "+=", "relu", "scaled", "-", "*", "max"))
    if draw.random() < 0.5:  # keeps the shape
        side = draw.choice((1, 3, 3, 5))
        inner = draw.randint(2, 8)
        body: list[nn.Module] = [
            nn.Conv2d(shape[0], inner, side, padding=side // 2),
            batch_norm(draw, (inner, *shape[1:])),
            activation(draw, (inner, *shape[1:])),
            nn.Conv2d(inner, shape[0], 3, padding=2, dilation=2),
        ]
        if draw.random() < 0.3:
            body.append(gate(draw, shape))
        return Residual(nn.Sequential(*body), nn.Identity(), way)
    outputs, stride = draw.randint(2, 10), draw.choice((1, 2, 2))
    side = draw.choice((3, 3, 5))
    body = [
        nn.Conv2d(shape[0], outputs, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Conv2d(outputs, outputs, 3, padding=1, groups=draw.choice((1, outputs))),
    ]
    straight: nn.Module = nn.Conv2d(shape[0], outputs, 1, stride)
    if draw.random() < 0.3:
        straight = nn.Sequential(nn.AvgPool2d(stride, stride, 0, True, False), nn.Conv2d(shape[0], outputs, 1))
    return Residual(nn.Sequential(*body), straight, way)


def joined(draw: Draw, shape: Shape) -> nn.Module:
    """Draw branches of the same size: dense blocks, inception blocks, a small U-Net."""

    def branch() -> nn.Module:
        match draw.choice(("one", "three", "wide", "pool", "straight", "row")):
            case "one":
                return nn.Conv2d(shape[0], draw.randint(1, 4), 1)
            case "three":
                outputs = draw.randint(1, 4)
                return nn.Sequential(nn.Conv2d(shape[0], outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
            case "wide":
                return nn.Conv2d(shape[0], draw.randint(1, 4), 3, padding=3, dilation=3)
            case "pool":
                return nn.MaxPool2d(3, 1, 1) if draw.random() < 0.5 else nn.AvgPool2d(3, 1, 1, False, False)
            case "row":
                return nn.Sequential(
                    nn.Conv2d(shape[0], 3, (1, 5), padding=(0, 2)), nn.Conv2d(3, 2, (5, 1), padding=(2, 0))
                )
            case _:
                return nn.Identity()

    branches = [branch() for _ in range(draw.choice((2, 2, 3)))]
    if draw.random() < 0.25 and min(shape[1:]) >= 4:
        down = nn.Conv2d(shape[0], 3, 3, 2, 1)
        mode = draw.choice(("nearest", "bilinear"))
        branches.append(nn.Sequential(down, nn.ReLU(), nn.Upsample(size=shape[1:], mode=mode)))
    return Joined(*branches)


def called_twice(draw: Draw, shape: Shape) -> nn.Module:
    return Twice(nn.Conv2d(shape[0], shape[0], 3, padding=1))


STEPS: dict[str, Step] = {
    "convolution": convolution,
    "same convolution": same_convolution,
    "padded by hand": padded_by_hand,
    "depthwise": depthwise,
    "batch norm": batch_norm,
    "activation": activation,
    "function": function,
    "slicing": slicing,
    "max pooling": max_pooling,
    "average pooling": average_pooling,
    "upsampling": upsampling,
    "gate": gate,
    "shuffle": shuffle,
    "local norm": local_norm,
    "residual": residual,
    "joined": joined,
    "called twice": called_twice,
}
_WEIGHTS = {"convolution": 5, "residual": 4, "joined": 3, "batch norm": 2, "activation": 4}

# Steps that mix positions in ways that windows need not follow: the answers must be right all the same.
AWKWARD: dict[str, Step] = {
    "group norm": lambda draw, shape: nn.GroupNorm(draw.choice([n for n in (1, 2) if shape[0] % n == 0]), shape[0]),
    "instance norm": lambda draw, shape: nn.InstanceNorm2d(shape[0], affine=True) if min(shape[1:]) > 1 else None,
    "transposed": lambda draw, shape: (
        nn.ConvTranspose2d(shape[0], draw.randint(2, 6), 3, 2, 1, output_padding=1) if max(shape[1:]) < 30 else None
    ),
    "adaptive pooling": lambda draw, shape: nn.AdaptiveAvgPool2d((min(3, shape[1]), min(5, shape[2]))),
    "adaptive maxima": lambda draw, shape: nn.AdaptiveMaxPool2d((min(4, shape[1]), min(3, shape[2]))),
    "moving": lambda draw, shape: Calling(
        draw.choice(("flip", "roll", "turn", "channels last and back", "softmax of positions", "sums along rows"))
    ),
    "unshuffle": lambda draw, shape: nn.PixelUnshuffle(2) if shape[1] % 2 == 0 and shape[2] % 2 == 0 else None,
    "power pooling": lambda draw, shape: (
        nn.Sequential(nn.Softplus(), nn.LPPool2d(2, 2)) if min(shape[1:]) > 2 else None
    ),
}


@dataclass(frozen=True)
class RandomNetwork:
    """A network and a picture for it.

    Attributes:
        network: small, in evaluation mode, with random weights and statistics.
        image: (1, C, H, W), normalised.
        seed: that it came from.
    """

    network: striate.Network
    image: Tensor
    seed: int

    @property
    def module(self) -> nn.Module:
        return self.network.module

    def __repr__(self) -> str:
        return f"random_network({self.seed}): {tuple(self.image.shape)} -> {self.module}"


def random_network(
    seed: int,
    *,
    steps: int = 6,
    size: tuple[int, int] | None = None,
    only: Collection[str] | None = None,
    awkward: bool = False,
    head: str | None = None,
    classes: int = 5,
) -> RandomNetwork:
    """Draw a network, its weights and a picture.

    Args:
        seed: the same seed gives the same network.
        steps: how many to draw before the head; residuals and branches have steps of their own.
        size: of the picture; drawn from 9 to 40 pixels unless given.
        only: names of steps to draw from (`STEPS`, `AWKWARD`); those of `STEPS` unless given.
        awkward: draw from `AWKWARD` as well.
        head: one of `HEADS`; drawn unless given.
        classes: number of logits.
    """
    draw = random.Random(seed)
    channels = draw.randint(1, 4)
    height, width = size or (draw.randint(9, 40), draw.randint(9, 40))
    everything = STEPS | AWKWARD
    names = list(only) if only else [*STEPS, *(AWKWARD if awkward else ())]
    weights = [_WEIGHTS.get(name, 1) for name in names]
    body: list[nn.Module] = []
    shape = (channels, height, width)
    while len(body) < steps:
        step = everything[draw.choices(names, weights)[0]](draw, shape)
        found = None if step is None else _shape(step, shape)
        if found is not None and found[0] <= 24:
            body.append(step)
            shape = found
        elif len(names) == 1:
            break
    way = head or draw.choice(HEADS)
    module = nn.Sequential(*body, Head(way, shape, classes)).eval()
    generator = torch.Generator().manual_seed(seed)
    _fill(module, generator)
    image = torch.randn(1, channels, height, width, generator=generator)
    image = image.contiguous(memory_format=torch.channels_last)  # as `Network.batch` gives it
    spec = striate.InputSpec(channels, height, width, mean=(0.5,), std=(0.25,))
    return RandomNetwork(striate.Network(module, spec, name=f"random {seed}"), image, seed)


def _shape(step: nn.Module, shape: Shape) -> Shape | None:
    """Return the shape after a step, or None where it does not go with the shape before."""
    try:
        with torch.no_grad():
            found = step.eval()(torch.zeros(1, *shape)).shape
    except (RuntimeError, ValueError):
        return None
    return tuple(found[1:]) if min(found) > 0 else None


def _fill(module: nn.Module, generator: torch.Generator) -> None:
    """Give random weights that neither explode nor vanish, and living statistics."""
    with torch.no_grad():
        for parameter in module.parameters():
            scale = parameter[0].numel() ** -0.5 * 1.4 if parameter.dim() > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.3)
                if part.weight is not None:
                    part.weight.copy_(torch.rand(part.weight.shape, generator=generator) + 0.5)


def random_patches(seed: int, image: Tensor, *, count: int = 7) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draw boxes of any size and place, what shows through them, and perhaps masks.

    Returns:
        Boxes (M, 4), fill (C, H, W), masks (M, h, w) or None, as `Patches` takes them.
    """
    draw = random.Random(seed)
    height, width = image.shape[2:]
    boxes = []
    sides = None if draw.random() < 0.6 else (draw.randint(1, height), draw.randint(1, width))  # one size for all
    for _ in range(count):
        down, across = sides or (draw.randint(1, height), draw.randint(1, width))
        if sides is None and draw.random() < 0.6:  # mostly small ones
            down, across = min(down, 6), min(across, 6)
        top, left = draw.randint(0, height - down), draw.randint(0, width - across)
        boxes.append((top, left, top + down, left + across))
    if sides is not None:  # corners
        boxes[0] = (0, 0, sides[0], sides[1])
        boxes[-1] = (height - sides[0], width - sides[1], height, width)
    generator = torch.Generator().manual_seed(seed)
    fill = torch.randn(image.shape[1:], generator=generator)
    if draw.random() < 0.5:
        fill = torch.full_like(fill, -2.0)  # black
    found = torch.tensor(boxes)
    if draw.random() < 0.6:
        return found, fill, None
    largest = (found[:, 2:] - found[:, :2]).amax(0).tolist()
    return found, fill, torch.rand(count, *largest, generator=generator) < 0.6
