"""A newcomer's day: what README says is done as it stands there, in an empty folder, by README alone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from striate.cli import striate as group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


PAGES = [README, *((page).read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
LINES = [line for page in PAGES for line in re.findall(r"^striate .*", page, flags=re.MULTILINE)]


@pytest.mark.parametrize("line", LINES)
def test_every_command_is_spelt_as_the_command_line_has_it(line):
    """Command, options and choices; the files that it names need not be there."""
    command: click.Command = group
    words, context = shlex.split(line, comments=True)[1:], None
    while isinstance(command, click.Group):
        context = command.make_context("striate", words, parent=context)
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        command = found
    try:
        command.make_context("striate", words, parent=context)
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise


def test_the_units_that_pages_ask_an_atlas_for_are_in_one(lite0):
    """An atlas is built of the convolutions unless other layers are named."""
    from striate.choosing import choose_layers

    held = {layer.address for layer in choose_layers(lite0, None)}
    asked = [word for line in LINES if "--atlas" in line for word in line.split() if re.search(r"[a-z0-9]:\d", word)]
    assert asked
    assert {word.split(":")[0] for word in asked} <= held


@pytest.fixture(scope="module")
def striate() -> str:
    command = shutil.which("striate", path=str(Path(sys.executable).parent))
    assert command is not None, "the command striate is not installed beside this Python"
    return command


@pytest.mark.slow
def test_a_network_of_your_own_is_trained_as_the_page_says(tmp_path, striate, sample_photographs):
    (tmp_path / "net.py").write_text(blocks("python net.py")[0])
    for number, (photograph, _) in enumerate(sample_photographs[:30]):
        (tmp_path / "flowers" / f"kind{number % 5}").mkdir(parents=True, exist_ok=True)
        shutil.copy(photograph, tmp_path / "flowers" / f"kind{number % 5}")
    shutil.copy(sample_photographs[40][0], tmp_path / "daisy.jpg")
    train = next(words for words in commands("striate train") if "net.py:flowers" in words)
    look = next(words for words in commands("striate look own") if "net.py:flowers" in words)
    assert "striate look own PICTURE... --factory net.py:flowers" in run(
        [striate, *train[1:], "--epochs", "1"], tmp_path
    )
    assert "report.html" in run([striate, *look[1:]], tmp_path)


@pytest.mark.slow
def test_your_own_network(tmp_path, striate):
    (tmp_path / "digits.py").write_text(blocks("python digits.py")[0])
    said = run([sys.executable, "digits.py"], tmp_path)
    right = float(re.match(r"(\d+\.\d)% of 1,000 digits", said)[1])
    assert right > 90
    calls = [call for call in commands("striate ") if "digits.safetensors" in call]
    assert len(calls) == 3
    for call in calls:
        run([striate, *call[1:]], tmp_path)
    assert (tmp_path / "unit.png").stat().st_size > 1000
    results = json.loads((tmp_path / "look" / "results.json").read_text())
    assert "digits" in json.dumps(results)[:2000]
    assert "<html" in (tmp_path / "look" / "report.html").read_text()


@pytest.mark.slow
def test_the_lines_of_python(tmp_path, photographs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photographs / "chelsea.png", "cat.jpg")  # a suffix may lie
    shutil.copy(photographs / "coffee.png", "dog.jpg")
    namespace: dict = {}
    exec(blocks("python")[0], namespace)
    assert namespace["heatmap"].scores.shape == (2, 224, 224)
    assert Path("guided.png").exists()


def test_every_file_and_lens_that_is_named_exists():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    from striate import registry

    section = README.split("### Lenses")[1].split("`striate NAME --help")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE)) == set(registry.names())
