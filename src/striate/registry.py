"""What lenses there are and what options they take, read from their source. Imports no lens and no torch.

A lens is a file `lenses/NAME.py` with a function NAME in it. Its signature and docstring are the only place where
its options stand; they are read here as text (`ast`), so that `striate saliency --help`, the page and the
report know them without waiting for torch to be imported.
"""

from __future__ import annotations

import ast
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from striate.errors import OptionError

__all__ = ["LENSES", "Kind", "LensInfo", "Option", "describe", "fields_of", "function", "names"]

LENSES = Path(__file__).parent / "lenses"

Kind = Literal["int", "float", "bool", "str", "choice"]

# What a lens is given rather than told; the rest of its parameters are its options.
_GIVEN = ("images", "target", "atlas")
_SCALARS: dict[str, Kind] = {"int": "int", "float": "float", "bool": "bool", "str": "str", "Path": "str"}
_SEVERAL = {"Sequence", "Iterable", "Collection", "list", "tuple", "set", "frozenset"}
_PARSING = threading.Lock()
_TRIES = 5
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Option:
    """One option of a lens: a parameter that can be given as text.

    Attributes:
        name: as in the signature.
        annotation: its type, as written there.
        type: what a form should offer; "str" when several types are allowed.
        kinds: every type that text is tried as, in this order.
        choices: the words allowed, or None when the option is not (only) a choice of words.
        many: several values may be given.
        required: there is no default.
        default: its value, or its source text where that is not a plain value.
        help: what the docstring says of it.
        objects: in Python something may be given that no text stands for (a tensor, a recipe of one's own).
    """

    name: str
    annotation: str
    type: Kind
    kinds: tuple[Kind, ...]
    choices: tuple[str, ...] | None
    many: bool
    required: bool
    default: Any
    help: str
    objects: bool = False

    @property
    def names_files(self) -> bool:
        """Whether text given for it is the name of a file: a picture, of another kind than what is looked at."""
        return any(word in self.annotation for word in ("PathLike", "Path", "Images"))

    def parse(self, text: str) -> int | float | bool | str:
        """Read one value of this option from text.

        Raises:
            OptionError: the text is none of what the option takes.
        """
        text = text.strip()
        for kind in self.kinds:
            try:
                if kind == "int":
                    return int(text)
                if kind == "float":
                    return float(text)
            except ValueError:
                continue
            if kind == "bool" and text.lower() in _WORDS:
                return _WORDS[text.lower()]
            if kind == "choice" and text in (self.choices or ()):
                return text
            if kind == "str":
                return text
        allowed = {"int": "a whole number", "float": "a number", "bool": "yes or no"}
        allowed["choice"] = f"one of {', '.join(self.choices or ())}"
        hint = get_close_matches(text, self.choices or (), n=1)
        raise OptionError(
            f"{self.name} is {' or '.join(allowed[kind] for kind in self.kinds)}, got {text!r}."
            + (f" Did you mean {hint[0]}?" if hint else "")
        )


@dataclass(frozen=True)
class LensInfo:
    """What a lens says of itself.

    Attributes:
        name: as in `striate.lenses.NAME`.
        summary: first sentence of its docstring.
        doc: the paragraphs after it, up to the arguments.
        needs: what it can be given: a subset of images, target, layer, atlas.
        required: those of them that it cannot do without.
        target: what it says of its target, or None where it takes none.
        options: in the order of the signature.
    """

    name: str
    summary: str
    doc: str
    needs: frozenset[str]
    required: frozenset[str]
    target: Option | None
    options: tuple[Option, ...]


def names(folder: Path = LENSES) -> list[str]:
    """Return the names of all lenses, sorted."""
    return sorted(path.stem for path in _files(folder) if _find_function(path) is not None)


