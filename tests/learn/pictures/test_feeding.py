"""Batches: the same numbers from every storage, validation as the network reads later, order and shares by hand."""

from __future__ import annotations

import itertools
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate import dataset
from striate.dataset.preparing import normalised
from striate.errors import DataError, ImageError, OptionError
from striate.learn.pictures import feeding
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import feed
from striate.learn.pictures.storage import InMemory
from striate.spec import InputSpec

SPEC = InputSpec(3, 20, 24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), resize=26)
STORAGES = ("memory", "disk", "stream")
EVERYTHING = "digits,flip=both,brightness=0.3,cutout=0.4,mixup=0.3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes of 12 photographs in all, of several sizes, two of them broken."""
    where = tmp_path_factory.mktemp("flowers")
    rng = np.random.default_rng(0)
    for index in range(14):
        part = where / ("daisy" if index % 3 else "rose")
        part.mkdir(exist_ok=True)
        size = (40 + index, 30 + 2 * index)
        picture = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).resize((60, 50))
        picture.save(part / f"{index:02}.{'png' if index % 2 else 'jpg'}")
    (where / "daisy" / "04.jpg").write_bytes((where / "daisy" / "04.jpg").read_bytes()[:300])
    (where / "rose" / "09.png").write_bytes(b"no picture")
    return where


@pytest.fixture(scope="module")
def flowers(folder):
    return dataset.open(folder)


def fed(pictures, spec=SPEC, *, epochs=(1,), batch=5, training=True, augment="none", **settings):
    """Everything that comes in some epochs: lists of batches."""
    indices = settings.pop("indices", np.arange(len(pictures)))
    labels = settings.pop("labels", pictures.labels[indices])
    made = feed(
        pictures, indices, labels, spec, batch=batch, training=training, augment=Augment.parse(augment), **settings
    )
    with made:
        return [list(made.epoch(number)) for number in epochs], made


def alike(first, second) -> bool:
    """Whether two lists of epochs hold the same numbers, bit for bit."""
    pairs = list(zip(itertools.chain(*first), itertools.chain(*second), strict=True))
    return len(pairs) > 0 and all(
        torch.equal(getattr(one, name), getattr(two, name))
        for one, two in pairs
        for name in ("images", "labels", "indices", "second", "weight")
        if getattr(one, name) is not None or getattr(two, name) is not None
    )


@pytest.mark.parametrize("augment", ["none", "small,flip=alternating", EVERYTHING, "photos", "patch=20x24"])
def test_memory_disk_and_stream_give_the_same_numbers(flowers, augment):
    found = [fed(flowers, augment=augment, epochs=(1, 2), storage=storage) for storage in STORAGES]
    assert alike(found[0][0], found[1][0])
    assert alike(found[0][0], found[2][0])
    assert [made.storage.split()[0].rstrip(",") for _, made in found] == ["memory", "disk", "stream"]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_nothing(flowers, workers):
    expected, _ = fed(flowers, augment=EVERYTHING, storage="stream", workers=2)
    assert alike(expected, fed(flowers, augment=EVERYTHING, storage="stream", workers=workers)[0])


@pytest.mark.parametrize("storage", STORAGES)
def test_broken_files_are_set_aside_and_named(flowers, storage):
    epochs, made = fed(flowers, training=False, storage=storage, epochs=(1, 2))
    bad = {index for index in range(14) if flowers.name(index) in ("daisy/04.jpg", "rose/09.png")}
    assert set(made.broken) == bad
    assert "04.jpg is cut off" in made.broken[min(bad)]
    assert "not a picture that can be read" in made.broken[max(bad)]
    for epoch in epochs:
        pieces = [range(5), range(5, 10), range(10, 14)]
        assert [len(batch) for batch in epoch] == [len(set(piece) - bad) for piece in pieces]
        assert set(torch.cat([batch.indices for batch in epoch]).tolist()) == set(range(14)) - bad


