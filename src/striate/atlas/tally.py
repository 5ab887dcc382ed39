"""What an atlas keeps of the units: gathered batch by batch, in memory that does not grow with the pictures.

Hooks hand over the outputs of layers; the units of all layers stand behind one another, so that everything that comes
after the maps is done for all layers at once. Runs no network and touches no disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.atlas import histogram
from striate.atlas.compiled import Compiled, Onward, compiled_for
from striate.atlas.ranking import Ranking
from striate.atlas.reducing import first_maximum, in_order, new_scratch, reduce_map
from striate.errors import NetworkError
from striate.graph import Layer

__all__ = ["Tally"]


@dataclass(frozen=True)
class _Part:
    """The units of one layer among all units."""

    layer: Layer
    units: slice
    size: tuple[int, int] | None  # of the map
    positions: int  # of the map; 1 for a vector


class Tally:
    """Statistics of the units of some layers, over the pictures since `begin`.

    The order of calls is: `begin`; for each batch `expect`, `see` for every layer, `settle` unless a picture is
    `unusable`; then `finish`.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        batch: int,
        top: int,
        device: torch.device,
        histograms: bool,
        classes: bool,
        pictures: int = 0,
    ) -> None:
        """Make room.

        Args:
            layers: in order; their units are numbered through.
            batch: pictures in a batch, at most.
            top: k, how many pictures are kept for each end of a unit.
            device: where the statistics live.
            histograms: count the values.
            classes: add the maps' means up by class.
            pictures: of the whole job, which tell whether `compiled` operations pay.
        """
        self._parts: dict[str, _Part] = {}
        start = 0
        for layer in layers:
            height, width = layer.map_size or (1, 1)
            units = slice(start, start + layer.channels)
            self._parts[layer.address] = _Part(layer, units, layer.map_size, height * width)
            start += layer.channels
        self.units = start
        self._device = device
        self._scratch = new_scratch()
        shape = (batch, start)
        self._values, self._sums, self._squares = (torch.zeros(shape, device=device) for _ in range(3))
        self._places = torch.full(shape, -1, dtype=torch.int32, device=device)
        self._wanted = torch.zeros(batch, dtype=torch.bool, device=device)
        sizes = torch.tensor([part.positions for part in self._parts.values()], dtype=torch.float64)
        channels = torch.tensor([part.layer.channels for part in self._parts.values()], dtype=torch.int64)
        self._positions = sizes.repeat_interleave(channels).to(device)
        # these two live on from share to share: what cannot enter them cannot enter the atlas
        self._top = Ranking(start, top, device)
        self._bottom = Ranking(start, top, device)
        numbers = pictures * sum(part.positions * part.layer.channels for part in self._parts.values())
        self._operations = compiled_for(numbers, device)
        self._compiled = self._compiled_from(0)
        self._pieces: dict[int, Compiled | None] = {0: self._compiled}  # by their first row
        self._counts = torch.zeros(start * histogram.BINS, dtype=torch.int32, device=device) if histograms else None
        self._offsets = torch.arange(start, device=device) * histogram.BINS
        self._by_class = classes
        self.begin(0)

    def _compiled_from(self, row: int) -> Compiled | None:
        """Return the compiled operations for the pictures of a batch from a row on; None where PyTorch is used."""
        if self._operations is None:
            return None
        numbers = (self._wanted, self._values, self._sums, self._squares, self._places)
        return Compiled(self._operations, self._top.least, self._bottom.least, *(one[row:] for one in numbers))

    def _operations_at(self, row: int) -> Compiled | None:
        if row not in self._pieces:
            self._pieces[row] = self._compiled_from(row)
        return self._pieces[row]

    @property
    def is_compiled(self) -> bool:
        """Tell whether compiled operations do the work, which depends on the whole job."""
        return self._compiled is not None

    @property
    def places(self) -> list[str]:
        """Addresses of the layers whose outputs are to be seen."""
        return list(self._parts)

    def begin(self, first: int) -> None:
        """Start a share from nothing.

        Args:
            first: the number of its first picture; what comes is never before it.
        """
        self._first = first
        self._total, self._total_squares = (
            torch.zeros(self.units, dtype=torch.float64, device=self._device) for _ in range(2)
        )
        self._fired = torch.zeros(self.units, dtype=torch.int64, device=self._device)
        self._largest = torch.full((self.units,), -torch.inf, device=self._device)
        self._smallest = torch.full((self.units,), torch.inf, device=self._device)
        if self._counts is not None:
            self._counts.zero_()
        self._classes: dict[int, int] = {}
        self._class_sums: list[Tensor] = []
        self._class_counts: list[int] = []
        self._sample: list[tuple[int, Tensor, Tensor]] = []

    # --- one batch

    def expect(self, wanted: Sequence[bool]) -> None:
        """Say in which pictures of the coming batch the positions of all units are wanted: those of the sample."""
        self._wanted.zero_()
        self._wanted[: len(wanted)] = torch.tensor(wanted, dtype=torch.bool, device=self._device)

    def see(self, place: str, output: Tensor, count: int, *, row: int = 0) -> None:
        """Take note of the output of a layer for the pictures of a batch, or for some of them.

        Args:
            place: address of the layer.
            output: what its module gave, before anything else could write into it; not kept.
            count: pictures that it is of.
            row: the first of them in the batch.

        Raises:
            NetworkError: the output is not what the layer gave when the network was traced.
        """
        part = self._parts[place]
        rows, units = slice(row, row + count), part.units
        arranged = self._arranged(part, output, count)
        if part.size is None:
            values = arranged.float()
            self._values[rows, units] = values
            self._sums[rows, units] = values
            self._squares[rows, units] = values * values
            return
        compiled = self._operations_at(row)
        if compiled is not None:
            compiled.reduce(arranged, units.start)
            return
        maps = in_order(arranged)
        columns, sums, squares = reduce_map(maps, self._scratch)
        values = columns.amax(1)
        self._values[rows, units] = values
        self._sums[rows, units] = sums
        self._squares[rows, units] = squares
        entering = values > self._top.least[units]
        entering |= values < -self._bottom.least[units]
        entering |= self._wanted[rows, None]
        if maps.device.type == "cpu":
            pictures, channels = entering.nonzero(as_tuple=True)
            if len(pictures):
                found = first_maximum(maps, columns, pictures, channels)
                self._places[row + pictures, channels + units.start] = found
        else:  # to count those that enter would wait for the device at every layer
            everything = torch.ones_like(entering).nonzero(as_tuple=True)
            self._places[rows, units] = first_maximum(maps, columns, *everything).view(count, -1)

    def see_and_pass_on(
        self, place: str, output: Tensor, count: int, onward: Onward, added: Tensor | None, *, row: int = 0
    ) -> None:
        """Do `see`, and write over the output what the network goes on with; only where `is_compiled`.

        Args:
            place: address of the layer.
            output: what its module gave, (N, C, H, W) float32, channels last in memory; changed.
            count: pictures that it is of.
            onward: what is done with it.
            added: what it adds.
            row: the first of the pictures in the batch.

        Raises:
            NetworkError: the output is not what the layer gave when the network was traced.
        """
        part = self._parts[place]
        arranged = self._arranged(part, output, count)
        as_it_is = arranged.shape == output.shape and arranged.stride() == output.stride()
        compiled = self._operations_at(row)
        if compiled is not None and part.size is not None and as_it_is:
            compiled.reduce_and_pass_on(output, part.units.start, onward, added)
            return
        self.see(place, output, count, row=row)
        onward(output, added)

    def _arranged(self, part: _Part, output: Tensor, count: int) -> Tensor:
        """Return an output as (N, C, H, W) or (N, C), if it is what the layer gave when the network was traced."""
        layer, size = part.layer, part.size
        arranged = layer.arranged(output, count)
        if arranged.shape[1] != layer.channels or (size is not None and tuple(arranged.shape[2:]) != size):
            raise NetworkError(
                f"layer {layer.address!r} gives {' x '.join(map(str, arranged.shape[1:]))} for these pictures and "
                f"{' x '.join(map(str, layer.shape[1:]))} for others: an atlas needs maps of one size."
            )
        return arranged

    def means(self, place: str, count: int) -> Tensor:
        """Return the mean of each map that was seen last of a layer, (count, C), float32."""
        part = self._parts[place]
        return self._sums[:count, part.units] / part.positions

    def unusable(self, count: int) -> dict[int, str]:
        """Return the pictures of a batch that cannot be settled: their rows, and which layer is the reason.

        Args:
            count: pictures in the batch that are no filling.
        """
        squares = self._squares[:count]
        # a square that is finite has a finite root; one pass finds NaN and infinity alike
        if bool(torch.isfinite(squares.sum(dtype=torch.float64))):
            return {}
        found: dict[int, str] = {}
        for row, unit in (~torch.isfinite(squares)).nonzero().tolist():
            if row not in found:
                found[row] = next(
                    name for name, part in self._parts.items() if part.units.start <= unit < part.units.stop
                )
        return found

    def settle(self, pictures: NDArray[np.int64], labels: NDArray[np.int64] | None) -> None:
        """Take what was seen of a batch into the statistics.

        Args:
            pictures: their numbers, ascending, (n,); what was seen beyond the n-th was there to fill the batch up.
            labels: (n,), -1 where unknown; None where there are none.

        """
        count = len(pictures)
        values, sums, squares = self._values[:count], self._sums[:count], self._squares[:count]
        values += 0.0  # makes 0 of -0, which ranks lower by its bits
        numbers = torch.from_numpy(pictures).to(self._device)
        if self._compiled is not None:
            self._compiled.enter(self._top, False, pictures)
            self._compiled.enter(self._bottom, True, pictures)
        else:
            self._top.enter(values, numbers, self._places[:count])
            self._bottom.enter(-values + 0.0, numbers, self._places[:count])
        wide = sums.double()
        self._total += wide.sum(0)
        self._total_squares += squares.double().sum(0)
        self._fired += (values > 0).sum(0)
        self._largest = torch.maximum(self._largest, values.amax(0))
        self._smallest = torch.minimum(self._smallest, values.amin(0))
        if self._counts is not None:
            bins = histogram.bin_of(values).add_(self._offsets).flatten()
            self._counts.scatter_add_(0, bins, torch.ones_like(bins, dtype=torch.int32))
        for row in self._wanted[:count].nonzero().flatten().tolist():
            # copies: the next batch goes into the same memory
            self._sample.append((int(pictures[row]), values[row].clone().cpu(), self._places[row].clone().cpu()))
        if self._by_class and labels is not None:
            self._add_classes(wide / self._positions, labels)

    def _add_classes(self, means: Tensor, labels: NDArray[np.int64]) -> None:
        for row, label in enumerate(labels.tolist()):
            if label < 0:
                continue
            if label not in self._classes:
                self._classes[label] = len(self._class_sums)
                self._class_sums.append(torch.zeros(self.units, dtype=torch.float64, device=self._device))
                self._class_counts.append(0)
            self._class_sums[self._classes[label]] += means[row]
            self._class_counts[self._classes[label]] += 1

    # --- one share

    def finish(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the statistics of the pictures since `begin`.

        Returns:
            By name: `top_*` and `bottom_*` hold only those pictures of the share that can still enter the atlas;
            `histogram_*` are the bins that are not empty; sample and classes have a row for each.
        """
        found: dict[str, NDArray[np.generic]] = {
            "sums": self._total.cpu().numpy(),
            "squares": self._total_squares.cpu().numpy(),
            "fired": self._fired.cpu().numpy(),
            "largest": self._largest.cpu().numpy(),
            "smallest": self._smallest.cpu().numpy(),
        }
        for name, ranking in (("top", self._top), ("bottom", self._bottom)):
            keys, places = ranking.since(self._first)
            found |= {f"{name}_keys": keys, f"{name}_places": places}
        if self._counts is not None:
            bins = self._counts.nonzero().flatten()
            found["histogram_bins"] = bins.cpu().numpy()
            found["histogram_counts"] = self._counts[bins].cpu().numpy()
        found["sample_pictures"] = np.array([number for number, _, _ in self._sample], np.int64)
        rows = [values.numpy() for _, values, _ in self._sample]
        found["sample_values"] = np.stack(rows) if rows else np.zeros((0, self.units), np.float32)
        rows = [places.numpy() for _, _, places in self._sample]
        found["sample_places"] = np.stack(rows) if rows else np.zeros((0, self.units), np.int32)
        if self._by_class:
            order = sorted(self._classes)
            found["classes"] = np.array(order, np.int64)
            kept = [self._class_sums[self._classes[label]].cpu().numpy() for label in order]
            found["class_sums"] = np.stack(kept) if kept else np.zeros((0, self.units))
            found["class_counts"] = np.array([self._class_counts[self._classes[label]] for label in order], np.int64)
        return found
