"""The scores of a picture with a patch laid over it, for many patches. Knows no lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import OptionError, StriateError
from striate.files import one_line
from striate.folding import folded
from striate.fusing import fused
from striate.network import Network
from striate.perturbation.filling import can_fill
from striate.perturbation.grouping import alike
from striate.perturbation.incremental import Unfollowable, Watch, respond_to_patches, respond_to_values
from striate.perturbation.parts import Around, gathered
from striate.perturbation.precision import Precision, arithmetic, tolerance
from striate.perturbation.readout import Readout, Scored, apart
from striate.perturbation.regions import Axis, Region, Starts
from striate.perturbation.stacking import stacked
from striate.products import with_products
from striate.program import Program, Unwritten
from striate.recording import record
from striate.running import undisturbed
from striate.streaming import in_chunks
from striate.tap import respond
from striate.targets import Targets

__all__ = ["Patches", "Trial", "patch_scores"]

_VECTORS = 2**25  # numbers that may wait for the last layers, which read many weights and are best run for many at once


@dataclass(frozen=True)
class Patches:
    """Parts of one picture that are replaced, one at a time.

    Attributes:
        boxes: (M, 4), int64: top, left, bottom, right of each in pixels; the last two are exclusive.
        fill: (C, H, W), normalised: the picture that shows through a patch.
        masks: (M, h, w), bool: which pixels of a box are replaced, from its top left corner; all for None.
    """

    boxes: Tensor
    fill: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def region(self, chosen: Starts) -> Region:
        """Return windows of one size around some of the patches.

        Args:
            chosen: (m,), their indices.
        """
        top, left, bottom, right = self.boxes[torch.from_numpy(chosen)].cpu().numpy().T
        height, width = self.fill.shape[-2:]
        return Region(Axis.of(top, bottom - 1, height), Axis.of(left, right - 1, width))

    def pictures(self, image: Tensor) -> Tensor:
        """Return copies of a picture (1, C, H, W), a whole box replaced on each: (M, C, H, W)."""
        found = image.repeat(len(self), 1, 1, 1)
        for picture, (top, left, bottom, right) in zip(found, self.boxes.tolist(), strict=True):
            picture[:, top:bottom, left:right] = self.fill[:, top:bottom, left:right].to(picture)
        return found

    def windows(self, image: Around, fill: Around, chosen: Starts, region: Region) -> Tensor:
        """Return the picture within windows, with the patches laid over it: (m, C, h, w).

        Args:
            image: the unchanged picture.
            fill: what shows through.
            chosen: (m,), indices of patches.
            region: m windows around them.
        """
        rows, columns = region.rows, region.columns
        begin, size = region.place
        shown = gathered(fill, *begin, *size)
        top, left, bottom, right = self.boxes[torch.from_numpy(chosen)].cpu().unbind(1)
        down = torch.from_numpy(rows.starts)[:, None] + torch.arange(rows.size)
        across = torch.from_numpy(columns.starts)[:, None] + torch.arange(columns.size)
        inside = ((down >= top[:, None]) & (down < bottom[:, None]))[:, :, None] & (
            (across >= left[:, None]) & (across < right[:, None])
        )[:, None]
        if self.masks is not None:
            masks = self.masks[torch.from_numpy(chosen)].cpu()
            y = (down - top[:, None]).clamp(0, masks.shape[1] - 1)
            x = (across - left[:, None]).clamp(0, masks.shape[2] - 1)
            inside &= masks[torch.arange(len(chosen))[:, None, None], y[:, :, None], x[:, None]]
        if not bool(inside.all()):
            shown = torch.where(inside[..., None].to(shown.device), shown, gathered(image, *begin, *size))
        return shown.permute(0, 3, 1, 2)


def patch_scores(
    network: Network,
    image: Tensor,
    patches: Patches,
    targets: Targets,
    *,
    incremental: bool = True,
    precision: Precision = "float32",
    chunk: int | None = None,
    task: str = "occlusion",
) -> Scored:
    """Return the scores of one picture under each patch.

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised.
        patches: M of them.
        targets: T settled targets of this picture, all at one place.
        incremental: work out only what a patch changes; the answers are the same but for rounding.
        precision: of the arithmetic.
        chunk: patches in one pass; chosen by the device unless given.
        task: what to call it where progress is shown.

    Raises:
        OptionError: `chunk` is below 1.
        NetworkError: the network fails on the picture.
    """
    if chunk is not None and chunk < 1:
        raise OptionError(f"chunk must be at least 1, got {chunk}.")
    trial = Trial(network, image.contiguous(memory_format=torch.channels_last), patches, targets)
    details: dict[str, Any] = {"incremental": False, "precision": precision}
    with undisturbed(network.module), torch.no_grad():
        clean = exact = None
        probe = np.unique(np.linspace(0, len(patches) - 1, 3).astype(int))
        if precision != "float32":
            clean, exact = trial.clean(), trial.plainly(probe)
        with arithmetic(image, precision):
            if incremental and not network.one_by_one:
                details["why"] = trial.follow_from(probe, tolerance(network, precision))
                details["incremental"] = not details["why"]
            if exact is not None:
                found = trial.follow(probe) if details["incremental"] else trial.plainly(probe)
                details["rounding"] = float((found - exact).abs().max())

            if clean is None:
                clean = trial.clean()
            values = torch.empty(len(patches), len(clean))
            if details["incremental"]:
                trial.follow_all(chunk or _windows_at_once(network), values, task)
            else:

                def run_piece(start: int, stop: int) -> None:
                    values[start:stop] = trial.plainly(np.arange(start, stop))

                in_chunks(len(patches), run_piece, size=network.piece(chunk), task=task)
    if details["incremental"]:
        del details["why"]
        details |= {"on_windows": trial.watch.followed, "on_maps": trial.watch.whole}
        details["opened"] = dict(trial.watch.opened)
    return Scored(values, clean, details)


def _windows_at_once(network: Network) -> int:
    """Return how many windows to work on at a time: they are small, and take the place of a few pictures."""
    return 32 if network.device.type == "cpu" else 256


class Trial:
    """One picture and its patches, and two ways to the scores: plainly, and by what changes.

    Both are run inside `running.undisturbed` and without gradients.
    """

    def __init__(self, network: Network, image: Tensor, patches: Patches, targets: Targets) -> None:
        self.network, self.image, self.patches, self.targets = network, image, patches, targets
        self.readout = Readout.of(targets)
        unpadded = (0, 0, 0, 0)
        fill = patches.fill[None].to(image)
        self.sources = (Around.of(image, (-2, -1), unpadded, 0.0), Around.of(fill, (-2, -1), unpadded, 0.0))
        self.watch, self.around = Watch(), dict[Any, Around]()
        self.program: Program | None = None
        self.compiled = False  # windows are put together in machine code, which takes a second to load
        self.end = self.waist = 0  # numbers of the value that is asked for, and of the vector that leads to it

    def pictures(self, chosen: Starts) -> Tensor:
        """Return whole pictures (m, C, H, W), a patch on each."""
        return self.patches.windows(*self.sources, chosen, self.patches.region(chosen).all())

    def plainly(self, chosen: Starts) -> Tensor:
        """Return scores (m, T) by running the network on whole pictures."""
        return self.readout.read(respond(self.network, self.pictures(chosen), self.targets.place))

    def clean(self) -> Tensor:
        """Return the scores (T,) of the unchanged picture, which `follow_from` has run already."""
        if self.program is None:
            return self.readout.read(respond(self.network, self.image, self.targets.place))[0]
        return self._scored(self.program.values[self.end])[0]

    def follow_from(self, probe: Starts, at_most: float) -> str:
        """Write down the network's program, and try it on a few patches; return what stands against using it.

        Args:
            probe: indices of the patches.
            at_most: difference from plain scores that counts as rounding.
        """
        places = [] if self.targets.place is None else [self.targets.place]
        try:
            program = record(self.network.module, self.image, self.pictures(probe[:1]), places)
            self.end = program.places[places[0]] if places else program.output
            ends = [program.output, *program.places.values()]
            sparing = self.network.spares(self.image.shape[2:], len(self.patches))
            self.program = with_products(fused(folded(program, ends), ends, sparing=sparing))
            self.compiled = sparing and can_fill(self.image)
            if self.compiled:
                self.program = stacked(self.program, ends)
            waist = self.program.waist(0, self.end)
            self.waist = self.end if waist is None else waist
            found = self.follow(probe)
        except (Unwritten, Unfollowable) as error:
            return str(error)
        except torch.OutOfMemoryError:
            self.around.clear()
            return "there is no memory for all that the network makes of the unchanged picture"
        except StriateError:
            raise
        except Exception as error:  # whatever a stranger's network raises on windows: whole pictures remain
            return f"it fails on windows ({one_line(error)})"
        expected = self.plainly(probe)
        self.watch = Watch()
        wrong = apart(found, expected)
        return f"windows alone give other scores (by {wrong:.1e} of the largest)" if wrong > at_most else ""

    def follow_all(self, at_most: int, values: Tensor, task: str) -> None:
        """Write the scores of all patches into `values` (M, T), so many patches at a time."""
        assert self.program is not None
        groups = alike(self.program, self.waist, self.patches.boxes, at_most)
        waiting: list[tuple[Starts, Tensor]] = []

        def finish() -> None:
            chosen = np.concatenate([group for group, _ in waiting])
            values[torch.from_numpy(chosen)] = self._read(torch.cat([output for _, output in waiting]))
            waiting.clear()

        def run_group(start: int, stop: int) -> None:
            for group in groups[start:stop]:
                waiting.append((group, self._changed(group)))
            held = sum(output.numel() for _, output in waiting)
            if not self.ends_in_vectors or held > _VECTORS or stop == len(groups):
                finish()

        in_chunks(len(groups), run_group, size=1, task=task)

    def logits(self, patches: Patches) -> Tensor:
        """Return the logits (M, K) of the picture under other patches, by following the windows.

        Only after `follow_from` had nothing against it, and where the targets are classes.
        """
        assert self.program is not None
        assert self.targets.place is None
        fill = patches.fill[None].to(self.image)
        source = Around.of(fill, (-2, -1), (0, 0, 0, 0), 0.0)
        region = patches.region(np.arange(len(patches)))
        windows = patches.windows(self.sources[0], source, np.arange(len(patches)), region)
        found = respond_to_patches(
            self.program, self.waist, windows, region, self.watch, self.around, compiled=self.compiled
        )
        return self.network.logits(respond_to_values(self.program, self.waist, self.end, found))

    def follow(self, chosen: Starts) -> Tensor:
        """Return scores (m, T) by following the windows."""
        return self._read(self._changed(chosen))

    @property
    def ends_in_vectors(self) -> bool:
        """Whether what is left to do for each picture begins with a vector."""
        return self.waist != self.end

    def _read(self, output: Tensor) -> Tensor:
        """Return scores (m, T), from the waist of the network on."""
        assert self.program is not None
        return self._scored(respond_to_values(self.program, self.waist, self.end, output))

    def _scored(self, output: Tensor) -> Tensor:
        """Return scores (m, T) from what the network, or the layer, gives."""
        if self.targets.place is None:
            return self.readout.read(self.network.logits(output))
        layer = self.network.graph(*self.image.shape[2:]).layer(self.targets.place)
        return self.readout.read(layer.arranged(output, len(output)))

    def _changed(self, chosen: Starts) -> Tensor:
        """Return the values at the waist for some patches, halving them when memory runs out."""
        assert self.program is not None
        region = self.patches.region(chosen)
        windows = self.patches.windows(*self.sources, chosen, region)
        try:
            return respond_to_patches(
                self.program, self.waist, windows, region, self.watch, self.around, compiled=self.compiled
            )
        except torch.OutOfMemoryError:
            if len(chosen) == 1:
                raise
        return torch.cat([self._changed(half) for half in np.array_split(chosen, 2)])