def test_a_file_that_breaks_between_two_epochs_is_set_aside_then(folder, tmp_path):
    picture = Image.fromarray(np.full((30, 30, 3), 90, dtype=np.uint8))
    for index in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        picture.save(tmp_path / "a" / f"{index}.png")
    pictures = dataset.open(tmp_path)
    with feed(
        pictures, np.arange(4), np.zeros(4, dtype=np.int64), SPEC, batch=2, training=True, storage="stream"
    ) as made:
        assert sum(len(batch) for batch in made.epoch(1)) == 4
        assert made.broken == {}
        (tmp_path / "a" / "2.png").unlink()
        assert sum(len(batch) for batch in made.epoch(2)) == 3
        assert list(made.broken) == [2]
        assert "2.png does not exist" in made.broken[2]


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"None of 1 pictures can be read. The first: .*a.png"):
        fed(dataset.open(tmp_path), labels=np.zeros(1, dtype=np.int64))


class TestValidation:
    """What is validated is what is read later, bit for bit."""

    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("spec", [SPEC, InputSpec(3, 20, 24), InputSpec(1, 30, 18, mean=(0.5,), std=(0.2,))])
    def test_of_files(self, flowers, storage, spec):
        (epoch,), _ = fed(flowers, spec, training=False, augment=EVERYTHING, storage=storage)
        for batch in epoch:
            assert batch.second is None
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
            for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
                assert torch.equal(image, flowers.read(index, spec))
                assert flowers.label(index) == batch.labels[batch.indices == index].item()

    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("kind", ["uint8", "float", "of another size", "five channels"])
    def test_of_arrays(self, storage, kind):
        rng = np.random.default_rng(0)
        shape = (11, 9, 9, 3) if kind == "of another size" else (11, 20, 24, 5 if kind == "five channels" else 3)
        values = rng.integers(0, 256, shape, dtype=np.uint8)
        pictures = dataset.open(values / np.float32(255) if kind == "float" else values, labels=np.arange(11))
        spec = SPEC if kind != "five channels" else InputSpec(5, 20, 24, mean=(0.3,), std=(0.2,))
        (epoch,), _ = fed(pictures, spec, training=False, storage=storage)
        for batch in epoch:
            for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
                assert torch.equal(image, pictures.read(index, spec))

    @pytest.mark.parametrize("storage", STORAGES)
    def test_of_a_data_set_whose_pictures_are_normalised(self, storage):
        items = [(torch.randn(3, 20, 24, generator=torch.Generator().manual_seed(index)), index) for index in range(7)]
        pictures = dataset.open(items, prepared=True)
        (epoch,), _ = fed(pictures, training=False, storage=storage)
        assert torch.equal(torch.cat([batch.images for batch in epoch]), torch.stack([item[0] for item in items]))

    @pytest.mark.parametrize("storage", STORAGES)
    def test_of_pictures_of_both_kinds(self, storage):
        rng = np.random.default_rng(0)
        whole = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)  # fits: stays bytes
        items = [(whole, 0)] * 40 + [(np.repeat(whole, 2, axis=0), 1)] + [(whole, 0)] * 3  # is resized: numbers
        pictures = dataset.open(items)
        (epoch,), _ = fed(pictures, training=False, storage=storage, batch=6)
        images = torch.cat([batch.images for batch in epoch])
        for index in (0, 39, 40, 41):
            assert torch.equal(images[index], pictures.read(index, SPEC))

    def test_with_a_mean_and_std_of_each_pixel(self, flowers):
        from striate.learn import standardized

        good = np.array([index for index in range(14) if index not in (5, 13)])
        pixel = standardized(SPEC, flowers, good, "pixel")
        for augment in ("none", EVERYTHING):
            (epoch,), _ = fed(flowers, pixel, training=augment != "none", augment=augment, drop_last=False)
            for batch in epoch:
                assert batch.images.shape[1:] == (3, 20, 24)
                if augment == "none":
                    assert torch.equal(batch.images[0], flowers.read(int(batch.indices[0]), pixel))


@pytest.mark.parametrize(("training", "size"), [(True, 1), (False, 4)])
def test_bytes_that_are_resized_are_bytes_again_only_in_training(training, size):
    values = np.random.default_rng(0).integers(0, 256, (100, 9, 9, 3), dtype=np.uint8)
    pictures = dataset.open(values, labels=np.arange(100))
    (epoch,), made = fed(pictures, training=training)
    assert f"they take {100 * 20 * 24 * 3 * size / 1000:.0f} kB" in made.storage
    error = (epoch[0].images[0] - pictures.read(int(epoch[0].indices[0]), SPEC)).abs().max()
    assert float(error) <= (0.5 / 255 / min(SPEC.std) + 1e-5 if training else 0)


