"""Lenses read from their source."""

from __future__ import annotations

import ast
import gc
import inspect
import time
import types
import typing
from concurrent.futures import ThreadPoolExecutor

import pytest

from striate import registry
from striate.errors import OptionError
from striate.registry import LENSES, describe, function, names

SHIFT = '''
"""A lens for these tests."""
from typing import Literal
import numpy as np
from striate.lenses._lens import lens

Rule = Literal["left", "right"]
STEPS = 50

@lens
def shift(
    network: Network,
    images: Images,
    target: Target = None,
    *,
    rule: Rule = "left",
    steps: int = STEPS,
    noise: float = 0.15,
    baseline: Literal["black", "mean"] | float = "mean",
    relu: bool = True,
    chunk: int | None = None,
    layers: "Sequence[str] | str | None" = None,
    seed: int,
    generator: torch.Generator | None = None,
    span: float = 2 * np.pi,
) -> Heatmap:
    """Shift what is seen, by
    as much as asked.

    A paragraph on why.

    And another.

    Args:
        network: the network.
        images: shape (N, C, H, W).
        rule: where to; "left" or
            "right".
        steps: how many.
        seed: of the noise: any number.

    Returns:
        The heat map.

    Source: nobody.
    """
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shift.py").write_text(SHIFT)
    (tmp_path / "misnamed.py").write_text("def other(network): ...\n")
    (tmp_path / "_lens.py").write_text("def _lens(function): ...\n")
    (tmp_path / "plain.py").write_text("def plain(network, layer=None): ...\n")
    return tmp_path


def test_a_lens_is_a_public_file_with_a_function_of_its_name(folder):
    assert names(folder) == ["plain", "shift"]


def test_docstring_is_split(folder):
    info = describe("shift", folder)
    assert info.summary == "Shift what is seen, by as much as asked."
    assert info.doc == "A paragraph on why.\n\nAnd another."
    helps = {option.name: option.help for option in info.options}
    assert helps["rule"] == 'where to; "left" or "right".'
    assert helps["seed"] == "of the noise: any number."
    assert helps["noise"] == ""


def test_needs_are_what_it_is_given(folder):
    info = describe("shift", folder)
    assert info.needs == {"images", "target", "layer"}
    assert info.required == {"images"}
    assert describe("plain", folder).needs == {"layer"}
    assert describe("plain", folder).target is None


def test_options_by_hand(folder):
    options = {option.name: option for option in describe("shift", folder).options}
    # the generator is no text, so it is no option
    assert list(options) == ["rule", "steps", "noise", "baseline", "relu", "chunk", "layers", "seed", "span"]
    seen = {name: (option.type, option.choices, option.default) for name, option in options.items()}
    assert seen == {
        "rule": ("choice", ("left", "right"), "left"),
        "steps": ("int", None, 50),
        "noise": ("float", None, 0.15),
        "baseline": ("str", ("black", "mean"), "mean"),
        "relu": ("bool", None, True),
        "chunk": ("int", None, None),
        "layers": ("str", None, None),
        "seed": ("int", None, None),
        "span": ("float", None, "2 * np.pi"),
    }
    assert [name for name, option in options.items() if option.required] == ["seed"]
    assert [name for name, option in options.items() if option.many] == ["layers"]
    assert not any(option.objects for option in options.values())
    assert options["chunk"].annotation == "int | None"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", " 12 ", 12),
        ("noise", "1", 1.0),
        ("noise", "1e-3", 0.001),
        ("baseline", "0.5", 0.5),
        ("baseline", "black", "black"),
        ("relu", "no", False),
        ("relu", "True", True),
        ("layers", "layer4.1", "layer4.1"),
    ],
)
def test_text_becomes_a_value(folder, name, text, value):
    option = next(option for option in describe("shift", folder).options if option.name == name)
    parsed = option.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("steps", "1.5", r"steps is a whole number, got '1\.5'\."),
        ("rule", "lfet", r"rule is one of left, right, got 'lfet'\. Did you mean left\?"),
        ("baseline", "blakc", r"baseline is a number or one of black, mean, got 'blakc'\. Did you mean black\?"),
        ("relu", "maybe", r"relu is yes or no, got 'maybe'\."),
    ],
)
def test_wrong_text_says_what_is_right(folder, name, text, message):
    option = next(option for option in describe("shift", folder).options if option.name == name)
    with pytest.raises(OptionError, match=message):
        option.parse(text)


def test_unknown_lens_is_answered_with_the_nearest(folder):
    with pytest.raises(OptionError, match=r"no lens is called 'shfit'\. Did you mean shift\? Lenses: plain, shift\."):
        describe("shfit", folder)


def test_choices_are_followed_into_other_modules(tmp_path):
    source = "from striate.registry import Kind as Sort\ndef far(network, *, kind: Sort | None = None): ...\n"
    (tmp_path / "far.py").write_text(source)
    (option,) = describe("far", tmp_path).options
    assert option.choices == typing.get_args(registry.Kind)


def test_beside_a_choice_something_that_no_text_stands_for(tmp_path):
    source = "class Own: ...\ndef far(network, *, kind: Literal['a', 'b'] | Own = 'a'): ...\n"
    (tmp_path / "far.py").write_text(source)
    (option,) = describe("far", tmp_path).options
    assert (option.type, option.choices, option.objects) == ("choice", ("a", "b"), True)


# --- the lenses that there are


def test_every_public_file_is_a_lens():
    assert names() == sorted(path.stem for path in LENSES.glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", names())
def test_lens_explains_itself(name):
    info = describe(name)
    assert info.summary.endswith(".")
    for option in info.options:
        assert option.help, f"{name}: the docstring says nothing of {option.name}"
        assert not isinstance(option.default, str) or option.type in ("str", "choice")


@pytest.mark.parametrize("name", names())
def test_source_and_function_agree(name):
    """Two independent ways to the same options: the text of the file, and Python's own inspection."""
    info = describe(name)
    lens = function(name)
    assert lens.__name__ == name
    signature = inspect.signature(lens)
    hints = typing.get_type_hints(inspect.unwrap(lens))
    for option in info.options:
        parameter = signature.parameters[option.name]
        assert option.required == (parameter.default is inspect.Parameter.empty)
        if not option.required:
            assert option.default == parameter.default
        if option.choices is not None:
            assert option.choices == tuple(words(hints[option.name]))


def test_an_option_is_the_same_thing_in_all_lenses():
    """One name for one idea: `layer` is one address, `layers` several, `top` and `units` are whole numbers."""
    found: dict[str, dict[tuple, list[str]]] = {}
    for name in names():
        for option in describe(name).options:
            found.setdefault(option.name, {}).setdefault((option.kinds, option.many), []).append(name)
    assert not {name: kinds for name, kinds in found.items() if len(kinds) > 1}
    assert [many for _, many in found["layer"]] == [False]
    assert [many for _, many in found["layers"]] == [True]


@pytest.mark.parametrize(
    ("option", "default"),
    [("seed", 0), ("chunk", None), ("placement", "centres"), ("recipe", "lucid"), ("beside", "guided"), ("relu", True)],
)
def test_an_option_has_the_same_default_in_all_lenses(option, default):
    lenses = [one for name in names() for one in describe(name).options if one.name == option]
    assert len(lenses) > 1
    assert {one.default for one in lenses} == {default}


def test_editors_know_every_lens():
    tree = ast.parse((LENSES / "__init__.py").read_text(encoding="utf-8"))
    known = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("striate.lenses.")
        for alias in node.names
    ]
    assert known == names()


def words(hint: object) -> list[str]:
    """Return the words of all `Literal`s in a type."""
    if typing.get_origin(hint) is typing.Literal:
        return [str(word) for word in typing.get_args(hint)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [word for part in typing.get_args(hint) for word in words(part)]
    return []


@pytest.fixture
def collecting():
    """Let other threads go on whenever garbage is collected, and collect often: also in the middle of parsing."""

    def wait(*_):
        time.sleep(0)

    usual = gc.get_threshold()
    gc.callbacks.append(wait)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*usual)
    gc.callbacks.remove(wait)


@pytest.mark.usefixtures("collecting")
def test_many_threads_may_ask_at_once():
    """Python 3.11 counts the depth of what it parses over all threads, and fails where two parse at a time."""
    known = names()
    registry._source.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: names(), range(4))) == [known] * 4


def test_a_parse_that_another_library_disturbs_is_tried_again(monkeypatch):
    parse, left = ast.parse, iter([True, True, False])

    def disturbed(*words, **options):
        if next(left, False):
            raise SystemError("AST constructor recursion depth mismatch (before=42, after=50)")
        return parse(*words, **options)

    registry._source.cache_clear()
    monkeypatch.setattr(ast, "parse", disturbed)
    assert "saliency" in names()
