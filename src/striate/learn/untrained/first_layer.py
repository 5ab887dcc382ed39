"""Give a network a first layer that nobody trained: kernels by hand, random ones, those of k-means. Trains nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import dataset
from striate.dataset import PictureSet, stream
from striate.errors import DataError, NetworkError, OptionError
from striate.kernels.bank import bank
from striate.kernels.random import random_filters
from striate.network import Network
from striate.results.words import count
from striate.tap import activations

__all__ = ["HOWS", "How", "first_layer", "set_first_layer"]

How = Literal["by-hand", "random", "k-means"]
HOWS: Final[tuple[str, ...]] = get_args(How)

_MEASURED: Final = 512  # pictures that answers are measured on
_NUMBERS: Final = 1 << 24  # of answers at a time
_SILENT: Final = 1e-4  # standard deviation below which a filter does not answer, as a share of the strongest one's
_OFF: Final = 0.02  # by which answers may miss what they were brought to


def first_layer(network: Network) -> tuple[str, nn.Conv2d]:
    """Find the convolution that reads the picture.

    Returns:
        Its name and the layer itself.

    Raises:
        NetworkError: there is none, it does not see all channels at once, it is called several times, or its weights
            are worked out of others.
    """
    graph = network.graph()
    parts = dict(network.module.named_modules())
    for row in graph.rows:
        name = row.address.partition("~")[0]
        part = parts.get(name)
        # one with worked-out weights stands in the graph as what it calls
        if not isinstance(part, nn.Conv2d) and (row.functional or not row.parameters):
            continue
        if isinstance(part, nn.Conv2d) and part.in_channels == network.spec.channels and part.groups == 1:
            _check_plain(network, name, part)
            return name, part
        what = f"{name} ({row.kind})" if name else row.kind
        raise NetworkError(
            f"the first layer of {network.name} with weights, {what}, is no convolution over all "
            f"{count(network.spec.channels, 'channel')} of the picture, so it cannot be given other kernels. Take a "
            "network that begins with a convolution."
        )
    raise NetworkError(f"{network.name} has no layer with weights, so there is no first one to give kernels to.")


def _check_plain(network: Network, name: str, layer: nn.Conv2d) -> None:
    if "weight" not in layer._parameters:  # a parametrization, of weight norm for one
        raise NetworkError(
            f"the weights of {name}, the first layer of {network.name}, are worked out of others in every pass, so "
            "kernels cannot be put there. Take a network that begins with a plain convolution."
        )
    calls = sum(not row.functional and row.address.partition("~")[0] == name for row in network.graph().rows)
    if calls > 1:
        raise NetworkError(
            f"{name}, the first layer of {network.name}, is called {calls} times in a pass: kernels for pictures would "
            "be laid on maps as well. Take a network whose first convolution reads the picture alone."
        )


def set_first_layer(
    network: Network,
    how: How,
    pictures: Any = None,
    *,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    seed: int = 0,
) -> tuple[str, ...]:
    """Give the first convolution of a network kernels that are not learned from labels. The network is changed.

    - "by-hand": edges in all directions, blurs, spots, lines, sharpening, on light and on opposed colours
      (`striate.kernels.bank.bank`), as many as the layer has filters;
    - "random": drawn from the normal distribution (`striate.kernels.random_filters`);
    - "k-means": centroids of whitened patches of the pictures, the whitening folded in
      (`striate.kernels.learn_kernels`; the division by each window's contrast, which no convolution can do, is left
      out).

    How strongly a layer answers decides how fast what follows it learns. So that kernels can be compared by what they
    are, the answers of each are brought to variance 1 over the pictures, and where the layer has a bias, to mean 0.
    Without pictures each filter has length 1 instead, and the bias is 0.

    Args:
        network: whose first layer is a convolution over all channels, in float32.
        how: which kernels.
        pictures: whatever `striate.dataset.open` opens; "k-means" needs them.
        indices: which of them; all unless given. Answers are measured on 512 of these, drawn by lot.
        seed: of the random filters, the patches, and the pictures that answers are measured on.

    Returns:
        Names of what is to stay as it is: `striate.learn.fit(..., frozen=names)`.

    Raises:
        OptionError: no such way, or "k-means" without pictures.
        NetworkError: the network does not begin with such a convolution, or does not use its weights as they are.
        DataError: too few pictures for that many kernels, or none that can be read.

    Source: random, Saxe et al. 2011; k-means, Coates, Lee and Ng 2011, section 3.
    """
    if how not in HOWS:
        raise OptionError(f"no first layer {how!r}; there are {', '.join(HOWS)}.")
    name, layer = first_layer(network)
    held = None if pictures is None else pictures if isinstance(pictures, PictureSet) else dataset.open(pictures)
    chosen = np.arange(0 if held is None else len(held), dtype=np.int64) if indices is None else np.asarray(indices)
    weight = _kernels(network, layer, how, held, chosen, seed)
    _put(layer, weight / weight.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None], None)
    if held is not None:
        _equalise(network, name, layer, held, chosen, seed)
    return (name,)


def _kernels(
    network: Network, layer: nn.Conv2d, how: How, pictures: PictureSet | None, indices: NDArray[np.int64], seed: int
) -> Tensor:
    """Return weights (F, C, h, w), float32, of any scale."""
    filters, channels, height, width = layer.weight.shape
    size = height, width
    if how == "random":
        return torch.from_numpy(random_filters(filters, channels, size, seed=seed))
    if how == "by-hand":
        if size == (1, 1):
            raise NetworkError(
                f"the first layer of {network.name} looks at single pixels (1 x 1), in which kernels by hand see no "
                "edge and no line. Take a network whose first windows are larger."
            )
        return torch.from_numpy(bank(filters, size, channels).weights).float()
    if pictures is None:
        raise OptionError("k-means learns its kernels from pictures: give some (pictures=).")
    from striate.kernels.learned import learn_kernels

    learned = learn_kernels(pictures, count=filters, size=size, spec=network.spec, indices=indices, seed=seed)
    return learned.convolution(network.spec)[0].detach()


def _put(layer: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(torch.zeros_like(layer.bias) if bias is None else bias)


def _equalise(
    network: Network, name: str, layer: nn.Conv2d, pictures: PictureSet, indices: NDArray[np.int64], seed: int
) -> None:
    """Bring the answers of each filter to variance 1, and to mean 0 where there is a bias for it."""
    order = np.sort(np.random.default_rng(seed).permutation(indices)[:_MEASURED])
    mean, deviation = _answers(network, name, pictures, order)
    strongest = float(deviation.max())
    if not strongest > 0:
        raise DataError(
            f"no filter of {name} answers differently to different places of {count(len(order), 'picture')}: they are "
            "of one colour. Look at a few of them."
        )
    alive = deviation > _SILENT * strongest
    scale = torch.where(alive, 1 / deviation, 1.0).float()  # colours are silent where all pictures are grey
    _put(layer, layer.weight.detach().cpu() * scale[:, None, None, None], (-mean * scale).float())
    after = _answers(network, name, pictures, order)[1]
    if not bool(((after[alive] - 1).abs() < _OFF).all()):
        raise NetworkError(
            f"{name} of {network.name} does not use its weights as they are (its answers should vary by 1, and vary by "
            f"{float(after[alive].min()):.3g} to {float(after[alive].max()):.3g}): it is a {type(layer).__name__}, "
            "which may standardise them. Take a network that begins with a plain convolution."
        )


def _answers(network: Network, name: str, pictures: PictureSet, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each filter's answers over pictures and places, (F,), float64."""
    filters = network.graph().layer(name).channels
    sums, squares = torch.zeros(filters, dtype=torch.float64), torch.zeros(filters, dtype=torch.float64)
    places = 0
    batch = max(1, min(64, _NUMBERS // (filters * network.spec.height * network.spec.width)))
    reasons: list[str] = []
    with contextlib.closing(stream(pictures, network.spec, indices, batch=batch)) as batches:
        for one in batches:
            reasons += [why for _, why in one.broken]
            if len(one.images):
                with torch.no_grad():
                    found = activations(network, network.batch(one.images), [name])
                answers = found.outputs[name].double()  # (n, F, h, w)
                sums += answers.sum((0, 2, 3)).cpu()
                squares += answers.square().sum((0, 2, 3)).cpu()
                places += answers.numel() // filters
    if not len(indices):
        raise DataError(f"{pictures.description}: there is no picture to measure answers on. Give some (indices=).")
    if not places:
        raise DataError(f"none of {count(len(indices), 'picture')} can be read (the first: {reasons[0]}).")
    mean = sums / places
    return mean, (squares / places - mean**2).clamp_min(0).sqrt()
