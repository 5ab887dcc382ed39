"""The networks and pictures that are measured, and the bare passes that lenses are measured against."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn

import striate

__all__ = ["NETWORKS", "bare_backward", "bare_forward", "frozen", "network", "ordered", "pictures"]

NETWORKS = ("resnet18", "efficientnet_lite0", "resnet50")


def network(name: str) -> striate.Network:
    """Load a network; those of torchvision with random weights, for speed does not depend on them."""
    if name == "efficientnet_lite0":
        return striate.load(name)
    return striate.load(f"torchvision:{name}", pretrained=False)


def ordered(network: striate.Network, order: torch.memory_format) -> striate.Network:
    """Copy a network with its weights in an order of memory; which is faster depends on the machine."""
    module = deepcopy(network.module).to(memory_format=order)
    return striate.Network(module, spec=network.spec, class_names=network.class_names)


def pictures(network: striate.Network, count: int) -> Tensor:
    """Return `count` photographs, normalised; the four that come with scikit-image, mirrored and turned."""
    sources = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    ways = [lambda x: x, lambda x: x[:, ::-1], lambda x: x[::-1], lambda x: x[::-1, ::-1]]
    batch = []
    for index in range(count):
        picture = ways[index // 4 % 4](sources[index % 4])
        batch.append(network.spec.preprocess(Image.fromarray(np.ascontiguousarray(picture))))
    return torch.stack(batch)


def frozen(module: nn.Module) -> nn.Module:
    """Copy a network in evaluation mode, without gradients of weights."""
    return deepcopy(module).eval().requires_grad_(False)


def bare_forward(module: nn.Module, images: Tensor) -> Tensor:
    """Run the network alone."""
    with torch.inference_mode():
        return module(images)


def bare_backward(module: nn.Module, images: Tensor) -> Tensor:
    """Run a frozen network forward, and back to the pixels of the best class: the least that a gradient costs."""
    images = images.clone().requires_grad_()
    logits = module(images)
    (gradient,) = torch.autograd.grad(logits.amax(1).sum(), images)
    return gradient
