from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from striate import drawing


def test_a_channels_strength_is_its_mean_or_its_peak(activations):
    maps = torch.zeros(2, 5, 6, 8)
    maps[0, 3] = 0.5  # high everywhere
    maps[0, 1, 4, 7] = 9.0  # high once: mean 9/48
    known = replace(activations, maps={"conv1": maps})
    assert known.strongest("conv1", 0, 2) == [3, 1]
    assert known.strongest("conv1", 0, 2, by="peak") == [1, 3]
    assert known.peak("conv1", 0, 1) == (4, 7, 9.0)


def test_a_channel_that_answers_everywhere_alike_says_little(activations):
    maps = torch.full((2, 5, 6, 8), 6.0)
    maps[:, 2, :, :4] = 0
    assert replace(activations, maps={"conv1": maps}).strongest("conv1", 1, 1, by="spread") == [2]
    vector = activations.maps["head"]
    assert activations.strongest("head", 0, 5, by="spread") == vector[0].argsort(descending=True).tolist()


def test_of_units_that_answer_alike_the_one_among_strong_neighbours_is_the_peak(activations):
    maps = torch.zeros(2, 5, 6, 8)
    maps[0, 0, 0, 0] = 6  # alone in the corner
    maps[0, 0, 2:5, 3:6] = 6
    assert replace(activations, maps={"conv1": maps}).peak("conv1", 0, 0) == (3, 4, 6.0)


def test_one_scale_for_a_layer_signed_where_it_is(activations):
    low, high = activations.scale("conv1")
    assert low == 0.0 < high <= 1.0
    low, high = activations.scale("head")  # means minus one half: some lie below zero
    assert low == -high


def test_a_map_is_drawn_unit_by_unit(activations):
    pixels = activations.picture("conv1", 1, 2, 0.0, 1.0)
    assert pixels.shape == (6, 8, 3)
    np.testing.assert_array_equal(pixels, drawing.magma(activations.maps["conv1"][1, 2].numpy()))


def test_a_layer_without_places_is_a_row_of_cells(activations):
    assert activations.grid("head").shape == (2, 5, 1, 1)
    assert activations.sheet("head", 0).ndim == 3


def test_numbers_know_the_silent_and_the_strongest(activations):
    activations.maps["conv1"][:, 4] = 0
    numbers = activations.numbers()["layers"]["conv1"]
    assert numbers["silent_channels"] == [4]
    assert numbers["share_of_zeros"] == np.float32(0.2)
    assert numbers["chosen"][0] == activations.strongest("conv1", 0, 5, by="spread")
    assert numbers["chosen_maps"]["shape"] == [2, 5, 6, 8]


def test_silence_can_be_drawn(activations):
    silent = replace(activations, maps={"conv1": torch.zeros(2, 5, 6, 8)})
    assert silent.scale("conv1") == (0.0, 0.0)
    pixels = silent.picture("conv1", 0, 0)
    np.testing.assert_array_equal(pixels[0, 0], drawing.magma(np.zeros(1))[0])
    silent.figure()


def test_behind_a_ceiling_a_map_that_is_little_at_it_goes_first(activations):
    maps = torch.zeros(2, 5, 6, 8)
    maps[:, 1, :3] = 6.0  # half floor, half ceiling: the spread is 3, counted for the half below
    maps[:, 3] = torch.linspace(0, 5.9, 48).view(6, 8)  # spread 1.7, all of it below
    known = replace(activations, maps={"conv1": maps})
    assert known.strongest("conv1", 0, 2, by="spread") == [3, 1]
    assert "ceiling" in known.caption()


def test_every_map_on_the_sheet_has_its_number_below(activations):
    sheet = activations.drawings()[0]
    assert [label.words for label in sheet.labels] == [str(channel) for channel in activations.chosen("conv1", 0)]
    assert all(label.words in sheet.caption for label in sheet.labels)
    (written,) = [label for label in sheet.labels if label.left == 0 and label.top < sheet.pixels.shape[0] / 2]
    place = sheet.pixels[written.top : written.top + written.height, : sheet.labels[1].left - 2]
    assert (place == drawing.rgb(drawing.PAPER)).all()
