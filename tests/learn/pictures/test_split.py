"""Which pictures train and which validate: stratified, by name, never the same, kept in a table and found again."""

from __future__ import annotations

import csv
import importlib
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from learn.folders import fill, noise
from striate import dataset
from striate.errors import DataError, OptionError
from striate.learn.pictures.choosing import choose
from striate.learn.pictures.copies import first_alike
from striate.learn.pictures.split import Split, split


def held(made: Split) -> set[str]:
    return {made.validation.name(index) for index in made.validation_indices.tolist()}


def trained(made: Split) -> set[str]:
    return {made.train.name(index) for index in made.train_indices.tolist()}


@pytest.fixture
def flowers(tmp_path):
    return fill(tmp_path / "flowers", {"daisy": 50, "rose": 23, "tulip": 2})


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_each_class_gives_its_share_and_both_sides_have_every_class(flowers, share):
    made = split(flowers, share=share)
    assert made.class_names == ("daisy", "rose", "tulip")
    for many, taken in zip((50, 23, 2), made.validation_counts.tolist(), strict=True):
        assert abs(taken - share * many) < 1 or taken in (1, many - 1)
        assert 1 <= taken <= many - 1
    np.testing.assert_array_equal(made.train_counts + made.validation_counts, [50, 23, 2])
    assert not held(made) & trained(made)
    assert len(held(made) | trained(made)) == 75
    for side, labels in ((made.train_indices, made.train_labels), (made.validation_indices, made.validation_labels)):
        assert [made.train.name(i).split("/")[0] for i in side] == [made.class_names[one] for one in labels]
    assert (
        made.sentence() == f"{len(trained(made))} pictures of 3 classes to train on, {len(held(made))} to validate on."
    )


def test_seed_and_names_decide_and_nothing_else(flowers, tmp_path):
    made = split(flowers)
    assert held(split(flowers)) == held(made)
    assert split(flowers).identity == made.identity
    assert held(split(flowers, seed=1)) != held(made)
    assert split(flowers, seed=1).identity != made.identity
    # another listing order: a table that names the files backwards
    source = dataset.open(flowers)
    names = [source.name(index) for index in range(len(source))][::-1]
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    (tmp_path / "table.csv").write_text("file,label\n" + "\n".join(rows))
    assert held(split(flowers, labels=tmp_path / "table.csv")) == held(made)


def test_pictures_stay_on_their_side_when_others_are_added(flowers):
    before = split(flowers)
    fill(flowers, {"daisy": 5, "rose": 5}, first=500)
    after = split(flowers)
    changed = (held(before) & trained(after)) | (trained(before) & held(after))
    assert len(changed) <= 4  # as the balance asks; drawn anew it would be about a third of 75
    fill(flowers, {"iris": 10})  # a new class moves nothing of the others
    assert {name for name in held(split(flowers)) if "iris" not in name} == held(after)


def test_parts_are_used_as_they_are_and_the_test_part_is_left_alone(tmp_path):
    for part, counts in (("train", {"a": 4, "b": 3}), ("val", {"a": 2, "b": 1}), ("test", {"a": 1, "c": 1})):
        fill(tmp_path / "set" / part, counts, first={"train": 0, "val": 100, "test": 200}[part])
    made = split(tmp_path / "set")
    assert made.train_counts.tolist() == [4, 3]
    assert made.validation_counts.tolist() == [2, 1]
    assert made.class_names == ("a", "b")  # not c, which is in the test part only
    assert "The part test of set is left alone." in made.notes
    assert any("1 class without training pictures left out (c)" in note for note in made.notes)
    with pytest.raises(DataError, match=r"validation pictures have 1 class that the training pictures lack \(c\)"):
        split(tmp_path / "set", "test")
    shutil.rmtree(tmp_path / "set" / "val")
    assert split(tmp_path / "set", share=0.5).validation_counts.tolist() == [2, 2]  # of train, never of test


