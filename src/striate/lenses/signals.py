"""The lens `signals`: how values and gradients are distributed in each layer, before and after batch norm."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.lenses._lens import lens
from striate.nets.layers import LocallyConnected1d, LocallyConnected2d
from striate.network import Images, Network
from striate.results import Recipe, Signals
from striate.results.signals import LayerSignals, Spread
from striate.running import run, undisturbed
from striate.streaming import in_chunks
from striate.tap import watching
from striate.targets import Target, Targets, resolve

__all__ = ["signals"]

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, LocallyConnected1d, LocallyConnected2d)
_NORM = re.compile(r"\w*(BatchNorm\w*|batch_norm)")
_SAMPLE = 20_000  # values kept of a layer for its distribution
_MOST = 64  # layers, beyond which no chart can be read


@lens
def signals(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    of: Literal["score", "loss"] = "score",
    statistics: Literal["auto", "kept", "batch"] = "auto",
    seed: int = 0,
) -> Signals:
    """Show how the values of each layer and their gradients are distributed, before and after batch norm.

    Values are what a layer with weights gives before its rectifier (the pre-activations), and what a batch norm makes
    of them. Gradients are those at the same places, of the score of a class or of the loss. Where signals die out or
    grow from layer to layer, a deep network learns badly; batch norm brings each channel to a spread of its own.

    Args:
        network: that is asked; it is not changed.
        images: (N, C, H, W), normalised, or paths.
        target: the class of each picture; its top class unless given.
        of: gradients of the class's score before softmax, or of the loss (cross entropy) with that class as the truth,
            which is nearly nothing where the network is sure of it.
        statistics: what batch norm divides by: what it kept from training, or what these pictures give, as in a step
            of training; "auto" takes the pictures' where it has never been trained.
        seed: of the values that are kept for the drawing, where a layer has more than 20,000.

    Returns:
        For each layer with weights the distribution of values and gradients, and after its batch norm.

    Raises:
        AddressError: no such class.
        NetworkError: no layer with weights in it, values that are not finite, or the network cuts the gradient.
        OptionError: a target that is no class.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
        figures 6 and 7; Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    batch = network.batch(images)
    targets = resolve(network, target, batch)
    if targets.place is not None:
        raise OptionError(f"signals follow the score or the loss of a class, and {targets.labels[0]} is none.")
    targets = targets.settle(network(batch), network)
    norms = [part for part in network.module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    by_batch = bool(norms) and (statistics == "batch" or (statistics == "auto" and all(map(_is_new, norms))))
    pairs = _pairs(network, batch)
    places = [place for pair in pairs for place in pair if place is not None]
    tallies = {place: _Tally(seed, index) for index, place in enumerate(places)}

    def run_piece(start: int, stop: int) -> None:
        picked = targets.pick(range(start, stop))
        kept, slopes = _followed(network, batch[start:stop], places, picked, of, norms if by_batch else [])
        for place in places:
            tallies[place].add(kept[place], slopes[place])

    # statistics of a batch are those of all pictures together
    size = len(batch) if by_batch else network.piece()
    try:
        with undisturbed(network.module):
            in_chunks(len(batch), run_piece, size=size, task="signals")
    except NetworkError as error:
        if by_batch and "more than 1 value per channel" in str(error):
            raise NetworkError(
                "a batch norm reads a single value of each channel, which has no spread. Give several pictures, or "
                "statistics='kept'."
            ) from error
        raise
    for place in places:
        if not all(math.isfinite(total) for total in tallies[place].totals()):
            raise NetworkError(
                f"{network.name} gives NaN or infinite values or gradients at {place}, so nothing is to be said of how "
                "they are distributed. Its weights are spoilt, or the pictures far from what it takes."
            )
    notes = []
    if by_batch and statistics == "auto":
        notes.append("Its batch norm has never been trained: the statistics of these pictures are taken.")
    if by_batch and len(batch) == 1:
        notes.append("One picture is a small batch: give more for statistics that mean something.")
    return Signals(
        layers=tuple(
            LayerSignals(
                address=before,
                norm=after is not None,
                before=tallies[before].values(),
                after=None if after is None else tallies[after].values(),
                gradient_before=tallies[before].gradients(),
                gradient_after=None if after is None else tallies[after].gradients(),
            )
            for before, after in pairs
        ),
        of=of,
        target=targets.labels,
        by_batch=by_batch,
        recipe=Recipe(notes=tuple(notes)),
    )


@dataclass
class _Tally:
    """What one place gave so far: exact sums, and a sample for the drawing."""

    seed: int
    place: int
    held: list[list[Tensor]] = field(default_factory=lambda: [[], []])
    sums: list[list[float]] = field(default_factory=lambda: [[0.0] * 5, [0.0] * 5])
    pieces: int = 0

    def add(self, values: Tensor, gradients: Tensor) -> None:
        """Take note of a piece of the batch."""
        self.pieces += 1
        for index, tensor in enumerate((values, gradients)):
            flat = tensor.detach().flatten().float()
            if len(flat) > _SAMPLE:
                draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.place * 1_009 + self.pieces)
                self.held[index].append(
                    flat[torch.randint(len(flat), (_SAMPLE,), generator=draw).to(flat.device)].cpu()
                )
            else:
                self.held[index].append(flat.cpu())
            exact = flat.double()
            sums = self.sums[index]
            new = (float(len(flat)), float(exact.sum()), float((exact * exact).sum()), float((flat == 0).sum()))
            for at, value in enumerate(new):
                sums[at] += value
            sums[4] = max(sums[4], float(flat.abs().max()) if len(flat) else 0.0)

    def totals(self) -> list[float]:
        """Return the sums of the values and of the gradients, and of their squares."""
        return [sums[at] for sums in self.sums for at in (1, 2)]

    def values(self) -> Spread:
        """Return the distribution of the values."""
        return self._spread(0)

    def gradients(self) -> Spread:
        """Return the distribution of the gradients."""
        return self._spread(1)

    def _spread(self, index: int) -> Spread:
        count, total, squares, zeros, largest = self.sums[index]
        sample = torch.cat(self.held[index])
        if len(sample) > _SAMPLE:
            draw = torch.Generator().manual_seed(self.seed)
            sample = sample[torch.randperm(len(sample), generator=draw)[:_SAMPLE]]
        mean = total / count
        return Spread(
            count=int(count),
            mean=mean,
            std=math.sqrt(max(squares / count - mean * mean, 0.0)),
            zeros=zeros / count,
            largest=largest,
            sample=sample.sort().values,
        )


