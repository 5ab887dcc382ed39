"""A network that can be looked at: a module, what it expects of a picture, and the names of its classes.

Holds and runs them; where networks come from is `sources`, what is inside is `trace` and `tap`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from striate import lean
from striate.address import class_name, find_class
from striate.errors import ImageError, NetworkError
from striate.files import write_bytes
from striate.graph import Graph
from striate.images import read_array, read_image
from striate.running import check_shaped, first_tensor, run, undisturbed
from striate.spec import InputSpec
from striate.state import Marks, weights_of
from striate.streaming import in_chunks
from striate.trace import trace
from striate.winograd.convolution import WORTH

__all__ = ["FORMAT", "Images", "Network"]

_FEW = 64  # pictures in a job below which it is not asked how much work they are
FORMAT = "striate-network-1"  # the mark in the metadata of a saved file
Images = Tensor | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Network:
    """Any PyTorch classifier together with what it takes to look inside it.

    The module is never changed: it is run in evaluation mode without weight gradients, and every flag
    is put back afterwards.

    Attributes:
        module: the network itself; its output is logits (N, K), or a tuple or dict that holds them first.
        spec: what it expects of a picture.
        class_names: names by index, or None.
        name: what to call it in captions.
        factory: how the module is made again ("timm:NAME", "package.module:function"), or None.
        notes: sentences on what was put right while loading; shown by every face.
        one_by_one: it takes no more than one picture at a time (a program exported so).
    """

    def __init__(
        self,
        module: nn.Module,
        spec: InputSpec | None = None,
        class_names: Sequence[str] | None = None,
        *,
        name: str | None = None,
        factory: str | None = None,
        notes: Sequence[str] = (),
        one_by_one: bool = False,
    ) -> None:
        """Wrap a module.

        Args:
            module: any network that takes a batch of pictures (N, C, H, W).
            spec: what it expects; the default is 3 x 224 x 224 in [0, 1] without normalisation.
            class_names: names by index, as many as there are logits.
            name: for captions; the class of the module unless given.
            factory: how the module is made again by `striate.load`.
            notes: what should be known about how it was loaded.
            one_by_one: it takes no more than one picture at a time.

        Raises:
            NetworkError: `module` is no module.
        """
        if not isinstance(module, nn.Module):
            raise NetworkError(f"a Network is made from a torch.nn.Module, got {type(module).__name__}.")
        # a compiled module hides the layers; the one inside has them
        self.module: nn.Module = getattr(module, "_orig_mod", module)
        self.spec = spec if spec is not None else InputSpec()
        self.class_names = None if class_names is None else tuple(str(label) for label in class_names)
        self.name = name or type(self.module).__name__
        self.factory = factory
        self.notes = tuple(notes)
        self.one_by_one = one_by_one
        self._graphs: dict[tuple[int, ...], Graph] = {}
        self._classes: tuple[tuple[str, ...] | None, dict[tuple[str, int], int]] = (None, {})
        self._hash: tuple[Marks, str] | None = None

    def __repr__(self) -> str:
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        size = f"{self.spec.channels} x {self.spec.height} x {self.spec.width}"
        return f"Network({self.name}, input {size}{classes})"

    # --- running

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        held = next(chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return next((weight.dtype for weight in self.module.parameters() if weight.is_floating_point()), torch.float32)

    def to(self, device: str | torch.device) -> Network:
        """Move the module to a device, in place, and return this network."""
        self.module.to(device)
        self._graphs.clear()
        return self

    def __call__(self, images: Images) -> Tensor:
        """Return the logits of a batch.

        Args:
            images: shape (N, C, H, W), normalised (see `read`), or paths of pictures.

        Returns:
            Shape (N, K), before softmax, without gradients.

        Raises:
            NetworkError: the network cannot be run on them, or gives no logits.
            ImageError: they have not the channels that the network takes.
        """
        batch = self.batch(images)
        pieces: list[Tensor] = []
        ready: Callable[[Tensor], dict[str, Tensor]] | None = None

        def run_piece(start: int, stop: int) -> None:
            piece = batch[start:stop]
            pieces.append(self.logits(run(self.module, piece) if ready is None else ready(piece)[""]))

        with undisturbed(self.module), torch.no_grad():
            if lean.pays(self.module, batch):
                sparing = self.spares(batch.shape[2:], len(batch))
                ready = lean.outputs(self.module, batch, (), logits=True, sparing=sparing)
            in_chunks(len(batch), run_piece, size=self.piece(), task="running")
        return torch.cat(pieces)

    def piece(self, chunk: int | None = None) -> int:
        """Return how many pictures to run at a time.

        On a processor a few for each thread: more are not faster, and take memory that is paid for anew each
        time unless `keep_memory` was called (32 at a time were up to 1.9 times slower with 2 threads). With a
        single thread PyTorch takes its slow way for 1 x 1 convolutions of fewer than 16 pictures.

        Args:
            chunk: what the user wants.
        """
        if self.one_by_one:
            return 1
        if chunk is not None:
            return chunk
        if self.device.type != "cpu":
            return 64
        threads = torch.get_num_threads()
        return 16 if threads == 1 else threads * 4

    def spares(self, size: Sequence[int], count: int) -> bool:
        """Tell whether a job is so large that convolutions with fewer multiplications are worth preparing.

        Args:
            size: height and width of the pictures.
            count: how many there are in the job.
        """
        if count < _FEW or self.device.type != "cpu":
            return False
        try:
            return count * self.graph(*size).macs >= WORTH
        except NetworkError:  # whatever cannot be looked at as a whole is not of a known size
            return False

    def logits(self, output: Any) -> Tensor:
        """Find the logits (N, K) in what the module returned; maps of logits are averaged.

        Raises:
            NetworkError: there is no tensor of that kind in it.
        """
        found = first_tensor(output)
        if found is not None and found.dim() == 4:
            found = found.mean((2, 3))
        if found is None or found.dim() != 2:
            shape = type(output).__name__ if found is None else " x ".join(map(str, found.shape))
            raise NetworkError(
                f"{self.name} returns {shape}, where a classifier gives one row of logits for each picture (N x K)."
            )
        return found

    def batch(self, images: Images) -> Tensor:
        """Return pictures as the network takes them: on its device, in its number type, channels last.

        Args:
            images: shape (N, C, H, W), normalised; or one path, or several.

        Raises:
            ImageError: wrong number of dimensions or channels, not finite, or a picture that cannot be read.
        """
        if not isinstance(images, Tensor):
            return self.batch(self.read(images))
        if images.dim() != 4:
            shape = " x ".join(map(str, images.shape))
            raise ImageError(
                f"pictures must come as a batch N x C x H x W, got {shape}. For one picture use image[None]."
            )
        if images.shape[1] != self.spec.channels:
            raise ImageError(f"{images.shape[1]} channels for {self.name}, which takes {self.spec.channels}.")
        if images.shape[0] == 0:
            raise ImageError("an empty batch: there is no picture in it.")
        if self.one_by_one and images.shape[0] > 1:
            raise ImageError(
                f"{images.shape[0]} pictures for {self.name}, which was exported for one at a time. Give one picture, "
                "or export it with a dynamic batch dimension (torch.export.Dim)."
            )
        images = images.detach().to(self.device, self.dtype)
        # one pass over the pictures; only a sum that overflows asks for a second one
        if not bool(torch.isfinite(images.sum())) and not bool(torch.isfinite(images).all()):
            raise ImageError("there are NaN or infinite values in the pictures.")
        return images.contiguous(memory_format=torch.channels_last)

    def read(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Tensor:
        """Read pictures from files as a normalised batch.

        Args:
            paths: one file or several; ``.npy`` arrays for pictures that have not 1, 3 or 4 channels.

        Returns:
            Shape (N, C, H, W), float32, on the CPU.

        Raises:
            ImageError: a file is no picture, or broken; the text names it.
        """
        files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not files:
            raise ImageError("no pictures were given.")
        return torch.stack([self._read(Path(file)) for file in files])

    def _read(self, path: Path) -> Tensor:
        if path.suffix.lower() == ".npy":
            return self.spec.preprocess(read_array(path, channels=self.spec.channels))
        if self.spec.channels not in (1, 3, 4):
            raise ImageError(
                f"{path}: {self.name} takes {self.spec.channels} channels, which picture files do not have. "
                "Give .npy arrays (H, W, C)."
            )
        picture = read_image(path, channels=self.spec.channels, short_side=self.spec.short_side)
        try:
            return self.spec.preprocess(picture)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error

    def prepare(self, pictures: Sequence[Image.Image | NDArray[Any]]) -> Tensor:
        """Turn pictures that are decoded already into a normalised batch.

        Args:
            pictures: Pillow images with as many bands as there are channels, or arrays (H, W, C), uint8 or float in
                [0, 1].

        Returns:
            Shape (N, C, H, W), float32, on the CPU.

        Raises:
            OptionError: the number of bands is not the number of channels.
        """
        return torch.stack([self.spec.preprocess(picture) for picture in pictures])

    def twin(self) -> Network:
        """Return a network with the same weights, in the same memory, in modules of its own.

        Two threads can look into a network and its twin at a time: hooks and locks belong to modules. What the weights
        are changed to is changed in both.
        """
        tensors = chain(self.module.parameters(), self.module.buffers())
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module, {id(held): held for held in tensors})
        return other

    # --- knowing

    def graph(self, height: int | None = None, width: int | None = None) -> Graph:
        """Return the network's layers, shapes, receptive fields and costs, traced once for each size.

        Args:
            height: of the picture in pixels, the specification's unless given.
            width: likewise.

        Raises:
            NetworkError: the network cannot be run on a picture of that size.
        """
        size = (self.spec.channels, height or self.spec.height, width or self.spec.width)
        if size not in self._graphs:
            generator = torch.Generator().manual_seed(0)  # values matter only to networks that branch on them
            image = torch.rand((1, *size), generator=generator, device="cpu")
            self._graphs[size] = trace(self.module, self.batch(self.spec.normalise(image)))
        return self._graphs[size]

    @property
    def weights_hash(self) -> str:
        """Sixteen hexadecimal digits of all weights and buffers (BLAKE2b), worked out again when they change.

        A change past autograd's counters (``weight.data``) is noticed by a sample, which has a number of every filter
        at least, and all of biases and batch norms: one that touches a part of a filter only can be missed.

        Raises:
            NetworkError: some of its weights have no shape yet (lazy modules that were never run).
        """
        check_shaped(self.module)
        weights = weights_of(self.module)
        if self._hash is None or self._hash[0] != weights:
            digest = hashlib.blake2b(digest_size=8)
            for key, value in self.module.state_dict().items():
                if isinstance(value, Tensor):
                    digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                    digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            self._hash = (weights, digest.hexdigest())
        return self._hash[1]

    def class_index(self, label: str | int, count: int) -> int:
        """Return the index of a class among `count`, by index or name.

        Raises:
            AddressError: no such class; the text proposes the nearest.
            NetworkError: there are not as many names as classes.
        """
        if self.class_names is not None and len(self.class_names) != count:
            raise NetworkError(
                f"{len(self.class_names)} class names for the {count} classes of {self.name}. "
                "Give one name for each, in order."
            )
        names, found = self._classes
        if names is not self.class_names:
            found = {}
            self._classes = (self.class_names, found)
        if (key := (str(label), count)) not in found:
            found[key] = find_class(str(label), self.class_names, count)
        return found[key]

    def class_name(self, index: int) -> str:
        """Return what to call a class (`address.class_name`), or its index where there are no names."""
        if self.class_names is None or not 0 <= index < len(self.class_names):
            return str(index)
        return class_name(self.class_names, index)

    # --- keeping

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write weights, specification, class names and the way to make the module into one file.

        Args:
            path: ends in ``.safetensors``; replaced whole or not at all.

        Returns:
            The path.

        Raises:
            NetworkError: wrong suffix, or it is not known how to make the module again.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise NetworkError(f"{path}: a network is saved as .safetensors, which holds no code.")
        write_bytes(path, self.to_bytes())
        return path

    def to_bytes(self, *, nameless: bool = False, more: Mapping[str, str] | None = None) -> bytes:
        """Return what `save` writes.

        Args:
            nameless: where it is not known how to make the module again, leave that out, instead of an error; `load`
                then asks for it.
            more: what else to write beside the weights, by name.

        Raises:
            NetworkError: it is not known how to make the module again.
        """
        factory = self.factory or self._made_as()
        if factory is None:
            try:
                factory = _factory_of(self.module)
            except NetworkError:
                if not nameless:
                    raise
        state: dict[str, Tensor] = {}
        shared: dict[str, str] = {}  # tied weights are stored once
        owner: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
        for key, value in self.module.state_dict().items():
            mark = (value.data_ptr(), value.shape, value.stride())
            if value.numel() and mark in owner:
                shared[key] = owner[mark]
                continue
            owner[mark] = key
            state[key] = value.detach().cpu().contiguous().clone()
        metadata = {
            **(more or {}),
            "format": FORMAT,
            **({} if factory is None else {"factory": factory}),
            "name": self.name,
            "spec": json.dumps(self.spec.to_dict()),
            "class_names": json.dumps(self.class_names),
            "shared": json.dumps(shared),
        }
        return safetensors_bytes(state, metadata)

    def _made_as(self) -> str | None:
        """Return how one of our own networks (`striate.nets`) is made again; it knows by itself."""
        made_as = getattr(self.module, "made_as", None)
        return made_as if isinstance(made_as, str) else None


def _factory_of(module: nn.Module) -> str:
    """Name the class of a module so that it can be made again."""
    kind = type(module)
    if kind.__module__ in ("__main__", "builtins") or "<" in kind.__qualname__:
        raise NetworkError(
            f"{kind.__qualname__} is defined where no other program can import it ({kind.__module__}). "
            "Move it to a file, or say how it is made: Network(..., factory='file.py:function')."
        )
    if kind.__module__.startswith(("torch.", "torchvision.", "timm.")):
        raise NetworkError(
            f"a {kind.__qualname__} cannot be made again from its class alone. Say how: "
            "Network(..., factory='file.py:function') with a function without arguments that returns it, "
            "or load it by name, as in striate.load('timm:resnet18')."
        )
    return f"{kind.__module__}:{kind.__qualname__}"
