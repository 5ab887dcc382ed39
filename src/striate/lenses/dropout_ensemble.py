"""The lens `dropout_ensemble`: the mean over dropout masks against the one network with scaled weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.progress import track
from striate.results import DropoutEnsemble, Recipe
from striate.running import run, undisturbed

__all__ = ["dropout_ensemble"]

_TOGETHER = 16  # masks drawn at once for a picture: fixed, so that the numbers do not depend on the machine
# layers that have another way in training than to draw: they stay as they are in use
_STEADY = (nn.modules.batchnorm._NormBase,)


@lens
def dropout_ensemble(network: Network, images: Images, *, masks: int = 64, seed: int = 0) -> DropoutEnsemble:
    """Compare the mean over many dropout masks with the network as it is used, in which nothing is dropped.

    In training, dropout sets each unit to 0 with a probability and enlarges the others, so that the expected value
    stays; each mask is a network of its own. In use nothing is dropped, and that one network stands for the mean of
    all of them: exactly where what follows is linear, nearly elsewhere. The more masks are averaged, the nearer the
    mean comes, as 1 over the root of their number, until what is left is the difference itself.

    All layers but normalisations are put in training mode for this, so that dropout as a function and stochastic depth
    count as well. Afterwards the network is as it was.

    Args:
        network: with dropout.
        images: (N, C, H, W), normalised, or paths.
        masks: how many are drawn for each picture, at least 2.
        seed: of the masks; those of a picture depend on its place, and not on how many pictures there are.

    Returns:
        For each picture the logits with each mask, and of the network as it is used.

    Raises:
        NetworkError: nothing in the network is drawn by lot.
        OptionError: fewer than 2 masks.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", sections 1
        and 7.5; Baldi and Sadowski 2013, "Understanding dropout".
    """
    if masks < 2:
        raise OptionError(f"masks must be at least 2, got {masks}.")
    batch = network.batch(images)
    scaled = network(batch)
    pictures = enumerate(track(list(batch), "dropout masks"))
    drawn = torch.stack([_drawn(network, image, masks, seed, place) for place, image in pictures])
    if not bool((drawn != drawn[:, :1]).any()):
        held = [
            name for name, part in network.module.named_modules() if isinstance(part, nn.modules.dropout._DropoutNd)
        ]
        why = f"its dropout ({held[0]}, ...) drops nothing: its share is 0" if held else "it has no dropout"
        raise NetworkError(f"every mask gives the same answer in {network.name}: {why}.")
    kinds = [part for part in network.module.modules() if isinstance(part, nn.modules.dropout._DropoutNd) and part.p]
    shares = tuple(dict.fromkeys(float(part.p) for part in kinds))
    return DropoutEnsemble(
        scaled=scaled.float().cpu(),
        drawn=drawn.float().cpu(),
        classes=tuple(network.class_name(index) for index in range(scaled.shape[1])),
        layers=len(kinds),
        shares=shares,
        pictures=network.spec.pixels(batch),
        seed=seed,
        recipe=Recipe(
            notes=() if kinds else ("What is drawn is no dropout layer, but a function or stochastic depth.",)
        ),
    )


def _drawn(network: Network, image: Tensor, masks: int, seed: int, place: int) -> Tensor:
    """Return the logits of one picture under each mask, (M, K)."""
    together = 1 if network.one_by_one else _TOGETHER
    pieces: list[Tensor] = []
    cuda = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        for start in range(0, masks, together):
            # a generator for each picture and each few masks: more of either change nothing that was drawn
            _seed(network.device, ((seed * 1_000_003 + place) * 1_000_003 + start) % 2**63)
            with undisturbed(network.module), torch.no_grad():
                switched = [part for part in network.module.modules() if not isinstance(part, _STEADY)]
                try:
                    for part in switched:
                        part.training = True
                    logits = network.logits(run(network.module, image.expand(together, -1, -1, -1)))
                finally:
                    for part in switched:
                        part.training = False
            pieces.append(logits)
    found = torch.cat(pieces)[:masks]
    if not math.isfinite(float(found.sum())):
        raise NetworkError(f"{network.name} gives values that are not finite with dropout.")
    return found


def _seed(device: torch.device, value: int) -> None:
    """Seed the generators that dropout draws from, and no other."""
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(value)
