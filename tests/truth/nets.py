"""Networks whose answers are known by hand, and the trained CIFAR ResNet. No test stands here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "CLAMPED",
    "RECTIFIERS",
    "Branches",
    "ConvOne",
    "Difference",
    "Gelu",
    "LineSum",
    "Mlp",
    "OneMinusRectifier",
    "Raising",
    "Rectified",
    "ResNet20",
    "randomise",
]


class ConvOne(nn.Module):
    """One convolution, one linear layer, both rectified: f(arange) = 54, f(arange + 1) = 67, f(0) = 0.

    Source: ConvOne of Captum's test networks, numbers only.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU()
        self.fc1 = nn.Linear(8, 4)
        self.relu2 = nn.ReLU()
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.copy_(torch.tensor([1.0, 1, 1, 1, 1, -1, -1, -1]).expand(4, 8))
            self.fc1.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.relu2(self.fc1(self.relu1(self.conv1(images)).flatten(1)))


class Mlp(nn.Module):
    """Three linear layers on a row of three pixels: f(20, 50, 30) = (392, 394), f(0) = (2, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear0, self.linear1, self.linear2 = nn.Linear(3, 3, bias=False), nn.Linear(3, 4), nn.Linear(4, 2)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.linear0.weight.copy_(torch.eye(3))
            self.linear1.weight.fill_(1)
            self.linear1.bias.copy_(torch.tensor([-10.0, 1, 1, 1]))
            self.linear2.weight.fill_(1)
            self.linear2.bias.copy_(torch.tensor([-1.0, 1]))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear2(self.relu(self.linear1(self.linear0(images.flatten(1)))))


class OneMinusRectifier(nn.Module):
    """1 - relu(1 - x), pixel by pixel: its slope is 1 below 1 and 0 from there on."""

    def forward(self, images: Tensor) -> Tensor:
        return 1 - F.relu(1 - images.flatten(1))


class Difference(nn.Module):
    """Two formulas of one function of two pixels, for the invariance of integrated gradients.

    `early`: relu(relu(a - 1) - relu(b)); otherwise relu(relu(a) - 1 - relu(b)).
    """

    def __init__(self, *, early: bool) -> None:
        super().__init__()
        self.early = early

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1).split(1, dim=1)
        inner = F.relu(first - 1) if self.early else F.relu(first) - 1
        return F.relu(inner - F.relu(second))


class LineSum(nn.Module):
    """5x + y^2 + sin z of three pixels that are measured from (0.5, 1, 1)."""

    def forward(self, images: Tensor) -> Tensor:
        first, second, third = images.flatten(1).split(1, dim=1)
        return 5 * (first + 0.5) + (second + 1) ** 2 + torch.sin(third + 1)


RECTIFIERS: dict[str, Callable[[nn.Module, Tensor, int], Tensor]] = {
    "module": lambda net, x, call: (net.relu_a, net.relu_b)[call](x),
    "shared": lambda net, x, call: net.relu_a(x),
    "in place": lambda net, x, call: net.relu_in_place(x),
    "functional": lambda net, x, call: F.relu(x),
    "functional in place": lambda net, x, call: F.relu(x, inplace=True),
    "torch.relu": lambda net, x, call: torch.relu(x),
    "torch.relu_": lambda net, x, call: torch.relu_(x),
    "method": lambda net, x, call: x.relu(),
    "method in place": lambda net, x, call: x.relu_(),
    "clamp": lambda net, x, call: x.clamp(min=0),
    "clamp in place": lambda net, x, call: x.clamp_(min=0),
    "clamp_min": lambda net, x, call: torch.clamp_min(x, 0),
}
CLAMPED: dict[str, Callable[[nn.Module, Tensor, int], Tensor]] = {
    "module": lambda net, x, call: (net.relu6_a, net.relu6_b)[call](x),
    "shared": lambda net, x, call: net.relu6_a(x),
    "in place": lambda net, x, call: net.relu6_in_place(x),
    "functional": lambda net, x, call: F.relu6(x),
    "functional in place": lambda net, x, call: F.relu6(x, inplace=True),
    "hardtanh": lambda net, x, call: F.hardtanh(x, 0.0, 6.0),
    "hardtanh module": lambda net, x, call: net.hardtanh(x),
    "clamp": lambda net, x, call: x.clamp(0, 6),
    "clamp in place": lambda net, x, call: x.clamp_(0, 6),
}


class Rectified(nn.Module):
    """A small network that rectifies twice, in a way to choose; all ways compute the same.

    Args:
        way: a key of `RECTIFIERS`, or of `CLAMPED` when `clamped`.
        clamped: cut at 6 as well; the weights are large enough that the cut is felt.
    """

    def __init__(self, way: str, *, clamped: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.way, self.clamped = way, clamped
        self.conv_a = nn.Conv2d(2, 6, 3, padding=1)
        self.conv_b = nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(8, 3)
        self.pool = nn.MaxPool2d(2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.relu_a, self.relu_b, self.relu_in_place = nn.ReLU(), nn.ReLU(), nn.ReLU(inplace=True)
        self.relu6_a, self.relu6_b, self.relu6_in_place = nn.ReLU6(), nn.ReLU6(), nn.ReLU6(inplace=True)
        self.hardtanh = nn.Hardtanh(0.0, 6.0)

    def forward(self, images: Tensor) -> Tensor:
        rectify = (CLAMPED if self.clamped else RECTIFIERS)[self.way]
        hidden = self.pool(rectify(self, self.conv_a(images), 0))
        hidden = rectify(self, self.conv_b(hidden), 1)
        return self.head(hidden.mean((2, 3)))


class Gelu(nn.Module):
    """A network without any rectifier: guided and deconvnet rules have no meaning on it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.GELU()
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.act(self.conv(images)).mean((2, 3)))