@pytest.mark.parametrize("first", [0, 1])
def test_pictures_of_both_kinds_become_one_kind_in_training(first):
    rng = np.random.default_rng(0)
    fits = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    other = np.repeat(fits, 2, axis=0)
    items = [(fits, 0), (other, 1)][:: 1 - 2 * first] * 20
    found = [
        fed(dataset.open(items), augment="crop=0.5,brightness=0.2", storage=storage, batch=8)[0] for storage in STORAGES
    ]
    assert alike(found[0], found[1])
    assert alike(found[0], found[2])
    plain, _ = fed(dataset.open(items), storage="stream", batch=40)
    for image, index in zip(plain[0][0].images, plain[0][0].indices.tolist(), strict=True):
        exact = dataset.open(items).read(index, SPEC)
        assert float((image - exact).abs().max()) <= 0.5 / 255 / min(SPEC.std) + 1e-5


class TestOrder:
    @pytest.fixture
    def numbers(self):
        """A hundred pictures whose every value is their index."""
        values = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
        return dataset.open(np.ascontiguousarray(values), labels=np.arange(100) % 7)

    SPEC = InputSpec(1, 4, 4)

    def order(self, epochs):
        return [torch.cat([batch.indices for batch in epoch]).tolist() for epoch in epochs]

    def test_every_picture_once_in_an_epoch_and_epochs_differ(self, numbers):
        epochs, made = fed(numbers, self.SPEC, batch=10, epochs=(1, 2))
        first, second = self.order(epochs)
        assert sorted(first) == sorted(second) == list(range(100))
        assert first != second
        assert made.batches == len(epochs[0]) == 10
        for batch in epochs[0]:
            assert torch.equal((batch.images[:, 0, 0, 0] * 255).round().long(), batch.indices)
            assert torch.equal(batch.labels, batch.indices % 7)

    def test_an_epoch_depends_on_its_number_not_on_what_came_before(self, numbers):
        augment = "pad=1,cutout=0.5,mixup=0.2"
        both, _ = fed(numbers, self.SPEC, augment=augment, epochs=(1, 2, 3), seed=4)
        alone, _ = fed(numbers, self.SPEC, augment=augment, epochs=(3,), seed=4)
        assert alike(both[2:], alone)
        assert not alike(both[2:], fed(numbers, self.SPEC, augment=augment, epochs=(3,), seed=5)[0])

    def test_the_last_batch_is_dropped_only_in_training(self, numbers):
        assert fed(numbers, self.SPEC, batch=30)[1].batches == 3
        (epoch,), made = fed(numbers, self.SPEC, batch=30, training=False)
        assert [len(batch) for batch in epoch] == [30, 30, 30, 10]
        assert made.batches == 4
        (epoch,), made = fed(numbers, self.SPEC, batch=300)
        assert [len(batch) for batch in epoch] == [100]
        assert made.batches == 1

    def test_validation_keeps_the_order_given(self, numbers):
        indices = np.array([5, 3, 99, 3])
        (epoch,), _ = fed(numbers, self.SPEC, batch=3, training=False, indices=indices)
        assert self.order([epoch]) == [[5, 3, 99, 3]]

    @pytest.mark.parametrize("ranks", [2, 3])
    @pytest.mark.parametrize("training", [True, False])
    def test_ranks_share_every_batch(self, numbers, ranks, training):
        (whole,), made = fed(numbers, self.SPEC, batch=16, training=training)
        shares = [
            fed(numbers, self.SPEC, batch=16, training=training, rank=rank, ranks=ranks)[0][0] for rank in range(ranks)
        ]
        assert {len(share) for share in shares} == {made.batches}
        for batch, *parts in zip(whole, *shares, strict=True):
            assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
            assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_augmentation_of_a_picture_does_not_depend_on_its_batch(self, numbers):
        (tens,), _ = fed(numbers, self.SPEC, batch=10, augment="cutout=0.5", epochs=(2,))
        (all_,), _ = fed(numbers, self.SPEC, batch=100, augment="cutout=0.5", epochs=(2,))
        assert torch.equal(torch.cat([batch.images for batch in tens]), all_[0].images)

    def test_the_user_s_random_numbers_stay(self, numbers):
        before, theirs = torch.random.get_rng_state(), np.random.get_state()[1].copy()
        fed(numbers, self.SPEC, augment=EVERYTHING)
        assert torch.equal(before, torch.random.get_rng_state())
        assert np.array_equal(theirs, np.random.get_state()[1])

    def test_mixup_tells_both_labels(self, numbers):
        (plain,), _ = fed(numbers, self.SPEC, batch=10)
        (epoch,), _ = fed(numbers, self.SPEC, batch=10, augment="mixup=1")
        for batch, before in zip(epoch, plain, strict=True):
            assert torch.equal(batch.second, batch.labels.roll(1))
            weight = batch.weight.view(-1, 1, 1, 1)
            expected = weight * before.images + (1 - weight) * before.images.roll(1, 0)
            assert torch.allclose(batch.images, expected, atol=1e-6)

    def test_what_is_covered_is_the_mean(self, numbers):
        spec = InputSpec(1, 4, 4, mean=(0.3,), std=(0.2,))
        (epoch,), _ = fed(numbers, spec, augment="cutout=0.5")
        assert {int((image == 0).sum()) for batch in epoch for image in batch.images} <= {1, 2, 4}


