"""The network of one layer: the whole against numpy, resumed bit by bit, refused where it must be, looked at."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import striate
from striate import dataset, kernels, lenses, progress
from striate.errors import DataError, Stopped, TrainingError

SETTINGS = {"count": 12, "size": 4, "patches": 2000, "strength": 10.0, "seed": 3}


@pytest.fixture(scope="module")
def stripes():
    """Noisy stripes, lying and upright, 600 pictures of 11 x 12: kernels that see directions tell them apart."""
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 2
    waves = np.sin(np.arange(12)[None] * 1.5 + generator.uniform(0, 6.3, (600, 1)))  # of any phase
    lying = np.broadcast_to(waves[:, :11, None], (600, 11, 12))
    upright = np.broadcast_to(waves[:, None], (600, 11, 12))
    values = np.where(labels[:, None, None] == 0, lying, upright) * 40 + 128 + generator.normal(0, 25, (600, 11, 12))
    return values.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def made(stripes):
    return kernels.single_layer(dataset.open(stripes[0], labels=stripes[1]), **SETTINGS)


def test_it_learns_what_pixels_do_not_tell(made, stripes):
    from sklearn.svm import LinearSVC

    pictures, labels = stripes
    fresh = dataset.open(pictures[::-1].copy(), labels=labels[::-1].copy())
    flat = pictures.reshape(600, -1) / 255
    plain = LinearSVC(C=0.1).fit(flat[:400], labels[:400]).score(flat[400:], labels[400:])
    part = kernels.single_layer(fresh, indices=np.arange(400), **SETTINGS)
    logits = part.network(torch.stack([fresh.read(index, part.network.spec) for index in range(400, 600)]))
    right = (logits.argmax(1).numpy() == fresh.labels[400:]).mean()
    assert right > 0.95 > 0.7 > plain
    assert made.right > 0.95


def test_logits_are_those_of_the_steps_one_after_the_other(made, stripes):
    learned, picture = made.kernels, stripes[0][0].astype(np.float64)
    codes = np.zeros((12, 8, 9))
    for row in range(8):
        for column in range(9):
            flat = picture[row : row + 4, column : column + 4].ravel()
            normal = (flat - flat.mean()) / np.sqrt(flat.var(ddof=1) + 10)
            white = learned.whitening.astype(np.float64) @ (normal - learned.mean.ravel())
            far = np.linalg.norm(white - learned.centroids.reshape(12, -1), axis=1)
            codes[:, row, column] = np.maximum(0, far.mean() - far)
    quarters = [
        codes[:, rows, columns].sum((1, 2)) for rows in (slice(4), slice(4, 8)) for columns in (slice(5), slice(5, 9))
    ]
    features = np.stack(quarters, axis=1).ravel()
    last = made.network.module.dense1
    expected = last.weight.double().numpy() @ features + last.bias.double().numpy()
    image = dataset.open(stripes[0]).read(0, made.network.spec)
    np.testing.assert_allclose(made.network(image[None])[0].numpy(), expected, atol=1e-2)


def test_saved_loaded_and_looked_at(made, stripes, tmp_path):
    again = striate.load(made.network.save(tmp_path / "layer.safetensors"))
    images = torch.stack([dataset.open(stripes[0]).read(index, again.spec) for index in range(3)])
    assert torch.equal(again(images), made.network(images))
    assert again.weights_hash == made.network.weights_hash
    assert lenses.filters(again).layer == "triangle1"
    assert bool(lenses.grad_cam(again, images, layer="triangle1").scores.isfinite().all())
    assert lenses.activations(again, images, layers="triangle1").caption()


def test_interrupted_and_resumed_it_is_the_same(made, stripes, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.kernels.learned.coding.BATCH", 100)
    monkeypatch.setattr("striate.kernels.learned.keeping.STEP", 100)
    pictures, out = dataset.open(stripes[0], labels=stripes[1]), tmp_path / "out"
    for task, after in (("k-means", 2), ("codes", 300), ("linear classifier", 2)):
        with progress.stoppable() as stop, progress.listen(_stopping(stop, task, after)), pytest.raises(Stopped):
            kernels.single_layer(pictures, out=out, **SETTINGS)
        assert not (out / "network.safetensors").exists()
    assert json.loads((out / "work" / "state.json").read_text())["done"] == 600
    heard = []
    with progress.listen(heard.append):
        first = kernels.single_layer(pictures, out=out, **SETTINGS)
    assert "k-means" not in {event.task for event in heard}  # what is over is not done again
    assert first.network.weights_hash == made.network.weights_hash
    assert sorted(file.name for file in out.iterdir()) == ["kernels.npz", "network.safetensors", "single-layer.json"]
    heard = []
    with progress.listen(heard.append):
        second = kernels.single_layer(pictures, out=out, **SETTINGS)
    assert not heard  # nothing was done again
    assert second.network.weights_hash == made.network.weights_hash == striate.load(out).weights_hash
    assert second.right == made.right
    with pytest.raises(TrainingError, match=r"was begun with count 12, not 13\. Ask for the same, or choose another"):
        kernels.single_layer(pictures, out=out, **{**SETTINGS, "count": 13})
    other = dataset.open(stripes[0], labels=1 - stripes[1])
    with pytest.raises(TrainingError, match="was begun with pictures "):
        kernels.single_layer(other, out=out, **SETTINGS)


def _stopping(stop, task, after):
    def listener(event):
        if event.task == task and event.done >= after:
            stop.stop()

    return listener


def test_a_folder_of_something_else_is_left_alone(stripes, tmp_path):
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(TrainingError, match=r"holds something else than a single layer \(holiday.txt\)"):
        kernels.single_layer(dataset.open(stripes[0], labels=stripes[1]), out=tmp_path, **SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.txt"]


def test_broken_and_unlabelled_pictures(stripes, tmp_path):
    from PIL import Image

    for index in range(40):
        folder = tmp_path / ("lying", "upright")[stripes[1][index]]
        folder.mkdir(exist_ok=True)
        Image.fromarray(stripes[0][index]).save(folder / f"{index:02}.png")
    (tmp_path / "lying" / "04.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    found = kernels.single_layer(tmp_path, **SETTINGS)
    assert found.network.class_names == ("lying", "upright")
    assert "1 of 40 pictures could not be read (first: lying/04.png)." in found.notes
    assert bool(found.network.module.dense1.weight.isfinite().all())
    labels = stripes[1][:60].copy()
    labels[30:] = -1  # they teach kernels, not classes
    assert kernels.single_layer(dataset.open(stripes[0][:60], labels=labels), **SETTINGS).right == 1


def test_without_labels_or_with_one_class(stripes):
    with pytest.raises(DataError, match="no labels are known of 600 pictures in an array, and a classifier"):
        kernels.single_layer(stripes[0], **SETTINGS)
    heard = []
    with progress.listen(heard.append), pytest.raises(DataError, match="all 600 with a label are of one class"):
        kernels.single_layer(dataset.open(stripes[0], labels=np.zeros(600, int)), **SETTINGS)
    assert not heard  # said before anything is learned


def test_two_pictures_are_enough_where_the_strength_is_given(stripes):
    pair = dataset.open(stripes[0][:2], labels=stripes[1][:2])
    assert kernels.single_layer(pair, **SETTINGS).right == 1
    with pytest.raises(DataError, match=r"2 pictures of as many classes: none can be held back .* \(strength=100\)"):
        kernels.single_layer(pair, **{**SETTINGS, "strength": None})
    few = dataset.open(stripes[0][:3], labels=stripes[1][:3])
    assert kernels.single_layer(few, **{**SETTINGS, "strength": None}).right == 1
