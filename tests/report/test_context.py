"""The section "In context": neighbours and strongest units of an atlas, in the page, the numbers and the demo."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from atlas.making import make_atlas
from report.test_look import read
from striate.cli import main
from striate.cli.demo import CLASSES, PHOTOGRAPHS, demo_pictures, demo_set
from striate.errors import AtlasError
from striate.report import look
from striate.report.sections import context
from striate.report.sections.why import EXPLANATIONS
from striate.report.visit import arrive
from striate.results.patches import Patch


@pytest.fixture(autouse=True)
def _one_explanation(monkeypatch):
    """Explain in one way only: that section is tested by itself, and takes most of the time."""
    monkeypatch.setattr("striate.report.sections.why.EXPLANATIONS", EXPLANATIONS[:1])


@pytest.fixture
def atlas(network, tmp_path):
    images = torch.rand(30, 3, 40, 48, generator=torch.Generator().manual_seed(3)).mul(255).round() / 255
    labels = [index % 3 for index in range(30)]
    return make_atlas(
        tmp_path / "atlas", network, network.spec.normalise(images), ["1", "4"], labels=labels, features=["4"]
    )


def test_the_page_puts_pictures_in_context(network, paths, atlas, tmp_path):
    page, numbers = read(look(network, paths, tmp_path / "out", atlas=atlas, trust=False))
    assert "In context" in page.text
    assert "Beside 30 pictures that the same network saw before." in page.text
    assert "Nearest by pixels" in page.text
    results = numbers["results"]
    near = results["neighbours"]
    assert [len(one["neighbours"]["4"]) for one in near["pictures"]] == [8, 8]
    assert f"for {100 * near['agreement']['4']['share']:.1f} % of 30 pictures" in page.text
    for units in results["strongest_units"]["pictures"]:
        assert units
        assert all(unit["address"] in page.text for unit in units)
    assert all(attributes.get("alt") for attributes in page.all("img"))


def test_there_is_no_section_without_an_atlas(network, paths):
    visit = arrive(network, paths, None)
    assert context.build(visit) is None
    assert visit.runs == {}


def test_an_atlas_of_another_network_is_an_error_of_the_whole_report(network, grey_network, paths, atlas, tmp_path):
    with pytest.raises(AtlasError, match="was built with small"):
        look(grey_network, paths, tmp_path / "out", atlas=atlas.path)
    with pytest.raises(AtlasError, match="does not exist"):
        look(network, paths, tmp_path / "out", atlas=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_an_atlas_without_features_leaves_the_rest(network, paths, tmp_path):
    images = torch.zeros(4, 3, 40, 48)
    bare = make_atlas(tmp_path / "bare", network, network.spec.normalise(images), ["4"])
    page, numbers = read(look(network, paths, tmp_path / "out", atlas=bare, trust=False))
    assert "was built without features" in page.text
    assert "neighbours" in numbers["refused"]
    assert "strongest_units" in numbers["results"]


def test_where_a_unit_sees_beyond_the_picture_the_patch_is_striped_and_not_black():
    white = np.full((20, 24, 3), 255, dtype=np.uint8)
    patch = Patch(0, "a.png", 1.0, (0, 0), (-4, -4, 5, 5), (-4, -4, 5, 5), white)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(context._patch(patch)["uri"].partition(",")[2]))))
    assert shown.shape[:2] == (context.SIDE, context.SIDE)
    assert shown.min() > 180
    assert shown[:20, :20].max() < 240 < shown[-20:, -20:].min()  # the stripes, and the picture


def test_an_atlas_of_few_pictures_still_has_neighbours(network, paths, tmp_path):
    images = network.read([paths[0], paths[1], paths[0].parent / "first.png"])
    small = make_atlas(tmp_path / "few", network, images[:2], ["4"], features=["4"])
    visit = arrive(network, paths[:1], None, atlas=small)
    assert context.build(visit)["near"] is not None


def test_the_command_takes_an_atlas(network, paths, atlas, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("striate.cli.source.Source.load", lambda source: network)
    out = str(tmp_path / "look")
    assert main(["look", "small", str(paths[0]), "--atlas", str(atlas.path), "--out", out, "--no-trust"]) == 0
    assert "neighbours" in json.loads((tmp_path / "look" / "results.json").read_text())["results"]
    assert main(["look", "small", str(paths[0]), "--atlas", str(tmp_path / "none"), "--out", out]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_demo_cuts_photographs_into_parts(tmp_path):
    folder = demo_set(tmp_path / "pictures")
    found = sorted(folder.glob("*/*.jpg"))
    names = {path.parent.name for path in found}
    assert {CLASSES[path] for path in PHOTOGRAPHS} <= names <= set(CLASSES.values())
    assert len(found) == 5 * len(names)
    assert len(names) >= 10  # what else comes along with scikit-image
    before = {path: path.stat().st_mtime_ns for path in found}
    demo_set(folder)
    assert before == {path: path.stat().st_mtime_ns for path in found}


def test_parts_of_one_photograph_lie_nearer_to_each_other_for_the_network(lite0, tmp_path):
    """The demo's atlas: what it shows is worth showing."""
    from striate.atlas import build
    from striate.lenses import neighbours

    held = build(lite0, demo_set(tmp_path / "pictures"), tmp_path / "atlas", layers="stages")
    found = neighbours(lite0, list(demo_pictures()), held, top=5)
    features, pixels = found.spaces
    assert features.agreement > 0.8  # 1.00 when this was written, by pixels 0.43
    assert features.agreement > pixels.agreement + 0.2
    shares = [
        np.mean([found.found[int(one)].label == CLASSES[path.name] for one in row])
        for path, row in zip(demo_pictures(), features.indices, strict=True)
    ]
    assert min(shares) >= 0.6
