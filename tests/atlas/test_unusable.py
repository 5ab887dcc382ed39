"""What cannot be used is left out and said, and what is not an atlas's own is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import striate
from atlas.networks import SIZE, awkward, pixels
from atlas.small import contents, network, picture, pictures
from striate import atlas, dataset, progress
from striate.errors import AtlasError, DataError, NetworkError, OptionError, OutputError

BLACK = (3, 17, 18, 150)


class Standardised(nn.Module):
    """Divides by the deviation of the picture, which is 0 for one that is black all over."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Conv2d(1, 4, 3)
        self.last = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first((images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True))
        return self.last(maps.relu().mean((2, 3)) * self.scale)


def standardised(scale: float = 1.0) -> striate.Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return striate.Network(Standardised(scale), striate.InputSpec(1, *SIZE, mean=(0.5,), std=(0.5,)), name="std")


def some(count: int = 200) -> np.ndarray:
    found = np.random.default_rng(0).integers(0, 256, (count, *SIZE, 1), dtype=np.uint8)
    found[[index for index in BLACK if index < count]] = 0
    return found


# --- numbers that are not finite


def test_pictures_that_make_nan_are_set_aside_as_if_they_were_broken(tmp_path: Path) -> None:
    made = atlas.build(standardised(), some(), tmp_path / "atlas", features=["first"], workers=0)
    assert [name for name, _ in made.broken] == [str(index) for index in BLACK]
    assert made.broken[0][1] == "3: layer 'first' gives NaN, infinite or immense values (above 1e19) for it."
    without = atlas.build(
        standardised(), np.delete(some(), BLACK, 0), tmp_path / "without", features=["first"], workers=0
    )
    assert len(made) == len(without) == 196
    for name in ("sums", "top_values", "bottom_values", "histogram", "features-0", "predictions", "probabilities"):
        np.testing.assert_array_equal(made.arrays[name], without.arrays[name])
    # and they are not tried again
    again = atlas.build(standardised(), some(), tmp_path / "atlas", workers=0)
    assert again.manifest["data"] == "data-0001"


def test_a_layer_that_is_not_looked_at_may_give_them_too(tmp_path: Path) -> None:
    class Log(Standardised):
        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.first(images).mean((2, 3))) + torch.log(images.mean((1, 2, 3)) + 1)[:, None]

    log = striate.Network(Log(), striate.InputSpec(1, *SIZE, mean=(0.5,), std=(0.5,)))
    made = atlas.build(log, some(20), tmp_path / "atlas", features=[], workers=0)
    assert made.broken == tuple(
        (str(one), f"{one}: the network gives NaN or infinite logits for it.") for one in (3, 17, 18)
    )
    assert np.isfinite(made.probabilities).all()


def test_classes_that_are_ruled_out_are_no_reason(tmp_path: Path) -> None:
    class Masked(Standardised):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + torch.tensor([0.0, -torch.inf, 0.0])

    masked = striate.Network(Masked(), striate.InputSpec(1, *SIZE, mean=(0.5,), std=(0.5,)))
    assert len(atlas.build(masked, some(40)[20:], tmp_path / "atlas", workers=0)) == 20


def test_features_beyond_float16_are_said_and_float32_holds_them(tmp_path: Path) -> None:
    large = awkward()
    with torch.no_grad():
        large.module.get_parameter("hidden.bias")[0] = 1e5
    with pytest.raises(
        NetworkError, match=r"not finite as float16. float16 ends at 65,504; float32 \(dtype=, --dtype\)"
    ):
        atlas.build(large, pixels(4), tmp_path / "atlas", features=["hidden"], workers=0)
    # nothing is lost with what is begun anew, since no share was finished
    made = atlas.build(large, pixels(4), tmp_path / "atlas", features=["hidden"], workers=0, dtype="float32")
    assert float(made.features("hidden").max()) > 9e4


def test_new_layers_cannot_leave_out_what_is_in_the_atlas(tmp_path: Path) -> None:
    class Sides(Standardised):
        def forward(self, images: Tensor) -> Tensor:
            self.last(super().forward(images).abs() @ torch.ones(3, 4))  # a side branch with NaN
            return self.last(self.first(images).mean((2, 3)))

    sides = striate.Network(Sides(), striate.InputSpec(1, *SIZE, mean=(0.5,), std=(0.5,)))
    atlas.build(sides, some(20), tmp_path / "atlas", layers=["first~2"], features=[], workers=0)
    with pytest.raises(NetworkError, match=r"3: layer 'first~1' gives NaN, .* The picture is in the atlas. Leave the"):
        atlas.build(sides, some(20), tmp_path / "atlas", layers=["first~1"], workers=0)


def test_prepared_pictures_with_nan_are_set_aside(tmp_path: Path) -> None:
    images = torch.randn(6, 1, *SIZE)
    images[2, 0, 0, 0] = torch.nan
    source = dataset.open(torch.utils.data.TensorDataset(images), prepared=True)
    made = atlas.build(standardised(), source, tmp_path / "atlas", workers=0)
    assert made.broken == (("2", "Picture 2 holds NaN or infinite numbers."),)


# --- pictures that change


def test_pictures_that_are_others_each_time_are_refused(tmp_path: Path) -> None:
    class Cropped:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Tensor:
            return torch.rand(1, *SIZE)

    with pytest.raises(DataError, match=r"others each time they are read, .* Leave random crops"):
        atlas.build(standardised(), Cropped(), tmp_path / "atlas", workers=0)
    assert not (tmp_path / "atlas").exists()