def test_two_sources_meet_by_the_names_of_their_classes(tmp_path):
    train = fill(tmp_path / "one", {"ant": 3, "bee": 3, "cat": 3})
    other = fill(tmp_path / "two", {"cat": 2, "bee": 1}, first=50)
    made = split(train, other)
    assert made.class_names == ("ant", "bee", "cat")
    assert made.validation_counts.tolist() == [0, 1, 2]  # indices of `two` would be 0 and 1
    assert "1 class without validation pictures: ant." in made.notes
    (other / "bee").rename(other / "Bee")
    with pytest.raises(DataError, match=r"lack \(Bee\)\. Is Bee meant to be bee\?"):
        split(train, other)
    # one accented letter, written in two ways
    fill(tmp_path / "three", {"caf\u00e9": 2, "tea": 2})
    fill(tmp_path / "four", {"cafe\u0301": 2}, first=9)
    assert split(tmp_path / "three", tmp_path / "four").validation_counts.tolist() == [2, 0]


def test_training_pictures_never_validate(tmp_path):
    train = fill(tmp_path / "one", {"a": 4, "b": 4})
    with pytest.raises(DataError, match=r"8 of 8 validation pictures are training pictures too \(the first: a/0000"):
        split(train, train)
    linked = tmp_path / "links"
    (linked / "a").mkdir(parents=True)
    os.symlink(train / "a" / "0002.png", linked / "a" / "other name.png")
    with pytest.raises(DataError, match="1 of 1 validation picture is a training picture too"):
        split(train, linked)
    values = np.random.default_rng(0).integers(0, 256, (10, 3, 5, 4)).astype(np.float32) / 255
    import torch

    wrapped = TensorDataset(torch.from_numpy(values), torch.arange(10) % 2)
    with pytest.raises(DataError, match="10 of 10 validation pictures are training pictures"):
        split(wrapped, dataset.open(wrapped))


def test_copies_of_training_pictures_are_left_out_of_the_validation_or_kept_when_asked(tmp_path):
    train = fill(tmp_path / "one", {"a": 4, "b": 4})
    other = fill(tmp_path / "two", {"a": 2, "b": 2}, first=50)
    shutil.copy(train / "a" / "0001.png", other / "b" / "again.png")
    made = split(train, other)
    assert made.validation_counts.tolist() == [2, 2]
    assert made.left_out == (("validation", "b/again.png"),)
    assert "left out of the validation (the first: b/again.png is a/0001.png)." in made.notes[-1]
    kept = split(train, other, copies="keep")
    assert kept.validation_counts.tolist() == [2, 3]
    assert kept.left_out == ()
    shutil.rmtree(other)
    (other / "a").mkdir(parents=True)
    shutil.copy(train / "a" / "0001.png", other / "a" / "again.png")
    with pytest.raises(DataError, match="all 1 validation pictures are copies of training pictures"):
        split(train, other)
    arrays = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    arrays[17] = arrays[2]
    found = split(
        dataset.open(arrays[:12], labels=np.arange(12) % 2), dataset.open(arrays[12:], labels=np.arange(8) % 2)
    )
    assert found.left_out == (("validation", "5"),)


@pytest.mark.parametrize("seed", range(5))
def test_copies_lie_on_one_side_and_the_share_still_holds(tmp_path, seed):
    folder = fill(tmp_path / "set", {"a": 30, "b": 30})
    for number in range(10):
        shutil.copy(folder / "a" / f"{number:04d}.png", folder / "a" / f"copy {number}.png")
    shutil.copy(folder / "a" / "0020.png", folder / "b" / "wrong.png")
    made = split(folder, seed=seed)
    for side in (held(made), trained(made)):
        assert all((f"a/{n:04d}.png" in side) == (f"a/copy {n}.png" in side) for n in range(10))
        assert ("a/0020.png" in side) == ("b/wrong.png" in side)
    assert abs(made.validation_counts - 0.2 * np.array([40, 31])).max() < 1
    assert "11 pictures are copies of others: each lies on the same side as what it is like." in made.notes
    assert "1 picture stands under another class as well (the first: b/wrong.png is a/0020.png)." in made.notes