class Raising(nn.Module):
    """A network that breaks in the middle, in the forward pass or in the backward pass."""

    class _Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, values: Tensor) -> Tensor:
            return values.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            raise RuntimeError("broken on purpose, backwards")

    class _Stage(nn.Module):
        def __init__(self, where: str) -> None:
            super().__init__()
            self.where, self.armed = where, False

        def forward(self, values: Tensor) -> Tensor:
            if self.armed and self.where == "forward":
                raise RuntimeError("broken on purpose, forwards")
            return Raising._Backward.apply(values) if self.armed else values

    def __init__(self, where: str) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.stage = self._Stage(where)
        self.conv_b = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 5)

    def arm(self) -> None:
        """Let the next pass break."""
        self.stage.armed = True

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(self.norm(self.conv_a(images)))
        return self.head(F.relu(self.conv_b(self.stage(hidden))).mean((2, 3)))


class Branches(nn.Module):
    """Sums, concatenations, dilation, strides that meet: every way in which receptive fields join."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.wide = nn.Conv2d(4, 4, 3, padding=3, dilation=3)
        self.deep_a = nn.Conv2d(4, 4, 3, padding=1)
        self.deep_b = nn.Conv2d(4, 4, 3, padding=1)
        self.row = nn.Conv2d(12, 6, (1, 5), padding=(0, 2))
        self.shortcut = nn.Conv2d(6, 6, 1, stride=2)
        self.main = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.last = nn.Conv2d(6, 6, 3, groups=3)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        stem = F.relu(self.stem(images))
        joined = torch.cat([stem, self.wide(stem), self.deep_b(self.deep_a(stem))], dim=1)
        row = F.relu(self.row(joined))
        met = self.shortcut(row) + self.main(row)
        return self.head(self.last(self.pool(met)).amax((2, 3)))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.grow = outputs - inputs

    def forward(self, images: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        if self.grow:
            half = self.grow // 2
            images = F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return F.relu(out + images)


class ResNet20(nn.Module):
    """The CIFAR-10 ResNet-20, with functional rectifiers and shortcut A.

    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(_Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(_Block(16, 32, 2), *(_Block(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(_Block(32, 64, 2), *(_Block(64, 64, 1) for _ in range(2)))
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(images))))))
        return self.linear(F.adaptive_avg_pool2d(hidden, 1).flatten(1))


def randomise(module: nn.Module, images: Tensor, *, seed: int = 0) -> nn.Module:
    """Give a network random weights and living batch-norm statistics, in place, and set it to evaluate.

    Fresh networks have batch norms that do nothing and, often, a last layer near zero; what agrees on
    them may differ on a trained one. Scales and shifts are drawn, the statistics measured on `images`
    and then bent a little.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    module.eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        for norm in norms:
            norm.weight.copy_(torch.rand(norm.weight.shape, generator=generator) + 0.5)
            norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator) * 0.2)
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
            norm.train()
        module(images)
        for norm in norms:
            norm.eval()
            norm.momentum = 0.1
            norm.running_mean.mul_(torch.rand(norm.running_mean.shape, generator=generator) * 0.4 + 0.8)
            norm.running_var.mul_(torch.rand(norm.running_var.shape, generator=generator) * 0.4 + 0.8)
    return module