def test_a_broken_picture_that_was_mended_is_tried_again(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 6)
    (folder / "ant" / "zz.png").write_bytes(b"nothing")
    (folder / "bee" / "zz.png").write_bytes(b"nothing")
    assert len(atlas.build(network(), folder, tmp_path / "atlas", workers=0)) == 6
    picture(folder / "ant" / "zz.png", 77)
    made = atlas.build(network(), folder, tmp_path / "atlas", workers=0)
    assert len(made) == 7
    assert made.pictures.name(6) == "ant/zz.png"
    assert [name for name, _ in made.broken] == ["bee/zz.png"]
    assert made.manifest["broken"] == 1
    (folder / "bee" / "zz.png").write_bytes(b"nothing at all")
    again = atlas.build(network(), folder, tmp_path / "atlas", workers=0)
    assert len(again) == 7
    assert len(again.broken) == 1


def test_items_that_fail_are_set_aside_where_only_items_know_their_labels(tmp_path: Path) -> None:
    class Failing:
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            if index in (0, 5):
                raise OSError("no such disk")
            return torch.full((3, 16, 20), index / 8), index % 3

    made = atlas.build(network(), Failing(), tmp_path / "atlas", workers=0)
    assert [name for name, _ in made.broken] == ["0", "5"]
    assert made.labels.tolist() == [1, 2, 0, 1, 0, 1]


# --- what is not the atlas's own


@pytest.mark.parametrize("inside", ["work/thesis.txt", "data-0001/a.txt", "notes.txt"])
def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path, inside: str) -> None:
    mine = tmp_path / "out" / inside
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(OutputError, match=f"is no atlas, and not empty .*{inside.split('/')[0]}"):
        atlas.build(network(), pictures(tmp_path / "pictures", 3), tmp_path / "out", workers=0)
    assert mine.read_text() == "years of work"


def test_a_folder_that_a_build_was_killed_in_at_its_very_beginning_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "work").mkdir(parents=True)
    (out / "lock").touch()
    (out / "work" / ".plan.json.1234.part").touch()
    assert len(atlas.build(network(), pictures(tmp_path / "pictures", 3), out, workers=0)) == 3


def test_other_options_may_follow_a_build_that_finished_no_share(tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        broken.module.get_parameter("0.bias")[0] = torch.nan
    folder = pictures(tmp_path / "pictures", 3)
    with pytest.raises(NetworkError, match="look for NaN among the weights"):
        atlas.build(broken, folder, tmp_path / "atlas", batch=4, workers=0)
    assert len(atlas.build(network(), folder, tmp_path / "atlas", batch=2, workers=0)) == 3


# --- atlases that are not whole, and pictures that are elsewhere


def _cut(file: Path) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))


def _without_sources(file: Path) -> None:
    said = json.loads(file.read_text())
    del said["sources"]
    file.write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("name", "damage", "text"),
    [
        ("pictures.jsonl", _cut, "its list has 2 of 4 pictures"),
        ("manifest.json", _without_sources, "it does not say sources"),
        ("labels.npy", lambda file: file.write_bytes(b"\x93NUMPY\1\0\x10\0{'descr': (((((("), "is broken"),
    ],
)
def test_what_is_missing_in_an_atlas_is_said(
    tmp_path: Path, name: str, damage: Callable[[Path], object], text: str
) -> None:
    atlas.build(network(), pictures(tmp_path / "pictures", 4), tmp_path / "atlas", workers=0)
    damage(next((tmp_path / "atlas").rglob(name)))
    with pytest.raises(AtlasError, match=text):
        atlas.open(tmp_path / "atlas")


def test_an_archive_that_was_moved_or_lost_its_end(tmp_path: Path) -> None:
    net, file = network(), tmp_path / "all.npz"
    values = np.random.default_rng(0).integers(0, 256, (6, 16, 20, 3), dtype=np.uint8)
    np.savez(file, images=values)
    made = atlas.build(net, file, tmp_path / "atlas", workers=0)
    right = made.pictures.read(5, net)
    os.rename(file, tmp_path / "moved.npz")
    with pytest.raises(striate.errors.ImageError, match=r"all\.npz does not exist.* say where they are"):
        atlas.open(tmp_path / "atlas").pictures.read(5, net)
    moved = atlas.open(tmp_path / "atlas", source=tmp_path / "moved.npz")
    torch.testing.assert_close(moved.pictures.read(5, net), right, rtol=0, atol=0)
    np.savez(file, images=values[:3])
    with pytest.raises(striate.errors.ImageError, match="picture 5 of the atlas is no longer there: 3 pictures in"):
        atlas.open(tmp_path / "atlas").pictures.read(5, net)


def test_killed_and_resumed_with_nan_gives_the_same(tmp_path: Path) -> None:
    source = dataset.open(some(300))
    whole = atlas.build(standardised(), source, tmp_path / "whole", workers=0)

    class EndedError(Exception):
        pass

    calls = iter(range(1000))

    def watch(event: progress.Event) -> None:
        if event.task == "atlas" and next(calls) == 9:  # in the second share
            raise EndedError

    with pytest.raises(EndedError), progress.listen(watch):
        atlas.build(standardised(), source, tmp_path / "parted", workers=0)
    assert (tmp_path / "parted" / "work" / "share-00000.npz").exists()
    atlas.build(standardised(), source, tmp_path / "parted", workers=0)
    assert contents(tmp_path / "parted") == contents(tmp_path / "whole")
    assert len(whole) == 300 - len(BLACK)


def test_options_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="batch must be at least 1"):
        atlas.build(network(), tmp_path, tmp_path / "atlas", batch=0)