def test_a_class_of_copies_alone_is_refused_and_one_of_two_large_groups_is_halved():
    names, labels = [str(place) for place in range(12)], np.array([0] * 6 + [1] * 6)
    lonely = np.array([0] * 6 + [6, 7, 8, 9, 10, 11])
    with pytest.raises(DataError, match="the class a has 6 pictures, but only 1 that are not copies"):
        choose(names, labels, lonely, ["a", "b"], 0.2, 0)
    pairs = np.array([0, 0, 0, 3, 3, 3, 6, 7, 8, 9, 10, 11])
    chosen = choose(names, labels, pairs, ["a", "b"], 0.2, 0)
    assert chosen[:6].tolist() in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)
    assert chosen[6:].sum() == 1


def test_files_are_the_same_only_when_every_byte_is(tmp_path):
    (tmp_path / "set").mkdir()
    noise("one", (60, 60)).save(tmp_path / "set" / "a.bmp")
    data = bytearray((tmp_path / "set" / "a.bmp").read_bytes())
    (tmp_path / "set" / "same.bmp").write_bytes(data)
    data[60] ^= 1  # far from the end, by which most files are told apart
    (tmp_path / "set" / "z.bmp").write_bytes(data)
    (tmp_path / "set" / "e1.png").write_bytes(b"")
    (tmp_path / "set" / "e2.png").write_bytes(b"")
    found = dataset.open(tmp_path / "set")
    names = [found.name(index) for index in range(len(found))]
    assert names == ["a.bmp", "e1.png", "e2.png", "same.bmp", "z.bmp"]
    assert first_alike([(found, index) for index in range(5)]).tolist() == [0, 1, 2, 0, 4]


def test_what_cannot_be_split_is_refused_in_words(tmp_path):
    cases = [
        ({"a": 5, "b": 1, "c": 1}, r"2 classes with one picture \(b, c\): there is none left to validate on"),
        ({"a": 5}, r"there is one class only \(a\)"),
    ]
    for number, (counts, message) in enumerate(cases):
        with pytest.raises(DataError, match=message):
            split(fill(tmp_path / str(number), counts))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There are no pictures in"):
        split(tmp_path / "empty")
    noise("x").save(tmp_path / "empty" / "x.png")
    with pytest.raises(DataError, match=r"none of the 1 picture in .* has a class\. Put each"):
        split(tmp_path / "empty")
    for share in (-0.1, 1, 1.5):
        with pytest.raises(OptionError, match="share must be from 0 to below 1"):
            split(tmp_path / "0", share=share)
    with pytest.raises(OptionError, match="copies is 'leave out' or 'keep', got 'drop'"):
        split(tmp_path / "0", copies="drop")
    fill(tmp_path / "parts" / "test", {"a": 3, "b": 3})
    with pytest.raises(DataError, match="has the parts test, and none to train on"):
        split(tmp_path / "parts")


def test_pictures_without_a_class_are_counted_and_left_out(flowers):
    noise("loose").save(flowers / "loose.png")
    made = split(flowers)
    assert "1 picture without a class left out." in made.notes
    assert "loose.png" not in held(made) | trained(made)
    assert len(split(flowers, share=0).train_indices) == 75
    assert split(flowers, share=0).validation is None
    assert split(flowers, share=0).sentence().endswith("none to validate on.")


def test_arrays_without_names_keep_the_numbers_of_their_classes():
    values = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 1), dtype=np.uint8)
    made = split(dataset.open(values, labels=[3, 7] * 6))
    assert made.class_names == ("3", "7")
    assert sorted(set(made.train_labels.tolist())) == [0, 1]
    other = dataset.open(values[:4] + 1, labels=[7, 7, 3, 5])
    with pytest.raises(DataError, match=r"lack \(5\)"):
        split(dataset.open(values, labels=[3, 7] * 6), other)


