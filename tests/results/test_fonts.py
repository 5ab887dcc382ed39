from __future__ import annotations

import matplotlib

from striate.results._fonts import writable
from striate.results._gallery import blank, figure_png, text


def test_letters_of_the_usual_font_stay_with_it(monkeypatch):
    assert writable("tabby $x_1$") == ("tabby $x_1$", ["sans-serif"])
    assert writable("Łódź à 5 × 5", "monospace") == ("Łódź à 5 × 5", ["monospace"])


def test_other_letters_get_a_font_that_has_them_or_a_mark():
    words, families = writable("cat 猫")
    assert words in ("cat 猫", "cat �")
    assert (len(families) == 2) == (words == "cat 猫")


def test_nothing_is_said_on_drawing_them():
    # a private letter that no font has; matplotlib would warn, and warnings are errors here
    figure = blank(2, 1)
    text(figure, 0.1, 0.1, "猫 \ue123 ตัว", size=8)
    assert figure_png(figure, {}).startswith(b"\x89PNG")
    assert matplotlib.rcParams["font.family"] == ["sans-serif"]
