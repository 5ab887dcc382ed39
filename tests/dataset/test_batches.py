"""Reading ahead in threads: the same numbers in the same order, and nothing left behind."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest
import torch

from picture_files import REAL, chunk, png
from striate import dataset, progress
from striate.dataset.pictures import PictureSet
from striate.errors import ImageError, OptionError, Stopped
from striate.spec import InputSpec

SPEC = InputSpec(3, 8, 6, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def reading_threads() -> int:
    return sum(thread.name.startswith("striate-reading") for thread in threading.enumerate())


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert reading_threads() == 0


class Slow(PictureSet):
    """Pictures of their own number, that take a while and count how many are being made."""

    def __init__(self, count=40, seconds=0.002, broken=(), fails=()):
        super().__init__(None, description="slow pictures")
        self.count, self.seconds, self.bad, self.fails = count, seconds, set(broken), set(fails)
        self.made: list[int] = []

    def __len__(self):
        return self.count

    def name(self, index):
        return str(index)

    def mark(self, index):
        return ""

    def pixels(self, index):
        return np.full((*SPEC.size, 3), index, dtype=np.uint8)

    def fitted(self, index, spec):
        time.sleep(self.seconds * (1 + index * 7 % 3))  # they end in another order than they began
        self.made.append(index)
        if index in self.fails:
            raise ZeroDivisionError(f"a bug at {index}")
        if index in self.bad:
            raise ImageError(f"picture {index} is broken")
        return self.pixels(index)


@pytest.fixture(scope="module")
def read_one_by_one(sample_photographs, lite0):
    """Twenty photographs as paths, and as `Network.read` gives them."""
    paths = [path for path, _ in sample_photographs[::50]]
    return paths, lite0.read(paths)


@pytest.mark.parametrize("workers", [0, 1, 3, None])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_photographs_are_read_as_the_network_reads_them(read_one_by_one, lite0, workers, batch):
    paths, expected = read_one_by_one
    found = dataset.open(paths)
    batches = list(dataset.stream(found, lite0.spec, batch=batch, workers=workers))
    assert [len(one.indices) for one in batches[:-1]] == [batch] * (len(batches) - 1)
    assert np.concatenate([one.indices for one in batches]).tolist() == list(range(20))
    assert torch.equal(torch.cat([one.images for one in batches]), expected)
    assert batches[0].images.is_contiguous(memory_format=torch.channels_last)
    assert batches[0].images.dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_format_and_number_of_channels(tmp_path, channels):
    import striate

    for name, data in REAL.items():
        (tmp_path / f"{name}.png").write_bytes(data)  # the ending may be another
    network = striate.Network(torch.nn.Identity(), InputSpec(channels, 16, 24, mean=(0.2,), std=(0.7,), resize=20))
    found = dataset.open(tmp_path)
    (batch,) = dataset.stream(found, network.spec)
    assert torch.equal(batch.images, network.read([found.path(index) for index in range(len(found))]))


def test_arrays_of_many_bands(tmp_path):
    import striate

    values = np.random.default_rng(0).random((5, 9, 12, 7)).astype(np.float32)
    for index, one in enumerate(values):
        np.save(tmp_path / f"{index}.npy", one if index % 2 else np.rint(one * 255).astype(np.uint8))
    network = striate.Network(torch.nn.Identity(), InputSpec(7, 8, 6, mean=(0.2,), std=(0.7,)))
    (batch,) = dataset.stream(dataset.open(tmp_path), network.spec)
    assert torch.equal(batch.images, network.read(sorted(tmp_path.glob("*.npy"))))


@pytest.mark.parametrize("size", [(8, 6), (12, 12)], ids=["at once", "resized"])
def test_arrays_are_read_as_preprocess_does(size):
    values = np.random.default_rng(0).integers(0, 256, (50, 8, 6, 3), dtype=np.uint8)
    spec = InputSpec(3, *size, mean=SPEC.mean, std=SPEC.std)
    order = np.random.default_rng(1).permutation(50)
    got = torch.cat([one.images for one in dataset.stream(dataset.open(values), spec, order, batch=16)])
    assert torch.equal(got, torch.stack([spec.preprocess(values[index]) for index in order]))


def test_sixty_thousand_small_pictures_take_no_time():
    values = np.random.default_rng(0).integers(0, 256, (60_000, 32, 32, 3), dtype=np.uint8)
    spec = InputSpec(3, 32, 32, mean=SPEC.mean, std=SPEC.std)
    started = time.process_time()
    total = sum(len(one.images) for one in dataset.stream(dataset.open(values), spec, batch=500, workers=1))
    assert total == 60_000
    assert time.process_time() - started < 5


def test_order_is_kept_whatever_ends_first():
    order = [5, 3, 39, 3, 0, 17, 8]
    batches = list(dataset.stream(Slow(), SPEC, order, batch=3, workers=4))
    assert [one.indices.tolist() for one in batches] == [[5, 3, 39], [3, 0, 17], [8]]
    shown = SPEC.denormalise(torch.cat([one.images for one in batches]))[:, 0, 0, 0] * 255
    assert shown.round().int().tolist() == order


def test_no_more_is_decoded_than_may_be_held():
    slow = Slow(count=60, seconds=0)
    with contextlib.closing(dataset.stream(slow, SPEC, batch=5, workers=3, ahead=2)) as batches:
        for held in (15, 20):  # those that were given, and two batches ahead
            next(batches)
            wait_for(lambda held=held: len(slow.made) >= held)
            time.sleep(0.05)
            assert len(slow.made) == held


def test_decoding_goes_on_while_the_network_works():
    slow = Slow(count=12, seconds=0.01)
    with contextlib.closing(dataset.stream(slow, SPEC, batch=4, workers=2)) as batches:
        next(batches)
        wait_for(lambda: len(slow.made) == 12)  # the network at work
        assert len(list(batches)) == 2


def test_broken_pictures_are_set_aside_where_they_stand():
    batches = list(dataset.stream(Slow(count=10, broken=[1, 4, 5, 6, 7]), SPEC, batch=4, workers=3))
    assert [one.indices.tolist() for one in batches] == [[0, 2, 3], [], [8, 9]]  # who stands with whom stays
    assert [one.asked for one in batches] == [4, 4, 2]
    assert batches[1].images.shape == (0, 3, 8, 6)
    assert batches[0].broken == ((1, "picture 1 is broken"),)
    assert [index for index, _ in batches[1].broken] == [4, 5, 6, 7]
    shown = SPEC.denormalise(batches[0].images)[:, 0, 0, 0] * 255
    assert shown.round().int().tolist() == [0, 2, 3]


def test_a_folder_of_horrors_is_read_to_its_end(tmp_path):
    from PIL import Image

    whole = REAL["jpeg"]
    bomb = png(bytes.fromhex("000186a0 000186a0 08 02 00 00 00"), chunk(b"IDAT", b"x"))  # 100,000 x 100,000
    horrors = {
        "a good.jpg": whole,
        "b cut.jpg": whole[: len(whole) // 2],
        "c empty.jpg": b"",
        "d text.png": b"I am no picture at all",
        "e page.jpg": b"<!doctype html><html>404</html>",
        "f bomb.png": bomb,
        "g png.jpg": REAL["png"],  # a wrong ending does no harm
        "h noise.gif": b"GIF89a" + bytes(range(200)),
        "i good.png": REAL["png"],
    }
    for name, data in horrors.items():
        (tmp_path / name).write_bytes(data)
    Image.new("RGB", (1, 900_000)).save(tmp_path / "j thread.png")
    (tmp_path / "k folder.png").mkdir()
    (tmp_path / "l gone.png").symlink_to(tmp_path / "nowhere")
    found = dataset.open(tmp_path)
    spec = InputSpec(3, 32, 32, resize=32)
    (batch,) = dataset.stream(found, spec)
    names = [found.name(index) for index in batch.indices]
    assert names == ["a good.jpg", "g png.jpg", "i good.png"]
    reasons = {found.name(index): reason for index, reason in batch.broken}
    for name, words in {
        "b cut.jpg": "is cut off",
        "c empty.jpg": "is empty (0 bytes)",
        "d text.png": "is not a picture that can be read",
        "e page.jpg": "a web page",
        "f bomb.png": "is too large a picture: 10,000,000,000 pixels",
        "h noise.gif": "GIF",
        "j thread.png": "Crop it to a less extreme shape",
        "l gone.png": "does not exist",
    }.items():
        assert words in reasons[name]
        assert name in reasons[name]
        assert "\n" not in reasons[name]
    assert "k folder.png" not in reasons


def test_a_bug_is_no_broken_picture():
    batches = dataset.stream(Slow(count=30, fails=[9]), SPEC, batch=4, workers=3)
    assert len(next(batches).indices) == 4
    next(batches)
    with pytest.raises(ZeroDivisionError, match="a bug at 9"):
        next(batches)
    assert reading_threads() == 0  # at once, not only when the last who looks is gone
    assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_early_stops_the_work(workers):
    slow = Slow(count=400, seconds=0.001)
    for one in dataset.stream(slow, SPEC, batch=4, workers=workers):
        if 8 in one.indices:
            break
    del one
    assert reading_threads() == 0
    made = len(slow.made)
    assert made <= 5 * 4
    time.sleep(0.05)
    assert len(slow.made) == made


def test_leaving_early_stops_the_work_within_a_batch():
    slow = Slow(count=400, seconds=0.002)
    batches = dataset.stream(slow, SPEC, batch=100, workers=2)
    next(batches)
    batches.close()
    assert 100 <= len(slow.made) <= 130


def test_a_bug_stops_the_work_within_a_batch():
    slow = Slow(count=200, seconds=0.002, fails=[0])
    with pytest.raises(ZeroDivisionError, match="a bug at 0"):
        next(dataset.stream(slow, SPEC, batch=200, workers=2))
    assert len(slow.made) <= 30


def test_a_consumer_that_fails_leaves_no_thread():
    def consume():
        with contextlib.closing(dataset.stream(Slow(), SPEC, batch=4, workers=2)) as batches:
            for _ in batches:
                raise RuntimeError("the network failed")

    with pytest.raises(RuntimeError) as caught:
        consume()
    assert reading_threads() == 0  # though the traceback is still held
    assert caught.traceback


def test_it_stops_when_asked():
    with progress.stoppable() as stop:
        batches = dataset.stream(Slow(), SPEC, batch=4, workers=2)
        assert len(next(batches).indices) == 4
        stop.stop()
        with pytest.raises(Stopped):
            next(batches)
    assert reading_threads() == 0


def test_nothing_is_begun_before_the_first_is_asked_for():
    slow = Slow()
    dataset.stream(slow, SPEC, batch=4)
    assert slow.made == []
    assert reading_threads() == 0


@pytest.mark.parametrize("settings", [{"batch": 0}, {"workers": -1}, {"ahead": 0}])
def test_settings_that_make_no_sense_are_refused_at_once(settings):
    with pytest.raises(OptionError, match="batch and ahead are at least 1, workers at least 0"):
        dataset.stream(Slow(), SPEC, **settings)


def test_an_empty_choice_gives_nothing():
    assert list(dataset.stream(Slow(), SPEC, [])) == []


@pytest.mark.gpu
def test_a_gpu_rounds_as_the_processor_does(sample_photographs, lite0):
    found = dataset.open([path for path, _ in sample_photographs[:40]])
    here = torch.cat([one.images for one in dataset.stream(found, lite0.spec)])
    there = torch.cat([one.images.cpu() for one in dataset.stream(found, lite0.spec, device="cuda")])
    assert torch.equal(here, there)
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    spec = InputSpec(3, 16, 16, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    (sent,) = dataset.stream(dataset.open(every), spec, device="cuda")
    assert torch.equal(sent.images.cpu()[0], spec.preprocess(every[0]))