def test_the_manifest_is_a_table_that_people_and_csv_readers_read(flowers, tmp_path):
    made = split(flowers)
    made.save(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "# striate-split-1"
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert {row["file"] for row in rows if row["part"] == "validation"} == held(made)
    assert all(row["file"].split("/")[0] == row["class"] for row in rows)
    again = Split.load(tmp_path / "split.csv")
    assert again.identity == made.identity
    assert (again.vanished, again.arrived) == ((), ())
    moved = shutil.move(flowers, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"are not where they were: .* Give source="):
        Split.load(tmp_path / "split.csv")
    assert held(Split.load(tmp_path / "split.csv", moved)) == held(made)


def test_a_manifest_says_what_vanished_and_what_came(flowers, tmp_path):
    made = split(flowers)
    made.save(tmp_path / "split.csv")
    gone = sorted(trained(made))[0]
    (flowers / gone).unlink()
    fill(flowers, {"rose": 2}, first=900)
    again = Split.load(tmp_path / "split.csv")
    assert again.vanished == (gone,)
    assert again.arrived == ("rose/0900.png", "rose/0901.png")
    assert held(again) == held(made)
    assert trained(again) == trained(made) - {gone}
    assert f"1 picture has vanished since split.csv was written (the first: {gone})." in again.notes
    assert any(note.startswith("2 pictures have come since, and used on neither side") for note in again.notes)
    shutil.rmtree(flowers)
    fill(flowers, {"iris": 3})
    with pytest.raises(DataError, match=r"none of the training pictures that .* names is in"):
        Split.load(tmp_path / "split.csv")


def test_manifests_of_parts_two_sources_and_memory(tmp_path):
    train = fill(tmp_path / "set" / "train", {"a": 4, "b": 4})
    other = fill(tmp_path / "set" / "val", {"a": 2, "b": 2}, first=50)
    shutil.copy(train / "a" / "0001.png", other / "a" / "again.png")
    fill(tmp_path / "set" / "test", {"a": 2, "b": 2}, first=90)
    parts = split(tmp_path / "set")
    parts.save(tmp_path / "parts.csv")
    again = Split.load(tmp_path / "parts.csv")
    assert (again.identity, again.arrived, again.left_out) == (parts.identity, (), parts.left_out)
    two = split(train, other)
    two.save(tmp_path / "two.csv")
    again = Split.load(tmp_path / "two.csv")
    assert (again.identity, again.left_out) == (two.identity, (("validation", "a/again.png"),))
    values = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 1), dtype=np.uint8)
    memory = split(dataset.open(values, labels=[3, 7] * 6))
    memory.save(tmp_path / "memory.csv")
    with pytest.raises(DataError, match=r"were in memory only: give them again \(source=\)"):
        Split.load(tmp_path / "memory.csv")
    assert Split.load(tmp_path / "memory.csv", dataset.open(values, labels=[3, 7] * 6)).identity == memory.identity


def test_odd_names_survive_the_manifest(tmp_path):
    folder = fill(tmp_path / "set", {"a": 3, "b": 3})
    for name in (
        'with "quotes", and comma.png',
        "line\nbreak.png",
        "carriage\rreturn.png",
        "# hash.png",
        "bad\udcff.png",
        "sep\u2028arator.png",
    ):
        noise(name.encode("utf-8", "surrogateescape").hex()).save(tmp_path / "one.png")
        os.replace(tmp_path / "one.png", os.fsencode(folder / "a" / name))
    made = split(folder)
    made.save(tmp_path / "split.csv")
    again = Split.load(tmp_path / "split.csv")
    assert (again.identity, again.vanished, again.arrived) == (made.identity, (), ())


