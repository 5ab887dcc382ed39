from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from striate.errors import DataError
from striate.results import Curve, LearningCurves
from striate.results.curves import read_history

HEAD = "epoch,step,seconds,rate,train_loss,train_accuracy,validation_loss,validation_accuracy,pictures_per_second,best"


def course(train, validation=None, accuracy=None, best=None, name="run"):
    validation = [None] * len(train) if validation is None else validation
    accuracy = [None if one is None else 0.5 for one in validation] if accuracy is None else accuracy
    rows = [
        SimpleNamespace(
            epoch=place + 1,
            rate=0.1,
            train_loss=loss,
            train_accuracy=1 - loss / 3,
            validation_loss=held,
            validation_accuracy=right,
            best=place + 1 == best,
        )
        for place, (loss, held, right) in enumerate(zip(train, validation, accuracy, strict=True))
    ]
    return Curve.of(name, rows)


FALLING = [2.0, 1.5, 1.1, 0.8, 0.6, 0.45, 0.34, 0.26, 0.2, 0.15]


def test_over_fitting_is_said_with_its_epoch():
    verdict = course(FALLING, [2.0, 1.6, 1.3, 1.2, 1.25, 1.28, 1.33, 1.36, 1.44, 1.5]).verdict()
    assert (verdict.kind, verdict.since) == ("over-fitting", 4)
    assert verdict.words.startswith(
        "Validation loss rises since epoch 4 (1.2 to 1.5) while training loss falls (0.8 to 0.15): over-fitting."
    )


def test_where_accuracy_grew_all_the_same_it_is_said():
    loss = [2.0, 1.6, 1.3, 1.2, 1.25, 1.28, 1.33, 1.36, 1.44, 1.5]
    words = course(FALLING, loss, [0.3, 0.4, 0.5, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66]).verdict().words
    assert "grew from 60.0 % to 66.0 % all the same" in words
    words = course(FALLING, loss, [0.3, 0.4, 0.5, 0.6, 0.7, 0.62, 0.6, 0.6, 0.6, 0.58]).verdict().words
    assert words.endswith("Validation accuracy was 70.0 % at best and is 58.0 % at the end.")


@pytest.mark.parametrize(
    ("train", "validation", "kind"),
    [
        (FALLING, [2.0, 1.6, 1.3, 1.1, 0.9, 0.8, 0.7, 0.65, 0.6, 0.58], "learning"),
        (FALLING, [2.0, 1.6, 1.3, 1.1, 0.9, 0.8, 0.7, 0.65, 0.67, 0.7], "learning"),  # two epochs are no trend
        (FALLING, [2.0, 1.6, 1.2, 1.25, 1.21, 1.24, 1.21, 1.25, 1.22, 1.23], "stalled"),
        (
            FALLING,
            [2.0, 1.6, 1.2, 1.2001, 1.2002, 1.2003, 1.2004, 1.2005, 1.2006, 1.2007],
            "stalled",
        ),  # next to nothing
        ([2.3, 2.31, 2.3, 2.32, 2.3, 2.31], [2.3, 2.31, 2.32, 2.31, 2.3, 2.29], "nothing learned"),
        ([1.8, 1.0, 1.1, 0.9, 0.95], [1.5, 1.2, 1.3, 1.25, 1.1], "learning"),  # too few for a trend, but down by half
        (FALLING[:3], [2.0, 1.5, 1.2], "too short"),
        (FALLING[:1], [2.0], "too short"),
        (FALLING, None, "no validation"),
    ],
)
def test_other_courses_are_told_apart(train, validation, kind):
    assert course(train, validation).verdict().kind == kind


def test_training_that_does_not_fall_is_no_over_fitting():
    # the network falls apart: both losses rise
    train = [2.0, 1.0, 0.9, 1.1, 1.3, 1.6, 1.9, 2.2]
    assert course(train, [2.0, 1.1, 1.0, 1.2, 1.4, 1.7, 2.0, 2.3]).verdict().kind != "over-fitting"


def test_scatter_alone_is_rarely_called_over_fitting():
    # a training that learns on, validation losses that scatter about a level: 5 % by the test's own promise
    random = np.random.default_rng(0)
    train = np.linspace(2, 0.1, 30)
    called = [course(train, list(1 + 0.1 * random.normal(size=30))).verdict().kind for _ in range(250)]
    assert called.count("over-fitting") / 250 < 0.07


