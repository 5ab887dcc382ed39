"""Confusions against scikit-learn's counts, mistakes against the logits, explanations against Grad-CAM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from lenses.small_atlas import make_network, small_atlas
from striate.errors import AtlasError, OptionError
from striate.lenses import confusions, grad_cam

COUNT = 60


@pytest.fixture(scope="module")
def atlas(network, images, tmp_path_factory):
    labels = [index % 3 if index % 7 else -1 for index in range(COUNT)]
    return small_atlas(tmp_path_factory.mktemp("atlas") / "a", network, images, labels=labels)


@pytest.fixture(scope="module")
def found(network, atlas):
    return confusions(network, atlas, worst=5)


def test_counts_and_figures_are_those_of_scikit_learn(atlas, found):
    labels, said = np.asarray(atlas.labels), np.asarray(atlas.predictions)
    known = labels >= 0
    np.testing.assert_array_equal(found.counts, confusion_matrix(labels[known], said[known], labels=range(3)))
    figures = found.figures()
    recall = recall_score(labels[known], said[known], average=None, labels=range(3))
    np.testing.assert_allclose([one.recall for one in figures], recall)
    precision = precision_score(labels[known], said[known], average=None, labels=range(3), zero_division=np.nan)
    np.testing.assert_allclose([one.precision for one in figures], precision)
    assert found.right == (labels == said)[known].sum()


def test_pairs_are_all_that_is_off_the_diagonal(found):
    pairs = found.pairs()
    assert sum(pair.times for pair in pairs) == found.total - found.right
    assert [pair.times for pair in pairs] == sorted((pair.times for pair in pairs), reverse=True)
    first = pairs[0]
    assert first.share == pytest.approx(first.times / found.counts[first.true].sum())
    assert f"{found.name(first.true)} is taken for {found.name(first.said)}" in found.caption()


def test_the_worst_mistakes_have_the_largest_loss(network, images, atlas, found):
    chance = network(images).double().softmax(1).numpy()
    labels = np.asarray(atlas.labels)
    wrong = np.flatnonzero((chance.argmax(1) != labels) & (labels >= 0))
    loss = -np.log(chance[wrong, labels[wrong]])
    order = wrong[np.argsort(-loss)][:5]
    assert [one.picture for one in found.mistakes] == order.tolist()
    for one in found.mistakes:
        assert one.loss == pytest.approx(-np.log(chance[one.picture, one.true]), rel=1e-4)
        assert one.probability == pytest.approx(chance[one.picture].max(), rel=1e-4)
        np.testing.assert_array_equal(one.pixels, network.spec.pixels(images[one.picture][None])[0])


def test_explanations_are_grad_cams(network, images, found):
    for one in found.mistakes:
        for shown, index in ((one.for_said, one.said), (one.for_true, one.true)):
            alone = grad_cam(network, images[one.picture][None], index, layer=found.layer)
            np.testing.assert_allclose(shown, alone.scores[0].numpy(), rtol=1e-4, atol=1e-7)


def test_what_is_seen_can_be_kept(network, atlas, found, tmp_path):
    for suffix in ("png", "json", "npz"):
        assert found.save(tmp_path / f"found.{suffix}").stat().st_size > 0
    assert len(found.drawings()) == 5
    plain = confusions(network, atlas, worst=0)
    assert plain.mistakes == ()
    plain.save(tmp_path / "plain.png")
    bare = confusions(network, atlas, worst=2, explain=False)
    assert bare.layer == ""
    assert all(one.for_said is None and one.pixels is not None for one in bare.mistakes)
    bare.save(tmp_path / "bare.png")


def test_pictures_that_are_gone_are_named(network, images, tmp_path):
    gone = small_atlas(tmp_path / "a", network, images, keep=False)
    found = confusions(network, gone, worst=5)
    assert all(one.pixels is None for one in found.mistakes)
    assert found.recipe.notes[0].startswith("5 pictures cannot be shown any more (the first: picture ")
    found.save(tmp_path / "gone.png")


def test_many_classes_show_those_that_are_confused(network, atlas, found, tmp_path):
    from dataclasses import replace

    counts = np.zeros((300, 300), np.int64)
    counts[np.arange(300), np.arange(300)] = 5
    counts[7, 200] = counts[201, 3] = 4
    many = replace(found, counts=counts, class_names=tuple(f"kind {index}" for index in range(300)), mistakes=())
    assert many.chosen().tolist() == [3, 7, 200, 201]
    many.save(tmp_path / "many.png")


def test_an_atlas_that_cannot_be_judged(network, images, tmp_path):
    with pytest.raises(AtlasError, match="has no labels, so nothing in it is right or wrong"):
        confusions(network, small_atlas(tmp_path / "a", network, images, labels=None))
    with pytest.raises(AtlasError, match="are not the classes of the network"):
        confusions(network, small_atlas(tmp_path / "b", network, images, label_names=["x", "y", "z"]))
    with pytest.raises(OptionError, match="worst must be 0 or more, got -1"):
        confusions(network, tmp_path / "a", worst=-1)


def test_names_come_from_the_labels_where_the_network_has_none(images, tmp_path):
    unnamed = make_network()
    unnamed.class_names = None
    made = small_atlas(tmp_path / "a", unnamed, images)
    made.label_names, made.labels_are_classes = ("ape", "bear", "cat"), True
    assert confusions(unnamed, made, explain=False).class_names == ("ape", "bear", "cat")


def test_a_network_that_takes_one_picture_at_a_time_gives_the_same(network, atlas, found):
    single = make_network()
    single.one_by_one = True
    one_by_one = confusions(single, atlas, worst=5)
    assert len(one_by_one.mistakes) == len(found.mistakes) == 5
    for mine, right in zip(one_by_one.mistakes, found.mistakes, strict=True):
        np.testing.assert_array_equal(mine.pixels, right.pixels)
        np.testing.assert_allclose(mine.for_said, right.for_said, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(mine.for_true, right.for_true, rtol=1e-4, atol=1e-6)


def test_both_classes_of_a_mistake_are_named_however_long_their_names(found):
    names = tuple(f"a very long name of the class with number {index}" for index in range(3))
    for shown in (replace(found, class_names=names), replace(found, class_names=names, layer="")):
        one = shown.mistakes[0] if shown.layer else replace(shown.mistakes[0], for_said=None, for_true=None)
        lines = shown._lines(one, 70 if shown.layer else 24)
        assert f"{one.said} (" in lines[0]
        assert f"{one.true}, loss {one.loss:.2g}"[:10] in " ".join(lines)
        assert max(map(len, lines)) <= (70 if shown.layer else 24)
