"""`striate kernels`, from the words typed to what is printed and written."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from striate import kernels
from striate.cli import main


@pytest.fixture
def out(tmp_path):
    return tmp_path / "sheet.json"


def run(capsys, *words: object) -> tuple[int, str, str]:
    status = main(["kernels", *map(str, words)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out, shown.err


def test_help_shows_what_to_type(capsys):
    status, shown, _ = run(capsys, "--help")
    assert status == 0
    assert "striate kernels cat.jpg --out sheet.png" in shown


def test_the_comparison(capsys, chelsea, out):
    status, shown, _ = run(capsys, chelsea, "--side", 80, "--direction", "up", "--out", out)
    assert status == 0
    assert shown.splitlines()[0].startswith("chelsea.png, 53 x 80 pixels.")
    assert shown.splitlines()[-1] == str(out)
    titles = [one["title"] for one in json.loads(out.read_text())["maps"]]
    assert {"edge up", "sobel up", "prewitt up", "kirsch up", "blur 3", "blur 9", "sharpen 2", "sharpen 8"} <= set(
        titles
    )


@pytest.mark.parametrize(
    ("words", "kernel"),
    [
        ("--kernel blur --size 4x2", kernels.blur((4, 2))),
        ("--kernel gaussian --sigma 1.5", kernels.gaussian(1.5)),
        ("--kernel kirsch --direction up-left --threshold 0.3", kernels.kirsch("up-left")),
        ("--kernel laplacian --neighbours 8", kernels.laplacian(8)),
        ("--kernel sharpen --amount 0.5", kernels.sharpen(0.5)),
        ("--kernel difference --centred", kernels.difference(centred=True)),
    ],
)
def test_one_kernel(capsys, chelsea, out, words, kernel):
    status, shown, _ = run(capsys, chelsea, "--side", 60, *words.split(), "--out", out)
    assert status == 0
    assert kernel.title in shown
    maps = json.loads(out.read_text())["maps"]
    np.testing.assert_allclose(maps[1]["kernels"][0], kernel.values)


def test_all_directions(capsys, chelsea, out):
    status, shown, _ = run(capsys, chelsea, "--side", 60, "--kernel", "Prewitt", "--direction", "all", "--out", out)
    assert status == 0
    written = json.loads(out.read_text())
    titles = [one["title"] for one in written["maps"]]
    assert titles[3:] == [f"prewitt {way}" for way in kernels.DIRECTIONS]
    assert all(title in shown for title in titles)
    assert written["recipe"]["options"] == {"picture": "chelsea.png", "kernel": "prewitt", "side": 60}


def test_gradient_surface_matrix_and_connections(capsys, chelsea, out):
    for words in (["--gradient"], ["--gradient", "--kernel", "prewitt"], ["--surface", "--by-height", "--smooth", "1"]):
        assert run(capsys, chelsea, "--side", 60, *words, "--out", out)[0] == 0
    assert (
        run(capsys, "--kernel", "sobel", "--matrix", "5x4", "--stride", "2", "--padding", "same", "--out", out)[0] == 0
    )
    written = json.loads(out.read_text())
    made = kernels.convolution_matrix(kernels.sobel(), (5, 4), mode="correlation", stride=2, padding="same")
    assert (written["output_shape"], written["entries"]) == ([1, 3, 2], made.entries)
    np.testing.assert_array_equal(made.dense()[written["row"], written["column"]], written["value"])
    # one number is one axis: the middle row of the kernel
    _, shown, note = run(
        capsys, "--kernel", "blur", "--connections", "9", "--layers", "3", "--padding", "1", "--out", out
    )
    assert note == "Along one axis: the middle row of blur 3.\n"
    assert "through 3 layers. Output 4 sees 7 inputs of 9" in shown
    assert run(capsys, "--kernel", "blur", "--connections", "9x9", "--padding", "0,1,0,1", "--out", out)[0] == 0


def test_list(capsys):
    status, shown, _ = run(capsys, "--list")
    assert status == 0
    assert [line.split()[0] for line in shown.splitlines()] == kernels.names()
    assert "--direction up" in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", r"name a picture: striate kernels PICTURE"),
        ("gone.png", "gone.png does not exist"),
        ("PICTURE --kernel sobl", r"no kernel is called 'sobl'. Did you mean sobel\?"),
        ("PICTURE --kernel sobel --direction north", "sobel has no direction 'north'"),
        ("PICTURE --kernel blur --size 0", "the size of blur is a whole number of pixels"),
        ("PICTURE --kernel blur --size x", "'x' is no size: write it as 9 or as 6x8"),
        ("PICTURE --kernel blur --sigma 2", "the kernel blur has no sigma; it takes size"),
        ("PICTURE --sigma 2", "--sigma is of a kernel: say which, with --kernel NAME"),
        ("PICTURE --azimuth 20", "--azimuth goes with --surface"),
        ("PICTURE --threshold 0.3", "--threshold goes with --kernel"),
        ("PICTURE --gradient --surface", "--gradient and --surface cannot be shown together"),
        ("PICTURE --gradient --kernel kirsch", "the kernel of a gradient is one of sobel, prewitt"),
        ("PICTURE --gradient --direction up", "leave --direction out"),
        ("PICTURE --direction all", "--direction all is of one kernel: say which, as in --kernel kirsch"),
        ("PICTURE --kernel blur --direction all", "blur does not come in eight directions. Take kirsch, sobel"),
        ("PICTURE --kernel kirch --direction all", r"no kernel is called 'kirch'. Did you mean kirsch\?"),
        ("PICTURE --kernel sobel --size 5 --direction all", "kernels of 3 x 3 as they come: leave --size out"),
        ("PICTURE --kernel edge --threshold 1 --direction all", "shows the answers alone: leave --threshold out"),
        ("PICTURE --gradient --direction all", "a sheet of its own: leave --gradient out, or name one direction"),
        ("--kernel kirsch --direction all", "name a picture: striate kernels PICTURE"),
        ("PICTURE --surface --kernel blur", "leave --kernel out"),
        ("PICTURE --kernel blur --matrix 5x5", "takes no picture"),
        ("--matrix 5x5", "say of which kernel"),
        ("--kernel blur --matrix 2x2", "a kernel of 3 x 3 does not fit into a picture of 2 x 2"),
        ("--kernel blur --matrix 5x5 --stride 0", "the stride is a whole number of at least 1"),
        ("--kernel blur --matrix 5x5 --padding some", "the padding is one of valid, same, full"),
        ("--kernel blur --matrix 5x5 --padding 1,a", "'1,a' is no padding"),
        ("--kernel blur --connections 5x5 --layers 0", "--layers is a whole number from 1, got 0"),
        ("PICTURE --side 0", "a whole number of pixels from 1, got 0"),
        ("PICTURE --out sheet.pdf", "must end in one of .png, .json, .npz"),
    ],
)
def test_errors_are_for_people(capsys, chelsea, words, message):
    status, shown, error = run(capsys, *(chelsea if word == "PICTURE" else word for word in words.split()))
    assert status == 2
    assert shown == ""
    assert error.startswith("error: ")
    assert re.search(message, error), error
