"""The lens `invert`: what a layer holds of a picture, shown as the picture that can be made from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.progress import Event, finishing, report
from striate.results import Inversion, Recipe
from striate.synthesis.ascent import mean_colour
from striate.synthesis.depths import over_depth, pixels_a_unit
from striate.synthesis.descent import Descent, descend
from striate.synthesis.matching import Inverting, relative_error
from striate.synthesis.showing import opened, shown
from striate.tap import activations

__all__ = ["invert"]

_DEPTHS = 5  # layers unless they are named
# lambda_V, below so many pixels of the picture's side for one unit: the paper's 1, 10 and 100 over CaffeNet's depth
_VARIATION = ((12.0, 1.0), (24.0, 10.0), (float("inf"), 100.0))
_LEVELS = 255.0


@lens
def invert(
    network: Network,
    images: Images,
    *,
    layers: str | Sequence[str] | None = None,
    steps: int = 150,
    rate: float = 0.03,
    variation: float | None = None,
    restarts: int = 1,
    seed: int = 0,
    chunk: int | None = None,
) -> Inversion:
    """Make pictures again from what a layer holds of them.

    From noise, a picture is sought that the layer answers to as it does to the given one. What comes back is what
    the layer still tells, what does not is lost or was not found; the error says how far to believe it. The cost is
    the paper's: the layer's relative error, an alpha-norm that keeps pixels in range, and a total variation that
    weighs more the coarser the layer. The search is not: smoothed gradients and Adam take a few hundred steps, where
    the paper's momentum leaves deep layers unfinished.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        layers: one address or several; the last layer at each resolution, up to five, unless given.
        steps: of each layer.
        rate: what a pixel changes by in a step, about, at the beginning, on the scale from 0 to 1.
        variation: weight of the total variation, lambda_V; 1, 10 or 100 by the layer's coarseness unless given. 0
            leaves the alpha-norm away as well.
        restarts: how often each layer is tried, from other noise; the cheapest is kept.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        A picture for each layer and picture, with its relative error |Phi(x) - Phi0| / |Phi0|, and for scale that of
        noise and of the picture with its waves shifted at random.

    Raises:
        AddressError: no such layer.
        OptionError: an option that makes no sense.
        NetworkError: a layer answers nothing to a picture, or gives no finite number.

    Source: Mahendran and Vedaldi 2014, arXiv:1412.0035, section 3, with the weights of their code.
    """
    for name, value in (("steps", steps), ("restarts", restarts)):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, got {value}.")
    if variation is not None and not 0 <= variation < math.inf:
        raise OptionError(f"variation must be 0 or more, and finite, got {variation}.")
    batch = network.batch(images)
    graph = network.graph(*batch.shape[2:])
    if layers is None:
        chosen = over_depth(graph, _DEPTHS)
    else:
        chosen = [graph.layer(place) for place in ([layers] if isinstance(layers, str) else layers)]
    if not chosen:
        raise OptionError("no layer to invert: name one, or leave layers out for some at all depths.")
    with torch.inference_mode(False), torch.no_grad():
        pixels, cut = opened(network.spec, batch)
        centre = mean_colour(network)
        numbers = pixels[0].numel()
        sizes = (pixels - centre).square().flatten(1).sum(1).clamp(min=numbers / _LEVELS**2)
        weights: list[float] = []
        found: list[Descent] = []
        errors: list[list[Tensor]] = []
        notes = [*cut]
        for done, layer in enumerate(chosen):
            report(Event("invert", done, len(chosen), layer.address))
            wanted = _answers(network, pixels, layer.address)
            _check(wanted, layer.address)
            coarse = pixels_a_unit(graph, layer)
            weight = next(weight for below, weight in _VARIATION if coarse < below) if variation is None else variation
            cost = Inverting(layer.address, wanted, sizes, weight, centre)
            best: Descent | None = None
            for restart in range(restarts):
                noise = _noise(pixels, sizes, centre, seed + restart)
                one = descend(
                    network,
                    noise,
                    [layer.address],
                    cost,
                    steps=steps,
                    rate=rate,
                    chunk=chunk,
                    task=f"inverting {layer.address}",
                )
                best = one if best is None else best.better(one)
                if one.stopped:
                    break
            assert best is not None  # there is at least one try
            weights.append(weight)
            found.append(best)
            tried = (best.pictures, _noise(pixels, sizes, centre, seed), _scrambled(pixels, centre, seed))
            with finishing():
                errors.append([_error(_answers(network, pictures, layer.address), wanted) for pictures in tried])
            notes += [f"{layer.address}: {note}" for note in best.notes]
            if best.stopped:
                break
        report(Event("invert", len(chosen), len(chosen)))
        made = torch.stack([one.pictures for one in found])  # (L, N, C, H, W)
        if len(found) < len(chosen):
            notes.append(f"Stopped before {', '.join(layer.address for layer in chosen[len(found) :])}.")
        return Inversion(
            layers=tuple(layer.address for layer in chosen[: len(found)]),
            pictures=shown(pixels),
            made=made.cpu().contiguous(),
            shown=shown(made.flatten(0, 1)).reshape(len(found), *shown(pixels).shape),
            errors=torch.stack([of[0] for of in errors]),
            noise=torch.stack([of[1] for of in errors]),
            scrambled=torch.stack([of[2] for of in errors]),
            differences=(made - pixels).square().flatten(2).mean(2).sqrt().cpu() * _LEVELS,
            variation=tuple(weights),
            costs=torch.stack([_filled(one.curve, steps + 1) for one in found]),
            recipe=Recipe(notes=tuple(notes)),
        )


def _answers(network: Network, pixels: Tensor, place: str) -> Tensor:
    """Return what a layer gives for pictures from 0 to 1."""
    return activations(network, network.batch(network.spec.normalise(pixels)), [place]).outputs[place]


def _check(wanted: Tensor, place: str) -> None:
    """Refuse what cannot be divided by."""
    sizes = wanted.float().flatten(1).square().sum(1)
    for row, size in enumerate(sizes.tolist(), 1):
        if not 0 < size < float("inf"):
            what = "answers 0 everywhere" if size == 0 else "gives no finite number"
            raise NetworkError(
                f"layer {place!r} {what} to picture {row}: there is nothing to make it again from. "
                "Choose another layer, or check the weights of the network."
            )


def _error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return |Phi(x) - Phi0| / |Phi0| of each picture, (N,)."""
    return relative_error(found, wanted).sqrt().cpu()


def _noise(pixels: Tensor, sizes: Tensor, centre: Tensor, seed: int) -> Tensor:
    """Return white noise as strong as the pictures, the same for all, so that one comes out alike in any batch."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(pixels.shape[1:], generator=generator).to(pixels.device)
    return (centre + drawn * (sizes / drawn.numel()).sqrt().view(-1, 1, 1, 1)).clamp(0, 1)


def _scrambled(pixels: Tensor, centre: Tensor, seed: int) -> Tensor:
    """Return the pictures with each wave shifted by a random length, the same in all channels: colours stay."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.fft.rfft2(torch.randn(pixels.shape[2:], generator=generator).to(pixels.device))
    spectrum = torch.fft.rfft2(pixels - centre) * shifts / shifts.abs().clamp(min=1e-12)
    scrambled: Tensor = torch.fft.irfft2(spectrum, s=(pixels.shape[2], pixels.shape[3]))
    return (scrambled + centre).clamp(0, 1)


def _filled(curve: Tensor, length: int) -> Tensor:
    """Lengthen a curve (N, k) that ended early."""
    missing = curve.new_full((len(curve), length - curve.shape[1]), torch.nan)
    return torch.cat([curve, missing], 1)
