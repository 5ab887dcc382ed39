"""Options of augmentation: read, written, refused. What they do to pixels is tested in test_warping."""

from __future__ import annotations

import json

import pytest
import torch

from striate.errors import OptionError
from striate.learn.pictures.augment import PRESETS, Augment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Augment()),
        ("rotation=10,shift=0.1,flip", Augment(rotation=10, shift=(0.1, 0.1), flip="horizontal")),
        ("shift=0.1:0.2, zoom=0.8:1.5", Augment(shift=(0.1, 0.2), zoom=(0.8, 1.5))),
        ("zoom=0.1,crop=0.5", Augment(zoom=(0.9, 1.1), crop=(0.5, 1.0))),
        ("patch=24x16,flip=alternating", Augment(patch=(24, 16), flip="alternating")),
        ("patch=24", Augment(patch=(24, 24))),
        ("pad=4,border=reflect", Augment(pad=4, border="reflect")),
        ("pad=4,border=0.5", Augment(pad=4, border=0.5)),
        ("lecture,cutout=0.25,mixup=0.2", Augment(rotation=10, shift=(0.1, 0.1), cutout=0.25, mixup=0.2)),
        ("small,flip=none", Augment(pad=4, border="reflect")),
    ],
)
def test_words_of_the_command_line(text, expected):
    assert Augment.parse(text) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_found_again_from_its_words_and_from_json(name):
    preset = PRESETS[name]
    assert Augment.parse(str(preset)) == preset
    assert Augment.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_the_lecture_turns_by_ten_degrees_and_shifts_by_a_tenth():
    assert PRESETS["lecture"].used == ("rotation", "shift")
    assert (PRESETS["lecture"].rotation, PRESETS["lecture"].shift) == (10, (0.1, 0.1))


def test_digits_are_never_mirrored():
    assert PRESETS["digits"].flip == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rotate=10", r"no augmentation 'rotate'. Did you mean rotation\?"),
        ("photo", r"Did you mean photos\?"),
        ("rotation", "rotation needs a value, such as rotation=10"),
        ("rotation=ten", "rotation=ten is not understood. Write it as rotation=10"),
        ("rotation=1:2", "rotation=1:2 is not understood"),
        ("flip,photos", "photos is a preset and comes first"),
        ("flip=sideways", "no flip 'sideways'; there are none, horizontal"),
        ("rotation=200", "rotation is 0 to 180 degrees, got 200"),
        ("zoom=1.1:0.9", "zoom is two factors above 0 that rise"),
        ("crop=0:1", "crop is two shares of the area above 0"),
        ("crop=0.5,pad=2", "crop and pad both choose the part that is seen"),
        ("cutout=2", "cutout is a share of the side"),
        ("pad=1.5", "pad=1.5 is not understood"),
        ("border=wrap", "border=wrap is not understood"),
        ("brightness=1.5", "brightness is from 0 to 1"),
        ("shear=90", "shear is 0 or more degrees, below 90"),
        ("rotation=nan", "rotation is a number"),
        ("", "no augmentation ''"),
    ],
)
def test_what_makes_no_sense_is_said(text, said):
    with pytest.raises(OptionError, match=said):
        Augment.parse(text)


def test_an_unknown_entry_of_a_file_is_refused():
    with pytest.raises(OptionError, match="no augmentation hue; there are rotation"):
        Augment.from_dict({"hue": 0.1})


def test_only_takes_one_option_and_the_border():
    assert PRESETS["small"].only("flip") == Augment(flip="horizontal", border="reflect")


def test_nothing_returns_the_very_numbers():
    images = torch.rand(3, 2, 5, 7)
    assert Augment().nothing
    assert torch.equal(Augment().apply(images, torch.Generator()).images, images)


def test_apply_takes_one_number_from_the_generator_and_depends_on_nothing_else():
    images = torch.rand(4, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    augment = Augment.parse("digits,brightness=0.3,cutout=0.3,mixup=0.4")
    first, second = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    before = images.clone()
    one, two = (augment.apply(images, lot) for lot in (first, second))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, augment.apply(images, first).images)
    assert torch.equal(images, before)