class Counting(dataset.PictureSet):
    """Counts how many of its pictures were asked for; fails for some."""

    def __init__(self, count):
        super().__init__(np.zeros(count, dtype=np.int64), description="counted pictures")
        self.count, self.asked, self.lock = count, 0, threading.Lock()

    def __len__(self):
        return self.count

    def name(self, index):
        return str(index)

    def mark(self, index):
        return "same"

    def pixels(self, index):
        return np.full((4, 4, 1), index % 256, dtype=np.uint8)

    def fitted(self, index, spec):
        with self.lock:
            self.asked += 1
        if index == 3:
            raise ImageError("picture 3 is broken")
        return self.pixels(index)


def test_streaming_is_never_far_ahead():
    pictures = Counting(400)
    spec = InputSpec(1, 4, 4)
    with feed(
        pictures, np.arange(400), pictures.labels, spec, batch=10, training=True, storage="stream", workers=2
    ) as made:
        before = pictures.asked
        for number, _ in enumerate(made.epoch(1), 1):
            assert pictures.asked - before <= 10 * (number + 2)
        assert pictures.asked - before == 400


@pytest.mark.parametrize("storage", STORAGES)
def test_a_rank_without_a_readable_picture_has_an_empty_batch(storage):
    pictures = Counting(8)  # the fourth is broken
    spec = InputSpec(1, 4, 4)
    shares = [
        fed(pictures, spec, batch=2, training=False, augment="none", storage=storage, rank=rank, ranks=2)[0][0]
        for rank in (0, 1)
    ]
    assert [list(map(len, share)) for share in shares] == [[1, 1, 1, 1], [1, 0, 1, 1]]
    assert shares[1][1].images.shape == (0, 1, 4, 4)


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_what_is_kept_is_decoded_once(storage):
    pictures = Counting(50)
    epochs, made = fed(pictures, InputSpec(1, 4, 4), epochs=(1, 2, 3), storage=storage, drop_last=False)
    assert pictures.asked <= 50 + 1  # one is looked at for its type
    assert made.broken == {3: "picture 3 is broken"}
    assert [sum(map(len, epoch)) for epoch in epochs] == [49, 49, 49]


