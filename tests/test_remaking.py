"""Saved results are made again from their recipes; what cannot be made again says why."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import ImageError, NetworkError, OptionError
from striate.images import encode_png
from striate.remaking import read_recipe, same_numbers


def small(seed: int = 0, **spec: object) -> striate.Network:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return striate.Network(module, striate.InputSpec(3, 24, 20).changed(**spec), ["a", "b", "c", "d"], name="small")


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("suffix", [".png", ".json", ".npz"])
def test_the_same_numbers_from_every_kind_of_file(network, images, tmp_path, suffix):
    # random draws, options that are no defaults, a target for each picture
    first = striate.lenses.smoothgrad(network, images, ["class:b", "class:d"], samples=3, noise=0.3, seed=5)
    path = first.save(tmp_path / f"kept{suffix}")
    again = striate.again(path, network, images.clone())
    for key, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[key])
    assert same_numbers(path, again)
    other = striate.lenses.smoothgrad(network, images, ["class:b", "class:d"], samples=3, noise=0.3, seed=6)
    assert not same_numbers(path, other)
    assert again.recipe.to_dict() | {"seconds": 0} == first.recipe.to_dict() | {"seconds": 0}


def test_pictures_as_files_are_those_of_a_batch(network, chelsea, tmp_path):
    path = striate.lenses.saliency(network, chelsea).save(tmp_path / "map.npz")
    assert same_numbers(path, striate.again(path, network, [chelsea]))
    assert same_numbers(path, striate.again(path, network, network.read(chelsea)))


def test_without_pictures(network, tmp_path):
    path = striate.lenses.filters(network).save(tmp_path / "filters.npz")
    assert same_numbers(path, striate.again(path, network))
    with pytest.raises(ImageError, match=r"filters\.npz was made without pictures\. Leave them out"):
        striate.again(path, network, torch.rand(1, 3, 24, 20))


def test_a_unit_is_asked_for_again(network, images, tmp_path):
    # this result does not name its target by itself
    first = striate.lenses.receptive_field(network, images, "0:2@3,4")
    path = first.save(tmp_path / "field.json")
    assert read_recipe(path).target == ("0:2@3,4",)
    assert striate.again(path, network, images).boxes == first.boxes


# --- what cannot be made again


@pytest.fixture
def kept(network, images, tmp_path):
    return striate.lenses.saliency(network, images).save(tmp_path / "kept.npz")


def test_other_weights_are_refused_with_both_hashes(kept, network, images):
    other = small(1)
    with pytest.raises(NetworkError, match=f"hash {network.weights_hash}; those of small have {other.weights_hash}"):
        striate.again(kept, other, images)


def test_other_expectations_are_refused(kept, images):
    with pytest.raises(NetworkError, match=r"mean \[0\.0, 0\.0, 0\.0\] then, \[0\.5, 0\.5, 0\.5\] now"):
        striate.again(kept, small(mean=(0.5,)), images)


def test_pictures_that_are_missing_fewer_or_others(kept, network, images, chelsea, astronaut):
    with pytest.raises(ImageError, match=r"made from 2 pictures, which it does not hold\. Give them, in"):
        striate.again(kept, network)
    with pytest.raises(ImageError, match=r"made from 2 pictures, and 1 were given"):
        striate.again(kept, network, images[:1])
    with pytest.raises(ImageError, match=r"picture 1 is not the one that kept\.npz was made from"):
        striate.again(kept, network, images.flip(0))
    path = striate.lenses.saliency(network, [chelsea, astronaut]).save(kept.with_name("two.json"))
    with pytest.raises(ImageError, match=r"picture 2 \(chelsea\.png\) is not the one"):
        striate.again(path, network, [chelsea, chelsea])


def test_a_tensor_among_the_options_has_to_be_given(network, images, tmp_path):
    cover = torch.full((1, 3, 24, 20), 0.25)
    path = striate.lenses.occlusion(network, images, 1, baseline=cover, patch=8).save(tmp_path / "map.npz")
    with pytest.raises(OptionError, match=r"'baseline' was given in Python as tensor 1 x 3 x 24 x 20"):
        striate.again(path, network, images)
    assert same_numbers(path, striate.again(path, network, images, options={"baseline": cover}))
    with pytest.raises(OptionError, match=r"the recipe holds 'patch' itself; only .* may be given \(baseline\)"):
        striate.again(path, network, images, options={"baseline": cover, "patch": 4})


def test_the_picture_of_a_style_is_checked_too(network, images, photographs, tmp_path):
    cat, other = tmp_path / "cat.png", tmp_path / "other.png"
    shutil.copy(photographs / "chelsea.png", cat)
    made = striate.lenses.style(network, images, style=str(cat), steps=2)
    path = made.save(tmp_path / "styled.npz")
    assert len(read_recipe(path).others["style"]) == 1
    assert same_numbers(path, striate.again(path, network, images))
    shutil.copy(photographs / "coffee.png", cat)
    with pytest.raises(ImageError, match=r"picture given as 'style' is not the one that styled\.npz was made from"):
        striate.again(path, network, images)
    given = network.read(photographs / "chelsea.png").expand(2, -1, -1, -1)
    path = striate.lenses.style(network, images, style=given, steps=2).save(other.with_suffix(".json"))
    assert same_numbers(path, striate.again(path, network, images, options={"style": given}))
    with pytest.raises(ImageError, match=r"made with 2 as picture given as 'style', and 1 were given"):
        striate.again(path, network, images, options={"style": given[:1]})
    held = json.loads(path.read_text())
    held["recipe"]["others"] = {"steps": ["0" * 16]}
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match=r"there is no picture given as 'steps'\. Was the recipe changed"):
        striate.again(path, network, images, options={"style": given})


def test_a_target_that_no_text_names(network, tmp_path):
    from striate.synthesis.objectives import direction

    goal = direction(network, "0", torch.ones(6))
    path = striate.lenses.synthesize(network, goal, steps=1).save(tmp_path / "direction.json")
    with pytest.raises(OptionError, match="its target was given in Python as object Objective, which no recipe holds"):
        striate.again(path, network)
    sums = striate.lenses.synthesize(network, ["0:1 - 0.5*0:2", "class:b"], steps=2).save(tmp_path / "sums.npz")
    assert same_numbers(sums, striate.again(sums, network))


def test_another_version_is_said(network, images, tmp_path):
    path = striate.lenses.saliency(network, images).save(tmp_path / "old.json")
    held = json.loads(path.read_text())
    held["recipe"]["torch"] = "2.0.0"
    path.write_text(json.dumps(held))
    assert striate.again(path, network, images).recipe.notes[-1].startswith("Made again with PyTorch")
    held["recipe"]["options"]["colour"] = "blue"
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match=r"saliency has no option 'colour'\. The recipe is of Striate"):
        striate.again(path, network, images)


@pytest.mark.parametrize(
    ("lens", "changed", "message"),
    [
        ("saliency", {"network": "x"}, "saliency has no option 'network'"),
        ("saliency", {"target": "class:b"}, "saliency has no option 'target'"),
        ("smoothgrad", {"samples": "many"}, "smoothgrad cannot be given samples='many'. Was the recipe changed"),
        ("smoothgrad", {"samples": [3, 4]}, "cannot be given samples="),
        ("smoothgrad", {"samples": None}, "cannot be given samples=None"),
        ("smoothgrad", {"noise": {"a": 1}}, "cannot be given noise="),
        ("smoothgrad", {"variant": 3}, "cannot be given variant=3"),
    ],
)
def test_a_recipe_that_was_changed_is_refused_without_a_traceback(network, images, tmp_path, lens, changed, message):
    path = getattr(striate.lenses, lens)(network, images).save(tmp_path / "kept.json")
    held = json.loads(path.read_text())
    held["recipe"]["options"].update(changed)
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match=re.escape(message)):
        striate.again(path, network, images)
    held["recipe"]["options"], held["recipe"]["target"] = {}, [{"a": 1}]
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match="is no address"):
        striate.again(path, network, images)


def test_a_recipe_without_weights_or_with_no_folder_for_its_atlas(network, images, tmp_path):
    path = striate.lenses.saliency(network, images).save(tmp_path / "kept.json")
    held = json.loads(path.read_text())
    held["recipe"]["weights"] = ""
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match=r"kept\.json does not say with which weights it was made"):
        striate.again(path, network, images)
    held["recipe"] |= {"lens": "dead_units", "options": {"atlas": None}, "target": [], "pictures": []}
    path.write_text(json.dumps(held))
    with pytest.raises(OptionError, match="dead_units cannot be given atlas=None"):
        striate.again(path, network)


def test_numbers_of_numpy_stand_in_a_recipe(network, images, tmp_path):
    first = striate.lenses.smoothgrad(network, images, samples=np.int64(2), noise=np.float32(0.5))
    assert first.recipe.options["samples"] == 2
    path = first.save(tmp_path / "kept.npz")
    assert same_numbers(path, striate.again(path, network, images))


def test_files_that_hold_no_recipe(tmp_path):
    def refuses(name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OptionError, match=message):
            read_recipe(tmp_path / name)

    with pytest.raises(OptionError, match=r"gone\.json is no file"):
        read_recipe(tmp_path / "gone.json")
    plain = encode_png(np.zeros((4, 4, 3), np.uint8))
    refuses("plain.png", plain, "holds no recipe: it was not saved by a lens")
    refuses("no.png", b"GIF89a", "no.png")
    refuses("cut.json", b'{"recipe": {"lens"', r"cut\.json cannot be read \(JSONDecodeError")
    refuses("deep.json", b"[" * 100_000, "deep.json cannot be read")
    refuses("list.json", b"[1, 2]", "holds no recipe")
    refuses("typed.json", b'{"recipe": {"lens": ["saliency"]}}', "holds no recipe")
    refuses("strange.json", b'{"recipe": {"lens": "saliency", "code": "x"}}', "holds no recipe")
    refuses("report.json", b'{"results": {"a": {}, "b": {}}}', r"numbers of a whole report \(2 results\)")
    refuses("other.json", b'{"recipe": {"lens": "stability"}}', "was made by 'stability', which is no lens")
    refuses("text.txt", b"{}", r"'?\.txt'? is not one of \.png, \.json, \.npz")
    np.savez(tmp_path / "numbers.npz", values=np.zeros(3))
    with pytest.raises(OptionError, match=r"numbers\.npz cannot be read \(KeyError"):
        read_recipe(tmp_path / "numbers.npz")
    np.savez(tmp_path / "pickled.npz", recipe=np.array([{"lens": "saliency"}], dtype=object))
    with pytest.raises(OptionError, match=r"pickled\.npz cannot be read \(ValueError: Object arrays cannot be loaded"):
        read_recipe(tmp_path / "pickled.npz")