def test_what_is_no_manifest_is_refused(tmp_path):
    head = '# classes: ["a"]\n# source: null\n# validation: null\n# two sources: false\nfile,class,part\n'
    cases = {
        "": "is no split: it has the columns of an empty file",
        "file,class,part\na,b,train\n": "lacks classes, source, validation, two sources",
        f"{head}x,a,both\n": "line 6: 'x,a,both' is not a file, its class and one of train, validation, left out",
        f"{head}x,b,train\n": "the class 'b' of its picture 1 is not among its classes",
        "# classes: [\n": "is no split that can be read",
    }
    for text, message in cases.items():
        (tmp_path / "split.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            Split.load(tmp_path / "split.csv")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        Split.load(tmp_path / "none.csv")


def test_names_of_many_classes_are_made_once(monkeypatch):
    choosing = importlib.import_module("striate.learn.pictures.choosing")
    made, calls = choosing._names, []
    monkeypatch.setattr(choosing, "_names", lambda *given: calls.append(given) or made(*given))
    values = np.random.default_rng(0).integers(0, 256, (400, 2, 2, 1), dtype=np.uint8)
    one = split(dataset.open(values, labels=np.arange(400) % 200))
    assert len(one.class_names) == 200
    assert len(calls) == 1  # by class it would take a minute for 10,000 of them


def test_two_spellings_of_one_letter_stay_two_classes_where_training_has_both(tmp_path):
    composed, taken_apart = "\u00e9", "e\u0301"
    fill(tmp_path / "train", {composed: 3, taken_apart: 3})
    fill(tmp_path / "val", {composed: 2, taken_apart: 1}, first=50)
    made = split(tmp_path / "train", tmp_path / "val")
    assert dict(zip(made.class_names, made.validation_counts.tolist(), strict=True)) == {composed: 2, taken_apart: 1}


def test_sub_sets_of_one_data_set_that_share_items_are_refused():
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 1, 4, 4), dtype=np.uint8))
    whole = TensorDataset(values, torch.arange(20) % 2)
    apart = split(Subset(whole, range(10)), Subset(Subset(whole, range(10, 20)), range(5)))
    assert (len(apart.train_indices), len(apart.validation_indices)) == (10, 5)
    for validation in (Subset(whole, range(9, 20)), Subset(Subset(whole, range(5, 20)), [4, 12]), whole):
        with pytest.raises(DataError, match=r"training pictures? too"):
            split(Subset(whole, range(10)), validation)


