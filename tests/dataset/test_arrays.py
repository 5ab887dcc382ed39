"""Pictures in arrays and NumPy files: layouts, parts, mapping, and what is refused."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from hostile import Evil
from striate import dataset
from striate.errors import DataError, ImageError
from striate.spec import InputSpec

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])
ADVICE = "Scale them (0 is black, 1 is white), or save them as uint8."
SPEC = InputSpec(3, 6, 5, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["mapped", "unpacked"])
@pytest.mark.parametrize(
    ("pictures", "labels"), [("images", "labels"), ("x", "y"), ("data", "target"), ("x_train", "y_train")]
)
def test_an_archive_gives_back_what_went_in(tmp_path, save, pictures, labels):
    save(tmp_path / "set.npz", **{pictures: IMAGES, labels: LABELS[:, None], "class_names": ["a", "b", "c"]})
    found = dataset.open(tmp_path / "set.npz")
    assert isinstance(found.pieces[0], np.memmap) == (save is np.savez)
    for index, image in enumerate(IMAGES):
        np.testing.assert_array_equal(found.pixels(index), image)
        assert torch.equal(found.read(index, SPEC), SPEC.preprocess(image))
    assert found.labels.tolist() == LABELS.tolist()
    assert found.class_names == ("a", "b", "c")
    assert found.path(0) is None
    assert dataset.open(**found.origin).identity == found.identity


def test_an_archive_maps_arrays_of_any_order_and_type(tmp_path):
    values = np.asfortranarray(RNG.random((4, 6, 5, 3)))
    np.savez(tmp_path / "set.npz", y=np.arange(4), x=values)
    found = dataset.open(tmp_path / "set.npz")
    assert isinstance(found.pieces[0], np.memmap)
    np.testing.assert_array_equal(np.stack([found.pixels(index) for index in range(4)]), values)


def test_identity_is_of_the_content(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    np.savez_compressed(tmp_path / "b.npz", images=IMAGES, labels=LABELS)
    other = IMAGES.copy()
    other[6, 5, 4, 2] ^= 1
    np.savez(tmp_path / "c.npz", x=other, y=LABELS)
    one, same, changed = (dataset.open(tmp_path / f"{name}.npz").identity for name in "abc")
    assert one == same == dataset.open(IMAGES, labels=LABELS).identity
    assert one != changed
    assert one != dataset.open(IMAGES).identity  # labels belong to it


def test_parts_in_the_order_of_a_course_of_training(tmp_path):
    np.savez(tmp_path / "set.npz", x_test=IMAGES[5:], y_test=LABELS[5:], x_train=IMAGES[:5], y_train=LABELS[:5])
    found = dataset.open(tmp_path / "set.npz")
    assert found.parts == (dataset.Part("train", 0, 5), dataset.Part("test", 5, 7))
    assert [found.name(4), found.name(5)] == ["train/4", "test/0"]
    assert found.labels.tolist() == LABELS.tolist()
    mixed = np.array([6, 0, 5, 4])
    np.testing.assert_array_equal(found.fitted_many(mixed, SPEC), IMAGES[mixed])
    test = dataset.open(tmp_path / "set.npz", part="test")
    assert (len(test), test.name(0), test.parts) == (2, "0", ())
    with pytest.raises(DataError, match=r"no part 'val'; its parts are: train, test\."):
        dataset.open(tmp_path / "set.npz", part="val")


def test_medical_names(tmp_path):
    # the way in which MedMNIST names its arrays
    arrays = {f"{part}_images": IMAGES for part in ("test", "val", "train")}
    np.savez(tmp_path / "set.npz", **arrays, **{f"{part}_labels": LABELS[:, None] for part in ("test", "val", "train")})
    assert [part.name for part in dataset.open(tmp_path / "set.npz").parts] == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((4, 8, 9), None, (8, 9, 1)),
        ((4, 8, 9, 3), None, (8, 9, 3)),
        ((4, 3, 8, 9), None, (8, 9, 3)),
        ((4, 12, 64, 64), None, (64, 64, 12)),
        ((4, 3, 8, 3), None, (3, 8, 3)),
        ((4, 12, 8, 4), 12, (8, 4, 12)),
        ((4, 2, 8, 12), 12, (2, 8, 12)),
    ],
)
def test_layouts(tmp_path, shape, channels, expected):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "set.npy", values)
    for source in (values, tmp_path / "set.npy"):
        found = dataset.open(source, channels=channels)
        assert found.pixels(1).shape == expected
        if len(shape) == 4 and shape[1:] != expected:
            np.testing.assert_array_equal(found.pixels(1), values[1].transpose(1, 2, 0))
    assert isinstance(dataset.open(tmp_path / "set.npy").pieces[0], np.memmap)


def test_a_tensor_has_its_channels_first():
    images = torch.from_numpy(RNG.integers(0, 256, (2, 4, 8, 3), dtype=np.uint8))
    assert dataset.open(images).pixels(0).shape == (8, 3, 4)
    halves = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.bfloat16).reshape(1, 1, 2, 2)
    assert dataset.open(halves).pixels(0).tolist() == [[[0.0], [0.25]], [[0.5], [1.0]]]


@pytest.mark.parametrize("size", [(6, 5), (12, 10), (4, 4)], ids=["as it is", "larger", "smaller"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.float16])
def test_what_the_network_gets_is_what_preprocess_gives(size, kind):
    spec = InputSpec(3, *size, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    values = IMAGES if kind == np.uint8 else (IMAGES / 255).astype(kind)
    found = dataset.open(values)
    for index in range(3):
        assert torch.equal(found.read(index, spec), spec.preprocess(values[index]))


def test_grey_and_colour_are_converted():
    grey = dataset.open(IMAGES[..., 0])
    assert torch.equal(grey.read(0, SPEC), SPEC.preprocess(IMAGES[0, ..., :1].repeat(3, 2)))
    single = InputSpec(1, 6, 5)
    red, green, blue = np.moveaxis(IMAGES[0].astype(int), 2, 0)
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # ITU-R 601, as Pillow documents it
    np.testing.assert_array_equal(np.rint(dataset.open(IMAGES).read(0, single)[0].numpy() * 255), luma)
    floats = dataset.open((IMAGES[..., 0] / 255).astype(np.float32))
    assert torch.equal(
        floats.read(0, SPEC), SPEC.preprocess((IMAGES[0, ..., :1] / 255).astype(np.float32).repeat(3, 2))
    )
    with pytest.raises(ImageError, match="Picture 0 has 3 channels, and the network takes 5"):
        dataset.open(IMAGES).read(0, InputSpec(5, 6, 5))


def test_one_bad_picture_among_floats_is_refused_alone():
    values = (IMAGES / 255).astype(np.float32)
    values[3, 2, 2, 1] = np.nan
    values[5] = 1.5
    found = dataset.open(values)
    (batch,) = dataset.stream(found, SPEC)
    assert batch.indices.tolist() == [0, 1, 2, 4, 6]
    assert batch.broken[0] == (3, "Picture 3 holds numbers from nan to nan, not from 0 to 1. " + ADVICE)
    assert batch.broken[1] == (5, "Picture 5 holds numbers from 1.5 to 1.5, not from 0 to 1. " + ADVICE)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": IMAGES}, r"holds no pictures under a name that is known: images, x, x_train, \.\.\. \(it holds z\)"),
        ({"x": IMAGES.astype(np.int64)}, r"are int64: save them as uint8"),
        ({"x": IMAGES.astype(np.float32)}, r"numbers from 0 to 2\d\d, not from 0 to 1"),
        ({"x": IMAGES[0, 0]}, r"x in set\.npz has the shape 5 x 3; pictures come as N x H x W"),
        ({"x": IMAGES[:0]}, r"has the shape 0 x 6 x 5 x 3"),
        ({"x": IMAGES, "y": LABELS[:5]}, r"y in .* has the shape 5 for 7 pictures"),
        ({"x": IMAGES, "y": LABELS + 0.5}, r"y in .* holds float64, not whole numbers"),
        ({"x": IMAGES, "y": LABELS - 2}, r"holds -2: class indices begin at 0"),
        ({"x": IMAGES, "y": LABELS, "class_names": ["a"]}, r"has 1 class names, and labels up to 2"),
        ({"x_train": IMAGES, "x_test": IMAGES[..., :1]}, r"The parts of .* are not alike"),
    ],
)
def test_archives_that_make_no_sense(tmp_path, monkeypatch, arrays, message):
    monkeypatch.chdir(tmp_path)
    np.savez("set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        dataset.open("set.npz")


def test_nothing_is_unpickled(tmp_path):
    import striate

    np.savez(tmp_path / "set.npz", x=np.array([Evil()], dtype=object))
    np.save(tmp_path / "set.npy", np.array([Evil()], dtype=object))
    for name in ("set.npz", "set.npy"):
        with pytest.raises(DataError, match="holds Python objects, which could run code"):
            dataset.open(tmp_path / name)
    assert not hasattr(striate, "BROKEN_IN")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_that_is_cut_off_or_damaged(tmp_path, save):
    save(tmp_path / "set.npz", x=IMAGES)
    data = (tmp_path / "set.npz").read_bytes()
    for bad in (data[:200], b"", b"PK\x03\x04" + bytes(100), data[:100] + bytes(60) + data[160:]):
        (tmp_path / "bad.npz").write_bytes(bad)
        with pytest.raises(DataError, match=r"bad\.npz"):
            dataset.open(tmp_path / "bad.npz")


def test_a_header_cannot_claim_what_is_not_there(tmp_path):
    np.save(tmp_path / "set.npy", IMAGES)
    data = (tmp_path / "set.npy").read_bytes()
    (tmp_path / "set.npy").write_bytes(data.replace(b"(7, 6, 5, 3), }      ", b"(7000000, 6, 5, 3), }"))
    with pytest.raises(DataError, match=r"set\.npy is cut off: 630 bytes of 630\.0 MB are there"):
        dataset.open(tmp_path / "set.npy")
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.write(tmp_path / "set.npy", "x.npy")
    with pytest.raises(DataError, match=r"x\.npy in .*set\.npz is cut off"):
        dataset.open(tmp_path / "set.npz")


def test_what_would_not_fit_into_memory_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "set.npz", x=IMAGES)
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(DataError, match=r"is compressed, and has 758 bytes unpacked, more than half of the memory"):
        dataset.open(tmp_path / "set.npz")


def test_labels_of_its_own_and_what_has_no_parts(tmp_path):
    np.savez(tmp_path / "set.npz", x=IMAGES, y=LABELS)
    np.save(tmp_path / "set.npy", IMAGES)
    assert dataset.open(tmp_path / "set.npz", labels=LABELS[::-1]).labels.tolist() == LABELS[::-1].tolist()
    assert dataset.open(tmp_path / "set.npy", labels=LABELS).labels.tolist() == LABELS.tolist()
    bare = dataset.open(tmp_path / "set.npz", labels="none")
    assert not bare.labelled
    assert dataset.open(**bare.origin).identity == bare.identity != dataset.open(tmp_path / "set.npz").identity
    with pytest.raises(DataError, match=r"part='test' was given, and .* has no parts"):
        dataset.open(tmp_path / "set.npy", part="test")
    with pytest.raises(DataError, match=r"part='test' was given, and ndarray has no parts"):
        dataset.open(IMAGES, part="test")
    with pytest.raises(IndexError, match="there is no picture 7; there are 7"):
        dataset.open(IMAGES).pixels(7)


def test_large_files_are_known_by_their_dates(tmp_path, monkeypatch):
    np.save(tmp_path / "set.npy", IMAGES)
    monkeypatch.setattr("striate.dataset.arrays._HASHED", 100)
    found = dataset.open(tmp_path / "set.npy")
    assert found.mark(0) == found.mark(1)
    assert found.mark(0).startswith(f"{(tmp_path / 'set.npy').stat().st_size}-")
