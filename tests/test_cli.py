"""The command line, from the words typed to what is printed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from lightness import every_command, promise_light_help
from striate import registry
from striate.cli import main, striate
from striate.cli.layers import HEADINGS, describe_field, describe_kernel, short
from striate.cli.source import Source, source_options
from striate.geometry import Field, Span

FACTORY = '''
from torch import nn

class Split(nn.Module):
    """Two ways that meet in a sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.left = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.right = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        maps = self.relu(self.first(images))
        return self.head(self.pool(self.left(maps) + self.right(maps)).flatten(1))

def make():
    return Split()
'''


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> list[str]:
    """The words that name a small network: its weights, what builds it, and what it takes."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("split")
    (folder / "split.py").write_text(FACTORY)
    (folder / "names.txt").write_text("left\nright\nneither, none\n\n")
    space: dict[str, object] = {}
    exec(FACTORY, space)
    torch.manual_seed(0)
    save_file(space["make"]().state_dict(), folder / "split.safetensors")
    words = f"--factory {folder}/split.py:make --class-names {folder}/names.txt --channels 1 --height 12 --width 16"
    return [f"{folder}/split.safetensors", *words.split(), "--mean", "0.5", "--std", "0.25"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two small grey pictures in a folder."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for name, step in (("a", 3), ("b", 7)):
        Image.frombytes("L", (16, 12), bytes(step * index % 256 for index in range(192))).save(folder / f"{name}.png")
    return folder


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, its output piped."""
    command = [sys.executable, "-m", "striate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


# --- help, without torch


def test_help_imports_no_torch():
    asked = [f"{words} --help".strip() for words in every_command(striate)]
    assert {"--help", "train --help", "atlas build --help", "lens saliency --help"} <= set(asked)
    promise_light_help([*asked, "--version", "demo -h", "saliency --help", "grad-cam --help"])


def test_examples_in_a_help_stand_line_by_line(capsys):
    for words in every_command(striate):
        assert main([*words.split(), "--help"]) == 0
        assert "\\b" not in capsys.readouterr().out, words  # click's mark must not be seen
    main(["kernels", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert "  striate kernels cat.jpg --gradient" in lines
    assert "  striate kernels --kernel laplacian --matrix 6x6" in lines


def test_version(capsys):
    from striate import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"striate {__version__}\n"


@pytest.mark.parametrize("name", registry.names())
def test_options_of_a_lens_are_in_its_help(name, capsys):
    assert main(["lens", name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert registry.describe(name).summary.split()[0] in shown
    for option in registry.describe(name).options:
        assert f"--{option.name.replace('_', '-')}" in shown


def test_no_option_of_a_lens_hides_one_of_the_source():
    common = {"out", "help", "words", "source", *Source.__dataclass_fields__}
    for name in registry.names():
        assert not common & {option.name for option in registry.describe(name).options}


def test_every_field_of_a_source_is_an_option():
    import click

    @click.command()
    @source_options
    def nothing(source: Source) -> None:
        del source

    assert {parameter.name for parameter in nothing.params} == set(Source.__dataclass_fields__)


# --- errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["look"], r"Missing argument 'SOURCE'.*\nHelp: striate look --help"),
        (["lock"], r"No such command 'lock'. Did you mean look\?"),
        (["salency"], r"No such command 'salency'. Did you mean saliency\?"),
        (["lens", "salency"], r"no lens is called 'salency'"),
        (["look", "efficientnet_lite0", "gone.png"], r"gone\.png"),
        (["layers", "no-such-network"], r"no-such-network"),
        (["layers", "x.pt", "--mean", "a,b"], r"'a,b' is no list of numbers such as"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_error_is_for_people(words, message, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert re.match(r"error: ", shown.err)
    assert re.search(message, shown.err, re.DOTALL)
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_input_must_be_described_in_full(split, capsys):
    """A network of one channel cannot go with the mean of three."""
    words = ["0.1,0.2,0.3" if word == "0.5" else word for word in split]
    assert main(["layers", *words]) == 2
    assert re.search(r"mean has 3 values for 1 channels", capsys.readouterr().err)


def test_error_in_a_process_of_its_own():
    done = run("look", "efficientnet_lite0", "gone.png")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    import striate.images

    def broken(paths):
        raise ZeroDivisionError

    monkeypatch.setattr(striate.images, "find_images", broken)
    with pytest.raises(ZeroDivisionError):
        main(["look", "efficientnet_lite0", "gone.png"])


@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "Stopped"])
def test_stopping_is_no_error(monkeypatch, capsys, stop):
    import striate.images
    from striate.errors import Stopped

    def stopped(paths):
        raise Stopped("asked to") if stop == "Stopped" else KeyboardInterrupt

    monkeypatch.setattr(striate.images, "find_images", stopped)
    assert main(["look", "efficientnet_lite0", "gone.png"]) == 130
    assert capsys.readouterr().err.strip() == "stopped"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are not those of Unix")
def test_interrupt_from_the_keyboard(split):
    # a factory that does not end, so that the signal comes while the command is at work
    source, _, factory, *rest = split
    endless = Path(factory.split(":")[0]).with_name("endless.py")
    endless.write_text("import sys, time\ndef make():\n    print('here', flush=True)\n    time.sleep(60)\n")
    command = [sys.executable, "-m", "striate", "layers", source, "--factory", f"{endless}:make", *rest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == "stopped"
    assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="pipes are not those of Unix")
def test_a_reader_that_leaves_is_no_error():
    command = [sys.executable, "-m", "striate", "lens", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# --- the table of layers


def test_table_of_layers(split, capsys):
    assert main(["layers", *split]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", lines[0]) == list(HEADINGS)
    rows = {line.split()[0]: re.split(r" {2,}", line) for line in lines[1:-1]}
    # 12 x 16 halved; 3*3*4 weights + 4 biases; 36 multiply-adds at 48 places
    assert rows["first"] == ["first", "Conv2d", "4 x 6 x 8", "3x3 /2 p1", "40", "1.73 k", "3 px /2 @ 0 exact"]
    # dilated to 5 units, 2 pixels apart: 3 + 4*2
    assert rows["left"] == ["left", "Conv2d", "4 x 6 x 8", "3x3 p2 d2 g2", "76", "3.46 k", "11 px /2 @ 0 exact"]
    assert rows["head"][1:3] == ["Linear", "3"]
    assert rows["head"][-1] == "whole input"
    assert any(re.search(r"^  of left and right$", line) for line in lines)
    assert re.match(
        r"6 layers and \d+ operations?, 151 parameters, .* mult-adds for a picture of 1 x 12 x 16", lines[-1]
    )
    assert max(map(len, lines)) <= 100
    assert not re.search(r"\x1b", "".join(lines))


def test_layers_as_json(split, capsys):
    assert main(["layers", *split, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["parameters"] == 40 + 76 + 20 + 15
    layers = {row["address"]: row for row in table["layers"] if not row["functional"]}
    assert layers["first"]["multiply_adds"] == 9 * 4 * 48
    assert layers["first"]["field"] == {
        "status": "exact",
        "size": [3, 3],
        "stride": [2.0, 2.0],
        "first_centre": [0.0, 0.0],
    }
    (add,) = [row for row in table["layers"] if row["kind"] == "add"]
    assert [table["layers"][index]["address"] for index in add["inputs"]] == ["left", "right"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (99_949, "99.9 k"),
        (99_950, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (118_013_952, "118 M"),
        (5_607_000_000, "5.61 G"),
        (2 * 10**12, "2.00 T"),
    ],
)
def test_three_digits(number, text):
    assert short(number) == text


def span(jump: float, low: float, high: float, **more: object) -> Span:
    return Span(Fraction(jump), Fraction(low), Fraction(high), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("vertical", "horizontal", "text"),
    [
        (span(8, -14, 20), span(8, -14, 20), "35 px /8 @ 3 exact"),
        (span(0, 0, 27), span(0, 0, 27), "28 px @ 13.5 exact"),  # a flattened map
        (span(8, -14, 21), span(4, 0, 9), "36 x 10 px /8x4 @ 3.5, 4.5 exact"),
        (span(2, 0, 2, exact=False), span(2, 0, 2), "3 px /2 @ 1 bound"),
        (span(0, -5, 300), span(0, -5, 300), "whole input"),
        (span(1, 0, 0, known=False), span(1, 0, 0), "unknown"),
    ],
)
def test_field_in_words(vertical, horizontal, text):
    assert describe_field(Field(vertical, horizontal, (224, 224))) == text


def test_kernel_in_words():
    from striate.trace import Row

    field = Field(span(1, 0, 0), span(1, 0, 0), (8, 8))
    row = Row("a", "Conv2d", False, (1, 8, 8, 8), field, (-1,), (3, 5), (2, 1), (1, 2), (1, 1), 32)
    assert describe_kernel(row) == "3x5 /2x1 p1x2 g32"
    assert describe_kernel(Row("b", "add", True, (1, 8, 8, 8), field, (-1, 0))) == ""


# --- lenses and the report


def test_lens_prints_a_caption_and_the_path_last(split, pictures, tmp_path, capsys):
    out = tmp_path / "new" / "map.png"
    words = ["lens", "saliency", *split, str(pictures), "--rule", "guided", "--target", "class:left", "--out", str(out)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(out)
    assert [line.split()[0:2] for line in lines[1:3]] == [["a.png", "class:left"], ["b.png", "class:left"]]
    assert out.read_bytes().startswith(b"\x89PNG")


def test_lens_without_pictures(split, tmp_path, capsys):
    assert main(["lens", "filters", *split, "--layer", "left", "--out", str(tmp_path / "filters.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 filters of 3 x 3")
    assert lines[-1].endswith("filters.json")
    assert json.loads((tmp_path / "filters.json").read_text(encoding="utf-8"))["recipe"]["options"] == {"layer": "left"}


def test_lens_equals_the_call_in_python(split, pictures, tmp_path):
    import numpy as np

    import striate

    out = tmp_path / "map.npz"
    paths = [pictures / "a.png", pictures / "b.png"]
    chosen = ["--target", "class:left", "--target", "class:2", "--signed", "--rule", "guided"]
    assert main(["lens", "saliency", *split, *map(str, paths), *chosen, "--out", str(out)]) == 0
    source, _, factory, *_ = split
    spec = striate.InputSpec(channels=1, height=12, width=16, mean=(0.5,), std=(0.25,))
    network = striate.load(source, factory=factory, spec=spec, class_names=["left", "right", "neither, none"])
    result = striate.lenses.saliency(network, paths, ["class:left", 2], rule="guided", signed=True)
    with np.load(out) as saved:
        for name, values in result.arrays().items():
            np.testing.assert_array_equal(saved[name], values)


def test_wrong_value_of_a_lens_option_is_named(split, pictures, capsys):
    assert main(["lens", "saliency", *split, str(pictures), "--rule", "giuded"]) == 2
    assert re.search(r"'--rule'.*Did you mean guided\?", capsys.readouterr().err)


def test_unknown_suffix_is_refused_before_the_work(split, pictures, tmp_path, capsys):
    assert main(["lens", "saliency", "no-such-network", str(pictures), "--out", str(tmp_path / "map.jpg")]) == 2
    assert re.search(r"map\.jpg: the name must end in one of \.png, \.json, \.npz", capsys.readouterr().err)


def test_look_writes_a_report(split, pictures, tmp_path, capsys):
    assert main(["look", *split, str(pictures), "--out", str(tmp_path / "seen")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert Path(shown[-1]) == tmp_path / "seen" / "report.html"
    assert "<html" in (tmp_path / "seen" / "report.html").read_text(encoding="utf-8")
    json.loads((tmp_path / "seen" / "results.json").read_text(encoding="utf-8"))


def test_look_without_trust(split, pictures, tmp_path, capsys):
    assert main(["look", *split, str(pictures), "--no-trust", "--out", str(tmp_path / "seen")]) == 0
    assert "randomisation" not in json.loads((tmp_path / "seen" / "results.json").read_text())["results"]


def test_trust_says_all_of_each_lens_and_the_paths_last(split, pictures, tmp_path, capsys):
    out = tmp_path / "new" / "trust"
    lenses = ["--lens", "saliency", "--lens", "grad_cam:layer=left,relu=no"]
    words = ["trust", *split, str(pictures), *lenses, "--target", "class:left", "--steps", "4", "--box", "0,0,11,7"]
    assert main([*words, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")][:2] == ["saliency", "grad_cam:layer=left,relu=no"]
    assert re.match(r"  a\.png  class:left  Deletion 0\.\d\d, insertion 0\.\d\d\.", lines[1])
    assert re.search(r"it lies in the place, which covers 0\.50 of the picture", lines[2])
    assert re.search(r"(C|Hardly c)hanges when the top layer of the network gets random weights", lines[5])
    assert re.search(r"noise of 5.1 of 255 levels", lines[6])
    names = ["curves.png", "randomisation.png", "agreement.png", "pointing.png", "trust.json"]
    assert lines[-5:] == [str(out / name) for name in names]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in names[:-1])
    numbers = json.loads((out / "trust.json").read_text(encoding="utf-8"))
    assert numbers["pictures"] == ["a.png", "b.png"]
    assert numbers["maps"]["grad_cam:layer=left,relu=no"]["options"]["layer"] == "left"
    assert numbers["curves"]["recipe"]["options"]["steps"] == 4
    assert [stage["down_to"] for stage in numbers["randomisation"]["stages"]] == ["head", "right", "left", "first"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lens", "salency"], "no lens is called 'salency'"),
        (["--lens", "predictions"], "predictions explains no decision"),
        (["--lens", "saliency:rule=guded"], "Did you mean guided"),
        (["--box", "1,2,3"], "'1,2,3' is no box: give TOP,LEFT,BOTTOM,RIGHT"),
        (["--steps", "0"], "Invalid value for '--steps': 0 is not in the range x>=1."),
        (["--stages", "-1"], "Invalid value for '--stages': -1 is not in the range x>=1."),
        (["--noise", "0"], "Invalid value for '--noise': 0.0 is not in the range x>0."),
    ],
)
def test_trust_refuses_before_the_network_is_loaded(words, message, pictures, capsys):
    assert main(["trust", "no-such-network", str(pictures), *words]) == 2
    assert message in capsys.readouterr().err


def test_trust_knows_where_the_picture_ends(split, pictures, capsys):
    assert main(["trust", *split, str(pictures), "--lens", "saliency", "--box", "0,0,12,15"]) == 2
    assert "rows are 0 to 11 and columns 0 to 15" in capsys.readouterr().err


def test_demo_pictures_come_along():
    from striate.cli.demo import demo_pictures

    paths = demo_pictures()
    assert [path.stem for path in paths] == ["astronaut", "chelsea", "coffee", "rocket"]
    assert all(path.is_file() for path in paths)