def describe(name: str, folder: Path = LENSES) -> LensInfo:
    """Say what a lens does, needs and takes, without importing it.

    Args:
        name: such as "grad_cam"; "grad-cam" is understood too.
        folder: where the lenses lie.

    Raises:
        OptionError: no lens has this name; the text proposes the nearest and lists all.
    """
    path = folder / f"{_known(name, folder)}.py"
    lens = _find_function(path)
    assert lens is not None  # names() holds only files that have it
    summary, doc, helps = _read_docstring(ast.get_docstring(lens) or "")
    parameters = list(_parameters(lens))[1:]  # the first is the network
    # a layer is both asked for by a page (as a choice of this network's layers) and an option
    places = {**{name: name for name in _GIVEN}, "layer": "layer", "layers": "layer"}
    given = {places[parameter.arg]: default for parameter, default in parameters if parameter.arg in places}
    readable = {
        parameter.arg: option
        for parameter, default in parameters
        if (option := _read_option(parameter, default, helps, path)) is not None
    }
    return LensInfo(
        name=path.stem,
        summary=summary,
        doc=doc,
        needs=frozenset(given),
        required=frozenset(name for name, default in given.items() if default is None),
        target=readable.get("target"),
        options=tuple(option for name, option in readable.items() if name not in _GIVEN),
    )


def fields_of(path: Path, name: str) -> tuple[Option, ...]:
    """Say which fields a dataclass has that can be given as text, without importing it.

    Args:
        path: file in which it is defined.
        name: of the class; its docstring explains the fields under "Attributes:".

    Returns:
        The fields in their order. One whose values have names (`Mapping`) takes several texts, kind "str".
    """
    found = next(node for node in _source(path).body if isinstance(node, ast.ClassDef) and node.name == name)
    _, _, helps = _read_docstring((ast.get_docstring(found) or "").replace("\nAttributes:\n", "\nArgs:\n"))
    options = []
    for node in found.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(node.annotation, ast.Subscript) and ast.unparse(node.annotation.value) == "Mapping":
            annotation, help_text = ast.unparse(node.annotation), helps.get(node.target.id, "")
            options.append(Option(node.target.id, annotation, "str", ("str",), None, True, False, None, help_text))
            continue
        option = _read_option(ast.arg(node.target.id, node.annotation), node.value, helps, path)
        if option is not None:
            options.append(option)
    return tuple(options)


def function(name: str) -> Callable[..., Any]:
    """Import a lens and return it.

    Raises:
        OptionError: no lens has this name.
    """
    name = _known(name, LENSES)
    module = importlib.import_module(f"striate.lenses.{name}")
    return cast(Callable[..., Any], getattr(module, name))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _known(name: str, folder: Path) -> str:
    valid = names(folder)
    if (plain := name.replace("-", "_")) in valid:
        return plain
    close = get_close_matches(plain, valid, n=2)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise OptionError(f"no lens is called {name!r}.{hint} Lenses: {', '.join(valid) or 'none'}.")


@cache
def _source(path: Path) -> ast.Module:
    tree = _parse(path.read_text(encoding="utf-8"), str(path), "exec")
    assert isinstance(tree, ast.Module)
    return tree


def _parse(text: str, name: str, mode: Literal["exec", "eval"]) -> ast.AST:
    """Parse, whoever else is parsing.

    Python 3.11 counts the depth of what it parses for all threads together, and gives up with a SystemError where two
    parse at a time (python/cpython issue 106905). Threads of this module take turns; those of others are tried again.
    """
    with _PARSING:
        for left in reversed(range(_TRIES)):
            try:
                return ast.parse(text, filename=name, mode=mode)
            except SystemError:
                if not left:
                    raise
    raise AssertionError("unreachable")


def _find_function(path: Path) -> ast.FunctionDef | None:
    found = (node for node in _source(path).body if isinstance(node, ast.FunctionDef) and node.name == path.stem)
    return next(found, None)