def likenesses(folder, counts: dict[str, int], again: dict[str, list[int]], side: int = 96):
    """Write photograph-like pictures, and some of them again as smaller JPEGs of worse quality."""
    for label, many in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(many):
            picture = noise(f"{label}{number}", (6, 6)).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(folder / label / f"{number:02}.png")
            if number in again.get(label, ()):
                smaller = picture.resize((side * 3 // 4,) * 2, Image.Resampling.LANCZOS)
                smaller.save(folder / label / f"{number:02} again.jpg", quality=60)
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_pictures_that_look_nearly_the_same_lie_on_one_side(tmp_path, seed):
    folder = likenesses(tmp_path / "set", {"a": 20, "b": 20}, {"a": list(range(10)), "b": [3]})

    def parted(made: Split) -> int:
        return sum((f"a/{n:02}.png" in held(made)) != (f"a/{n:02} again.jpg" in held(made)) for n in range(10))

    made = split(folder, seed=seed)
    assert parted(made) == 0
    assert abs(made.validation_counts - 0.2 * np.array([30, 21])).max() < 1  # and the share of each class still holds
    assert any("11 pictures look nearly the same as others: each lies on the same side" in one for one in made.notes)
    loose = split(folder, seed=seed, together="copies")
    assert not any("nearly" in one for one in loose.notes)
    assert parted(loose) > 0
    made.save(tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    assert '# on one side: "copies, and pictures that look nearly the same: 11 of 51 pictures"' in text
    again = Split.load(tmp_path / "split.csv")
    assert again.identity == made.identity
    assert again.together == made.together
    again.save(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == text


def test_a_class_that_is_one_group_is_parted_all_the_same_and_that_is_said(tmp_path):
    folder = likenesses(tmp_path / "set", {"a": 12, "b": 1}, {"b": [0]})
    made = split(folder)
    assert made.validation_counts.tolist() == [2, 1]
    assert any("Pictures of b that look nearly the same lie on both sides all the same" in one for one in made.notes)


def test_small_pictures_are_alike_by_chance_and_nothing_is_read_for_them(tmp_path, monkeypatch):
    looking = importlib.import_module("striate.learn.checking.looking")
    monkeypatch.setattr(looking, "inspect", lambda *_: pytest.fail("read"))
    folder = likenesses(tmp_path / "set", {"a": 8, "b": 8}, {"a": [1, 2]}, side=60)
    assert not split(folder).notes
    values = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    assert not split(dataset.open(values, labels=np.arange(40) % 2)).notes
    monkeypatch.setattr(looking, "MOST", 10)
    large = split(likenesses(tmp_path / "large", {"a": 8, "b": 8}, {}))
    assert large.notes == ("Among more than 10 pictures, those that are nearly the same are not looked for.",)


def test_a_check_before_gives_the_same_split_without_decoding(tmp_path, monkeypatch):
    from striate.learn.checking.check import check

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = likenesses(tmp_path / "set", {"a": 20, "b": 20}, {"a": list(range(10))})
    before = split(folder)
    assert not (tmp_path / "cache").exists()  # a split writes nothing
    found = check(folder)
    assert found.leaks() == []
    assert [found.names[index] for index in np.flatnonzero(found.sides == 1)] == sorted(held(before))
    looking = importlib.import_module("striate.learn.checking.looking")
    monkeypatch.setattr(looking, "inspect", lambda *_: pytest.fail("read again"))
    assert split(folder).identity == before.identity


def test_a_check_says_what_would_lie_where_though_a_split_passes_over_so_many(tmp_path, monkeypatch):
    from striate.learn.checking.check import check

    looking = importlib.import_module("striate.learn.checking.looking")
    monkeypatch.setattr(looking, "MOST", 10)
    folder = likenesses(tmp_path / "set", {"a": 20, "b": 20}, {"a": list(range(10))})
    found = check(folder, cache="none")
    assert [found.names[index] for index in np.flatnonzero(found.sides == 1)] == sorted(held(split(folder)))
    assert found.leaks()


def test_copies_of_lookalikes_are_counted_once(tmp_path):
    folder = likenesses(tmp_path / "set", {"a": 12, "b": 12}, {"a": [3]})
    (folder / "a" / "copy.jpg").write_bytes((folder / "a" / "03 again.jpg").read_bytes())
    made = split(folder)
    assert made.together.endswith("same: 2 of 26 pictures")
    assert any("1 picture looks nearly the same as others" in one for one in made.notes)


def test_pictures_of_a_data_set_that_draws_by_lot_are_not_compared():
    """Or the same call would give another split, and nothing could be gone on with."""
    drawn = []

    class Noise(torch.utils.data.Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            drawn.append(index)
            return torch.rand(3, 96, 96), index % 2

    made = [split(dataset.open(Noise(), labels=np.arange(40) % 2)) for _ in range(2)]
    assert len(drawn) < 40  # a few to learn what it gives
    np.testing.assert_array_equal(made[0].validation_indices, made[1].validation_indices)


def test_groups_of_ones_own_stay_together():
    values = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    pictures = dataset.open(values, labels=np.arange(60) % 2)
    patients = [list(range(start, start + 6)) for start in range(0, 60, 6)]  # of both classes
    made = split(pictures, together=patients)
    taken = set(made.validation_indices.tolist())
    assert all(len(taken & set(one)) in (0, 6) for one in patients)
    assert made.validation_counts.tolist() == [6, 6]
    assert any("50 pictures belong with others" in one for one in made.notes)
    with pytest.raises(OptionError, match="there is no picture 60 among 60"):
        split(pictures, together=[[0, 60]])
    with pytest.raises(OptionError, match="together is 'near' or 'copies', or groups of indices, got 'patients'"):
        split(pictures, together="patients")
    uneven = split(pictures, together=[list(range(40)), list(range(40, 60))])
    assert any("another share is held out" in one and "10 of 30" in one for one in uneven.notes)