@pytest.mark.parametrize("augment", ["none", EVERYTHING])
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_how_many_batches_are_prepared_in_one_go_changes_nothing(flowers, augment, batches, monkeypatch):
    expected, _ = fed(flowers, augment=augment, batch=2, storage="memory", epochs=(1, 2))
    begun = []
    begin = InMemory.begin
    monkeypatch.setattr(InMemory, "begin", lambda self, *given: begun.append(given) or begin(self, *given))
    monkeypatch.setattr(feeding, "_AT_ONCE", batches * 2 * 20 * 24 * 3)
    found, _ = fed(flowers, augment=augment, batch=2, storage="memory", epochs=(1, 2))
    assert len(begun) == 2 * -(-7 // batches)
    assert alike(expected, found)
    assert all(one.images.is_contiguous(memory_format=torch.channels_last) for one in itertools.chain(*found))


def test_batches_that_are_prepared_in_one_go_share_no_memory(flowers):
    first, second, *_ = fed(flowers, augment=EVERYTHING, batch=2, storage="memory")[0][0]
    for name in ("images", "labels", "indices", "second", "weight"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr()


@pytest.mark.parametrize("at_once", [1, 2**20])
def test_what_was_mixed_is_let_go_before_the_step(flowers, at_once, monkeypatch):
    seen = []
    right = feeding.mixed
    monkeypatch.setattr(
        feeding, "mixed", lambda images, weight: seen.append(weakref.ref(images)) or right(images, weight)
    )
    monkeypatch.setattr(feeding, "_AT_ONCE", at_once)
    with feed(
        flowers, np.arange(14), flowers.labels, SPEC, batch=7, training=True, augment=Augment.parse("mixup=0.3")
    ) as made:
        for _ in made.epoch(1):
            assert seen
            assert all(one() is None for one in seen)


def test_of_batches_that_are_prepared_in_one_go_one_without_a_readable_picture_is_left_out():
    (batches,), _ = fed(Counting(8), InputSpec(1, 4, 4), batch=1, training=False, storage="memory")
    assert [int(one.indices) for one in batches] == [0, 1, 2, 4, 5, 6, 7]
    assert [int(one.images[0, 0, 0, 0] * 255 + 0.5) for one in batches] == [0, 1, 2, 4, 5, 6, 7]


def test_normalising_refuses_other_channels_and_gaps():
    spec = InputSpec(3, 8, 8, mean=(0.1, 0.2, 0.3))
    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="6 channels for 3"):
        normalised(np.concatenate([pictures, pictures], axis=3), spec)
    with pytest.raises(ValueError, match="with gaps"):
        normalised(pictures, spec, np.zeros((2, 9, 8, 3), dtype=np.float32)[:, :8])


def test_a_data_set_that_augments_by_itself_is_read_in_every_epoch():
    class Random(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return np.random.default_rng().integers(0, 256, (20, 24, 3), dtype=np.uint8), 0

    assert fed(dataset.open(Random()))[1].storage.startswith("stream: the data set draws by lot itself")
    still = dataset.open([(np.zeros((20, 24, 3), dtype=np.uint8), 0)] * 12)
    assert fed(still)[1].storage.startswith("memory")


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"labels": np.zeros(3, dtype=np.int64)}, DataError, "14 pictures and 3 labels"),
        ({"indices": np.empty(0, dtype=np.int64)}, DataError, "No picture of 14 pictures"),
        ({"batch": 0}, OptionError, "batch 0, rank 0 of 1"),
        ({"batch": 2, "ranks": 3}, OptionError, "a batch holds at least one picture for each rank"),
        ({"storage": "ram"}, OptionError, "no storage 'ram'"),
        ({"augment": "patch=50"}, OptionError, "patch=50x50 is larger than the pictures"),
    ],
)
def test_what_makes_no_sense_is_said(flowers, settings, error, said):
    with pytest.raises(error, match=said):
        fed(flowers, **settings)


def test_prepared_pictures_have_no_brightness():
    pictures = dataset.open([(torch.randn(3, 20, 24), 0)] * 3, prepared=True)
    with pytest.raises(OptionError, match="brightness needs pictures with values from 0 to 1"):
        fed(pictures, augment="brightness=0.2")


@pytest.mark.gpu
@pytest.mark.parametrize("augment", ["none", "small,flip=alternating", EVERYTHING, "crop=0.4,rotation=5"])
def test_a_gpu_is_fed_what_the_processor_is(flowers, augment):
    here, _ = fed(flowers, augment=augment)
    for storage in STORAGES:
        there, made = fed(flowers, augment=augment, storage=storage, device="cuda")
        assert ("of cuda" in made.storage) == (storage == "memory")
        for one, two in zip(here[0], there[0], strict=True):
            assert two.images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(one.labels, two.labels.cpu())
            if augment in ("none", "small,flip=alternating"):
                assert torch.equal(one.images, two.images.cpu())
            assert torch.allclose(one.images, two.images.cpu(), atol=1e-3)
