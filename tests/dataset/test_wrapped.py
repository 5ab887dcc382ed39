"""PyTorch data sets of every form that people write."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from striate import dataset
from striate.errors import DataError, ImageError
from striate.spec import InputSpec

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
SPEC = InputSpec(3, 8, 8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


class Items(Dataset):
    """A data set that gives what a function makes of an image and its number."""

    def __init__(self, make, count=6):
        self.make = make
        self.count = count
        self.asked = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked += 1
        return self.make(IMAGES[index], index)


@pytest.mark.parametrize(
    ("make", "as_file"),
    [
        (lambda image, _: Image.fromarray(image), True),
        (lambda image, index: (Image.fromarray(image), index % 3), True),
        (lambda image, index: {"image": Image.fromarray(image), "label": index % 3}, True),
        (lambda image, index: (torch.from_numpy(image).permute(2, 0, 1), torch.tensor(index % 3)), False),
        (lambda image, index: [torch.from_numpy(image).permute(2, 0, 1).float() / 255, index % 3, "more"], False),
        (lambda image, index: (image, np.int64(index % 3)), False),
        (lambda image, _: image.transpose(2, 0, 1), False),
    ],
    ids=["picture", "tuple", "dict", "bytes C x H x W", "floats", "array", "array C x H x W"],
)
def test_every_form_of_an_item(make, as_file):
    items = Items(make)
    found = dataset.open(items)
    assert items.asked == 0
    for index in range(6):
        truth = SPEC.preprocess(Image.fromarray(IMAGES[index]) if as_file else IMAGES[index])
        assert torch.equal(found.read(index, SPEC), truth)
        assert found.pixels(index).shape == (20, 24, 3)
    item = make(IMAGES[0], 0)
    labels = [index % 3 for index in range(6)] if isinstance(item, tuple | list | dict) else [-1] * 6
    assert found.labels.tolist() == labels


def test_labels_that_stand_beside_cost_no_pictures():
    items = Items(lambda image, index: (image, index))
    items.targets = [5, 4, 3, 2, 1, 0]
    items.classes = list("abcdef")
    for one, labels in ((items, [5, 4, 3, 2, 1, 0]), (Subset(items, [4, 0]), [1, 5])):
        assert dataset.open(one).labels.tolist() == labels
    assert dataset.open(items).class_names == tuple("abcdef")
    assert dataset.open(items, labels=[0] * 6).labels.tolist() == [0] * 6
    tensors = TensorDataset(torch.from_numpy(IMAGES).permute(0, 3, 1, 2), torch.arange(6))
    assert dataset.open(tensors).labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert items.asked == 0


def test_a_grey_or_odd_picture_is_brought_to_the_network(tmp_path):
    palette = Image.fromarray(IMAGES[0]).convert("P")
    found = dataset.open(Items(lambda image, _: palette, 1))
    assert torch.equal(found.read(0, SPEC), SPEC.preprocess(palette.convert("RGB")))
    grey = dataset.open(Items(lambda image, _: Image.fromarray(image).convert("L"), 1))
    assert torch.equal(grey.read(0, SPEC), SPEC.preprocess(Image.fromarray(IMAGES[0]).convert("L").convert("RGB")))


def test_a_prepared_data_set_is_taken_as_it_is():
    ready = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = dataset.open(TensorDataset(ready, torch.arange(6)), prepared=True)
    assert torch.equal(found.read(2, SPEC), ready[2])
    got = torch.cat([batch.images for batch in dataset.stream(found, SPEC, batch=4)])
    assert torch.equal(got, ready)
    with pytest.raises(ImageError, match=r"Picture 0 is 8 x 8 x 3 of float32, where a prepared one is .* 3 x 9 x 9"):
        found.read(0, InputSpec(3, 9, 9))
    with pytest.raises(ImageError, match=r"Picture 0 holds numbers from -\d.* not from 0 to 1.*prepared=True"):
        dataset.open(TensorDataset(ready)).read(0, SPEC)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda image, index: 1 // 0, r"Picture 0: the data set failed \(ZeroDivisionError: .*\)"),
        (lambda image, index: {"pixels": image}, "there is no picture in what the data set gives"),
        (lambda image, index: image.astype(int), "Picture 0 is 20 x 24 x 3 of int64; a tensor"),
        (lambda image, index: 7, "Picture 0 is a single number of int64|Picture 0 is"),
    ],
)
def test_items_that_are_no_pictures(make, message):
    found = dataset.open(Items(make))
    with pytest.raises(ImageError, match=message):
        found.read(0, SPEC)
    assert found.mark(0) == "broken"
    batch = next(dataset.stream(found, SPEC, workers=0))
    assert len(batch.broken) == 6
    assert batch.images.shape == (0, 3, 8, 8)


def test_identity_is_of_the_content():
    one = dataset.open(Items(lambda image, index: (image, 0)))
    assert one.identity == dataset.open(Items(lambda image, index: (image, 0))).identity
    assert one.identity != dataset.open(Items(lambda image, index: (255 - image, 0))).identity
    assert one.origin is None


def test_what_cannot_be_asked_by_number():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(DataError, match="Endless has no length"):
        dataset.open(Endless())
    with pytest.raises(DataError, match=r"Give its data set: loader\.dataset"):
        dataset.open(DataLoader(Items(lambda image, index: image)))
    with pytest.raises(DataError, match="Items is empty"):
        dataset.open(Items(None, 0))
    for wrong in (3, {"a": 1}, None):
        with pytest.raises(DataError, match=f"{type(wrong).__name__} has no length"):
            dataset.open(wrong)
    with pytest.raises(IndexError, match="there is no picture 6"):
        dataset.open(Items(lambda image, index: image)).pixels(6)


def test_items_are_asked_for_one_at_a_time():
    inside = []

    def make(image, index):
        inside.append(index)
        time.sleep(0.002)
        assert inside.pop() == index  # nobody else came in
        assert not inside
        return image

    batches = dataset.stream(dataset.open(Items(make)), SPEC, batch=6, workers=4)
    assert sum(len(one.indices) for one in batches) == 6