def _parameters(lens: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield each parameter with the expression of its default, None where it has none."""
    positional = [*lens.args.posonlyargs, *lens.args.args]
    without: list[ast.expr | None] = [None] * (len(positional) - len(lens.args.defaults))
    yield from zip(positional, [*without, *lens.args.defaults], strict=True)
    yield from zip(lens.args.kwonlyargs, lens.args.kw_defaults, strict=True)


def _read_option(parameter: ast.arg, default: ast.expr | None, helps: Mapping[str, str], path: Path) -> Option | None:
    """Describe a parameter, or return None when it cannot be given as text (a tensor, a function)."""
    if parameter.annotation is None:
        return None
    kinds, choices, many, objects = _read_annotation(parameter.annotation, path)
    if not kinds:
        return None
    # one kind is offered as itself, a whole number or fraction as a number, anything more mixed as text
    kind: Kind = kinds[0] if len(kinds) == 1 else "float" if set(kinds) == {"int", "float"} else "str"
    return Option(
        name=parameter.arg,
        annotation=ast.unparse(parameter.annotation),
        type=kind,
        kinds=kinds,
        choices=choices or None,
        many=many,
        required=default is None,
        default=None if default is None else _read_default(default, path),
        help=helps.get(parameter.arg, ""),
        objects=objects,
    )


def _read_annotation(node: ast.expr, path: Path) -> tuple[tuple[Kind, ...], tuple[str, ...], bool, bool]:
    """Return the kinds of text that a type allows, its words, and whether it takes several values, and objects.

    Kinds come narrowest first, so that "0.5" of `Literal["mean"] | float | str` is read as a number.
    """
    kinds: set[Kind] = set()
    choices: list[str] = []
    many = objects = False
    todo = [node]
    while todo:
        part = todo.pop(0)
        match part:
            case ast.BinOp(op=ast.BitOr()):
                todo[:0] = [part.left, part.right]
            case ast.Constant(value=str(text)):  # a quoted annotation
                todo.insert(0, _expression(text, path))
            case ast.Subscript(value=ast.Name(id="Literal"), slice=words):
                elements = words.elts if isinstance(words, ast.Tuple) else [words]
                choices += [str(word.value) for word in elements if isinstance(word, ast.Constant)]
                kinds.add("choice")
            case ast.Subscript(value=ast.Name(id=outer), slice=inner) if outer in ("Optional", "Union", *_SEVERAL):
                many = many or outer in _SEVERAL
                todo[:0] = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            case ast.Name(id=name) if name in _SCALARS:
                kinds.add(_SCALARS[name])
            case ast.Name(id=name) if (found := _resolve(name, path)) is not None:
                inside = _read_annotation(*found)
                kinds.update(inside[0])
                choices += inside[1]
                many, objects = many or inside[2], objects or inside[3]
            case ast.Constant():
                pass  # None, ...
            case _:
                objects = True
    order: tuple[Kind, ...] = ("int", "float", "bool", "choice", "str")
    return tuple(kind for kind in order if kind in kinds), tuple(choices), many, objects


def _expression(text: str, path: Path) -> ast.expr:
    tree = _parse(text, str(path), "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _read_default(node: ast.expr, path: Path) -> Any:
    """Return the value of a default, following the name of a constant; its source where it is not plain."""
    if isinstance(node, ast.Name) and (found := _resolve(node.id, path)) is not None:
        return _read_default(*found)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _resolve(name: str, path: Path) -> tuple[ast.expr, Path] | None:
    """Find what a name of a module stands for, through imports from other modules of this package."""
    for node in _source(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return value, path
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                return value, path
            case ast.ImportFrom(module=str(module), names=imported, level=0) if module.startswith("striate."):
                for alias in imported:
                    if (alias.asname or alias.name) == name:
                        other = Path(__file__).parents[1].joinpath(*module.split("."))
                        files = [other.with_suffix(".py"), other / "__init__.py"]
                        return next((_resolve(alias.name, file) for file in files if file.is_file()), None)
            case _:
                pass
    return None


def _read_docstring(text: str) -> tuple[str, str, dict[str, str]]:
    """Split a docstring into its first sentence, the paragraphs after it, and a text for each argument."""
    summary, _, rest = text.partition("\n\n")
    paragraphs: list[str] = []
    helps: dict[str, str] = {}
    section = name = ""
    for line in rest.splitlines():
        if line and not line[0].isspace():
            section = line if line in ("Args:", "Returns:", "Raises:") or line.startswith("Source:") else ""
        if not section:
            paragraphs.append(line)
        elif section == "Args:" and line.startswith("    "):
            if not line.startswith("     ") and ":" in line:  # a new argument, not the continuation of one
                name, _, line = line.partition(":")
                helps[name.strip()] = line.strip()
            elif name:
                helps[name.strip()] += " " + line.strip()
    return " ".join(summary.split()), "\n".join(paragraphs).strip(), helps
