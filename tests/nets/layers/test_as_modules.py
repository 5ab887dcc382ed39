"""What every layer of ours must bear: autocast, orders of memory, tracing, export, saving, ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.nets import layers

MADE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LocallyConnected2d": (lambda: layers.LocallyConnected2d(8, 4, (8, 9), 3, 2, 1), (2, 8, 8, 9)),
    "LocallyConnected1d": (lambda: layers.LocallyConnected1d(8, 4, 9, 3, 2, 1), (2, 8, 9)),
    "L2Pool2d": (lambda: layers.L2Pool2d(3, 2, 1), (2, 8, 8, 9)),
    "DistanceWeightedPool2d": (lambda: layers.DistanceWeightedPool2d(3, 2, 1), (2, 8, 8, 9)),
    "SameConv2d": (lambda: layers.SameConv2d(8, 4, 4, 3), (2, 8, 8, 9)),
    "LocalResponseNorm": (lambda: layers.LocalResponseNorm(5, 0.1), (2, 8, 8, 9)),
    "ScaledTanh": (layers.ScaledTanh, (2, 8, 8, 9)),
    "ScaledAveragePool2d": (lambda: layers.ScaledAveragePool2d(8), (2, 8, 8, 8)),
    "TableConv2d": (lambda: layers.TableConv2d(8, [(0, 3), (7,)], 3), (2, 8, 8, 9)),
    "TriangleConv2d": (lambda: layers.TriangleConv2d(3, 5, (3, 2), (2, 1)), (2, 3, 8, 9)),
    "QuadrantSum2d": (lambda: layers.QuadrantSum2d((2, 3)), (2, 8, 8, 9)),
    "WhiteningConv2d": (lambda: layers.WhiteningConv2d(1), (2, 1, 8, 9)),
}


@pytest.fixture(params=MADE)
def made(request) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, shape = MADE[request.param]
    return make().eval().requires_grad_(False), torch.randn(shape)


def test_every_layer_is_here():
    classes = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert classes == set(MADE)


def test_docstring_says_the_shapes(made):
    assert "Shape:" in type(made[0]).__doc__


def test_repr_says_the_settings(made):
    text = repr(made[0])
    assert text.startswith(f"{type(made[0]).__name__}(")
    assert text != f"{type(made[0]).__name__}()" or isinstance(made[0], layers.ScaledTanh)  # which has none


def test_state_dict_makes_it_again(made):
    module, images = made
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    again = MADE[type(module).__name__][0]()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.eval()(images), module(images))


@pytest.mark.parametrize("learning", [False, True])
def test_autocast(made, learning):
    module, images = made
    expected = module(images)
    module.requires_grad_(learning)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(images)
        if learning and any(True for _ in module.parameters()):
            found.float().sum().backward()
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


def test_half_precision(made):
    module, images = made
    expected = module(images)
    found = module.to(torch.bfloat16)(images.to(torch.bfloat16))
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.06)


def test_channels_last(made):
    module, images = made
    if images.dim() == 3:
        pytest.skip("a row has no such order")
    expected = module(images)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(module.to(memory_format=torch.channels_last)(last), expected)
    assert module(last).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_jit_trace(made):
    module, images = made
    for learning in (False, True):
        traced = torch.jit.trace(module.requires_grad_(learning), images)
        torch.testing.assert_close(traced(images[:1]), module(images[:1]))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_a_traced_same_convolution_follows_the_size():
    module = layers.SameConv2d(3, 4, 4, 3)
    traced = torch.jit.trace(module, torch.randn(1, 3, 8, 9))
    images = torch.randn(2, 3, 13, 17)
    torch.testing.assert_close(traced(images), module(images))


def test_export(made):
    module, images = made
    program = torch.export.export(module, (images,), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=64)},))
    more = torch.cat([images, images + 1])
    torch.testing.assert_close(program.module()(more), module(more))


def test_onnx(made, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    module, images = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, which change with its version
        program = torch.onnx.export(module, (images,), dynamo=True, verbose=False)
    program.save(tmp_path / "layer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), module(images), rtol=1e-4, atol=1e-5)


def test_our_own_trace_follows(made):
    """Receptive fields are exact: the layer is seen through, and its window is where the gradient is."""
    module, images = made
    if images.dim() == 3:
        pytest.skip("a picture has rows")

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images).mean((2, 3))

    spec = striate.InputSpec(*images.shape[1:], mean=(0.5,), std=(0.5,))
    graph = striate.Network(Classifier().eval(), spec).graph()
    row = graph.rows[0]
    assert row.kind == type(module).__name__
    assert not graph.unfollowed
    assert row.field.status == "exact"
    leaf = images[:1].clone().requires_grad_()
    unit = (row.shape[2] // 2, row.shape[3] // 2)
    module(leaf)[0, :, unit[0], unit[1]].square().sum().backward()  # filters may cancel one another in a sum
    touched = leaf.grad[0].abs().sum(0)
    box = row.field.box(*unit)
    rows, columns = touched.sum(1).nonzero().flatten(), touched.sum(0).nonzero().flatten()
    assert box == (rows.min(), columns.min(), rows.max(), columns.max())