def _is_new(norm: nn.modules.batchnorm._BatchNorm) -> bool:
    """Tell whether a batch norm has kept no statistics yet; its counter is missing from many files."""
    if norm.running_mean is None or norm.running_var is None:
        return True
    return not bool(norm.running_mean.any()) and bool((norm.running_var == 1).all())


def _pairs(network: Network, batch: Tensor) -> list[tuple[str, str | None]]:
    """Return each layer with weights, and the batch norm that reads it and nothing else."""
    graph = network.graph(*batch.shape[2:])
    parts = dict(network.module.named_modules())
    followed: dict[int, Layer] = {}
    for layer in graph.layers:  # also one that only passes on what a batch norm within a larger module gives
        if layer.row is not None and _NORM.fullmatch(graph.rows[layer.row].kind):
            for source in graph.rows[layer.row].inputs[:1]:
                followed.setdefault(source, layer)
    found: list[tuple[str, str | None]] = []
    for layer in graph.layers:
        if isinstance(parts[layer.name], _WEIGHTED):
            norm = None if layer.row is None else followed.get(layer.row)
            found.append((layer.address, None if norm is None else norm.address))
    if not found:
        raise NetworkError(f"{network.name} has no layer with weights of its own that could be watched.")
    if len(found) > _MOST:  # evenly over the depth, first and last among them
        picked = [round(index * (len(found) - 1) / (_MOST - 1)) for index in range(_MOST)]
        found = [found[index] for index in picked]
    return found


def _followed(
    network: Network,
    images: Tensor,
    places: list[str],
    targets: Targets,
    of: str,
    norms: list[nn.modules.batchnorm._BatchNorm],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run forward and back once, and return the values at places with the gradients there."""
    graph = network.graph(*images.shape[2:])
    wanted: dict[str, dict[int, list[str]]] = {}
    for place in places:
        layer = graph.layer(place)
        wanted.setdefault(layer.name, {}).setdefault(layer.call, []).append(place)
    kept: dict[str, Tensor] = {}

    def keep(place: str, output: Tensor) -> Tensor:
        # the value itself lies on the way to the score; a copy goes on, which may be written into
        kept[place] = output.clone() if output.requires_grad else output.clone().requires_grad_()
        return kept[place].clone()

    with torch.enable_grad():
        tracking = [part.track_running_stats for part in norms]
        try:
            for part in norms:  # divides by what the batch gives, and does not take note of it
                part.training, part.track_running_stats = True, False
            with watching(network.module, wanted, keep):
                logits = network.logits(run(network.module, images.detach().clone().requires_grad_()))
        finally:
            for part, tracked in zip(norms, tracking, strict=True):
                part.training, part.track_running_stats = False, tracked
        if missing := [place for place in places if place not in kept]:
            raise NetworkError(
                f"layer {missing[0]!r} was not reached on these pictures: the network takes another way for them."
            )
        truth = targets.scores(logits)
        summed = truth.sum() if of == "score" else (logits.logsumexp(1) - truth).sum()
        if not summed.requires_grad:
            raise NetworkError(
                f"{network.name} gives its classes without a gradient: it cuts it on the way (detach, a forest of "
                "decisions), so there are no gradients to show."
            )
        slopes = torch.autograd.grad(summed, [kept[place] for place in places], allow_unused=True)
    found = {
        place: torch.zeros_like(kept[place]) if slope is None else slope
        for place, slope in zip(places, slopes, strict=True)
    }
    return {place: value.detach() for place, value in kept.items()}, found
