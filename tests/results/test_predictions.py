from __future__ import annotations

from dataclasses import replace

import torch


def test_the_sentence_a_person_would_say(predictions):
    assert predictions.sentence(0) == "It says tabby (0.83), then tiger cat (0.11) and lynx (0.06)."
    assert predictions.sentence(1) == "It says lynx (>0.99)."


def test_without_names_classes_have_numbers(predictions):
    unnamed = replace(predictions, class_names=())
    assert unnamed.sentence(1) == "It says class 2 (>0.99)."
    assert [drawing.title for drawing in unnamed.drawings()] == ["class:0", "class:2"]


def test_top_is_sorted_and_never_longer_than_the_classes(predictions):
    top = predictions.top(5)
    assert [[index for index, _, _ in row] for row in top] == [[0, 1, 2], [2, 0, 1]]
    assert top[0][0][1] == "tabby"


def test_a_network_of_one_class(predictions):
    one = replace(predictions, logits=torch.zeros(2, 1), probabilities=torch.ones(2, 1), class_names=("it",))
    assert one.sentence(0) == "It says it (>0.99)."
    one.figure()