def test_a_slow_rise_under_scatter_is_found():
    random = np.random.default_rng(0)
    train = np.linspace(2, 0.1, 30)
    level = np.concatenate([np.linspace(2, 1, 10), np.linspace(1, 1.3, 20)])
    called = [course(train, list(level + 0.03 * random.normal(size=30))).verdict().kind for _ in range(50)]
    assert called.count("over-fitting") >= 48


def test_the_verdict_does_not_hang_on_the_size_of_the_losses():
    validation = [2.0, 1.6, 1.3, 1.2, 1.25, 1.28, 1.33, 1.36, 1.44, 1.5]
    kinds = {
        course([factor * one for one in FALLING], [factor * one for one in validation]).verdict().kind
        for factor in (1e-3, 1, 100)
    }
    assert kinds == {"over-fitting"}


def test_epochs_that_were_not_validated_are_passed_over(tmp_path):
    validation = [None, 2.0, None, 1.2, None, 1.25, None, 1.3, None, 1.4, None, 1.5]
    curve = course(np.linspace(2, 0.1, 12), validation, best=4)
    assert curve.validated.tolist() == [1, 3, 5, 7, 9, 11]
    assert curve.verdict().since == 4
    LearningCurves((curve,)).save(tmp_path / "curves.png")


def test_one_and_several_are_drawn(tmp_path):
    first = course(FALLING, [one + 0.1 for one in FALLING], best=10)
    held = LearningCurves((first,))
    assert held.caption().startswith("Best of 10 epochs is epoch 10: validation accuracy 50.0 %, loss 0.25.")
    for suffix in ("png", "json", "npz"):
        held.save(tmp_path / f"curves.{suffix}")
    several = LearningCurves((first, course(FALLING[:1], [1.0], name="Übung $x_1$ 猫"), course(FALLING, name="c")))
    several.save(tmp_path / "several.png")
    assert "Übung $x_1$ 猫: validation loss was lowest at epoch 1 of 1" in several.caption()
    assert set(several.arrays()) >= {"0_train_loss", "2_validation_loss"}


def test_losses_far_apart_get_a_logarithmic_axis():
    held = LearningCurves((course([3.0, 0.5, 0.001], [3.0, 1.0, 0.9]),))
    assert [axes.get_yscale() for axes in held.figure().axes][-2:] == ["log", "linear"]


def test_a_history_is_read_from_its_file(tmp_path):
    (tmp_path / "history.csv").write_text(
        f"{HEAD}\n1,10,1.5,0.1,2.0,0.2,1.9,0.25,100,1\n2,20,3.0,0.05,1.5,0.4,,,100,0\n", encoding="utf-8"
    )
    curve = read_history(tmp_path)
    assert curve.name == tmp_path.name
    assert curve.best == 1
    np.testing.assert_array_equal(curve.validation_loss, [1.9, np.nan])
    np.testing.assert_array_equal(curve.train_accuracy, [0.2, 0.4])
    assert read_history(tmp_path / "history.csv", name="other").name == "other"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no history yet"),
        (f"{HEAD}\n", "no history yet"),
        (f"{HEAD}\n1,10,1.5,0.1,much,0.2,1.9,0.25,100,1\n", "no history of a training"),
        (f"{HEAD}\n1,10\n", "no history of a training"),
        ("a,b\n1,2\n", "no history of a training"),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path, text, why):
    (tmp_path / "history.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=why):
        read_history(tmp_path)


def test_a_folder_without_a_history_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"history\.csv cannot be read .* striate train makes one"):
        read_history(tmp_path)


def test_one_epoch_without_validation_pictures_is_told_plainly():
    one = course([1.5])
    assert one.verdict().words.startswith("Training loss is 1.5. Without validation pictures")
    assert "validation" not in {text.get_text() for text in LearningCurves((one,)).figure().texts}


def test_a_transfer_has_no_history_and_says_where_there_are_some(tmp_path):
    (tmp_path / "transfer.json").write_text("{}")
    with pytest.raises(DataError, match=r"was left by a transfer, which has no epochs of its own.*tuning/stages/2"):
        read_history(tmp_path)
