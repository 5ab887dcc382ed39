"""Exported programs: their layers are kept, and nothing in them is run as code."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from torch import nn

import striate
from hostile import Evil
from striate.errors import ImageError, NetworkError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (torch.randn(2, 3, 20, 16),), dynamic_shapes=({0: batch},), strict=False)
    path = tmp_path_factory.mktemp("exported") / "small.pt2"
    torch.export.save(program, path)
    return path, module


def test_exported_programs_keep_their_layers(exported):
    path, module = exported
    network = striate.load(path)
    images = torch.randn(3, 3, 20, 16)
    torch.testing.assert_close(network(images), module(images).detach())
    assert network.spec.size == (20, 16)
    assert network.graph().names == ["0", "1", "2", "3", "4"]
    expected = striate.lenses.saliency(striate.Network(module, network.spec), images, 1, rule="guided")
    found = striate.lenses.saliency(network, images, 1, rule="guided")
    torch.testing.assert_close(found.scores, expected.scores)


def test_programs_for_one_picture_take_one_at_a_time(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    torch.export.save(torch.export.export(module, (torch.randn(1, 3, 9, 9),), strict=False), tmp_path / "one.pt2")
    network = striate.load(tmp_path / "one.pt2")
    images = torch.rand(2, 3, 9, 9)
    found = striate.lenses.smoothgrad(network, images[:1], 1, samples=3)
    expected = striate.lenses.smoothgrad(striate.Network(module, network.spec), images[:1], 1, samples=3)
    torch.testing.assert_close(found.scores, expected.scores)
    assert [row.kind for row in network.graph().rows][:2] == ["conv", "relu"]
    with pytest.raises(ImageError, match="2 pictures for one, which was exported for one at a time"):
        network(images)
    torch.export.save(torch.export.export(module, (torch.randn(2, 3, 9, 9),), strict=False), tmp_path / "two.pt2")
    with pytest.raises(NetworkError, match="exported for batches of exactly 2 pictures"):
        striate.load(tmp_path / "two.pt2")


def _rewritten(path, target, change):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            new.writestr(entry, change(entry.filename, old.read(entry)))
    return target


HOSTILE = {
    "call": (lambda text: text.replace("torch.ops.aten.relu.default", "torch.hub.load"), "calls 'torch.hub.load'"),
    "method": (lambda text: text.replace("torch.ops.aten.relu.default", "_operator.methodcaller"), "calls"),
    "expression": (
        lambda text: text.replace('"expr_str": "', '"expr_str": "__import__(\'os\').abort() or '),
        "holds the expression",
    ),
    "guards": (lambda text: text.replace('"guards_code": []', '"guards_code": ["print(1)"]'), "guards in code"),
    "constant": (lambda text: text.replace('"path_name": "weight_0"', '"path_name": "opaque_obj_0"'), "opaque_obj_0"),
    "tree": (
        lambda text: text.replace("builtins.tuple", "collections.defaultdict"),
        "nests its arguments in 'collections.defaultdict'",
    ),
    "enumeration": (lambda text: text.replace('\\"type\\": null', '\\"__enum__\\": true'), "nests its arguments"),
    "pickle": (lambda text: text.replace('"use_pickle": false', '"use_pickle": true'), "asks for pickled values"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_exported_programs_that_would_run_code_are_refused(exported, tmp_path, case):
    change, message = HOSTILE[case]

    def apply(name, content):
        return change(content.decode()).encode() if name.endswith(".json") else content

    path = _rewritten(exported[0], tmp_path / "hostile.pt2", apply)
    if path.read_bytes() == exported[0].read_bytes():
        pytest.skip("this version of PyTorch writes no such entry")
    with pytest.raises(NetworkError, match=f"refused, for opening it would run what is in it as code.*{message}"):
        striate.load(path)


def test_entries_that_torch_would_read_by_another_name_are_refused(exported, tmp_path):
    path = tmp_path / "hostile.pt2"
    path.write_bytes(exported[0].read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("small/models/model.jsox", "{}")
    with pytest.raises(NetworkError, match=r"model\.jsox is no entry of an exported program"):
        striate.load(path)


def test_what_is_loaded_is_what_was_checked(exported, tmp_path):
    """Two directories of entries in one file: readers of zip differ in which one they take."""
    harmless = exported[0].read_bytes()
    path = tmp_path / "two.pt2"
    path.write_bytes(b"not a zip entry, " * 100 + harmless)  # zipfile finds the entries all the same, torch may not
    images = torch.randn(1, 3, 20, 16)
    torch.testing.assert_close(striate.load(path)(images), striate.load(exported[0])(images))


def test_pickled_entries_of_exported_programs_are_refused(exported, tmp_path):
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)

    def apply(name, content):
        return buffer.getvalue() if name.endswith(".pt") else content

    path = _rewritten(exported[0], tmp_path / "hostile.pt2", apply)
    with pytest.raises(NetworkError, match="holds pickled objects other than tensors"):
        striate.load(path)
    assert not hasattr(striate, "BROKEN_IN")


def test_what_is_no_exported_program(tmp_path):
    (tmp_path / "x.pt2").write_bytes(b"hello")
    with pytest.raises(NetworkError, match="is no exported program"):
        striate.load(tmp_path / "x.pt2")
