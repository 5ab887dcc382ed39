"""A network is bit-identical after every lens, and after a lens that broke in the middle."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_globals
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import striate
from truth.calls import CALLS
from truth.cases import CASES, case
from truth.nets import Raising, ResNet20

_HOOKS = tuple(name for name in vars(nn.Module()) if "hooks" in name)


def snapshot(module: nn.Module) -> dict[str, object]:
    """Copy everything about a network that a lens could disturb, and what is global in torch."""
    state: dict[str, object] = {}
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        grad = None if tensor.grad is None else (id(tensor.grad), tensor.grad.clone())
        state[name] = (id(tensor), tensor.detach().clone(), tensor.requires_grad, grad, tensor.stride())
    for name, part in module.named_modules():
        hooks = {hook: list(getattr(part, hook).items()) for hook in _HOOKS}
        state[f"{name} as module"] = (id(part), type(part), part.training, hooks, sorted(vars(part)))
    state["torch"] = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.backends.cudnn.benchmark,
        torch.get_rng_state(),
        len(_get_current_function_mode_stack()),
        len(_get_current_dispatch_mode_stack()),
        {name: dict(hooks) for name, hooks in vars(module_globals).items() if name.endswith("_hooks")},
    )
    return state


def check_same(before: object, after: object, where: str = "") -> None:
    if isinstance(before, Tensor):
        # bit for bit, so that a NaN or a -0.0 counts too
        assert torch.equal(
            before.contiguous().view(-1).view(torch.uint8), after.contiguous().view(-1).view(torch.uint8)
        ), where
    elif isinstance(before, dict):
        assert before.keys() == after.keys(), where
        for key in before:
            check_same(before[key], after[key], f"{where} {key}")
    elif isinstance(before, (tuple, list)):
        assert len(before) == len(after), where
        for index, (first, second) in enumerate(zip(before, after, strict=True)):
            check_same(first, second, f"{where}[{index}]")
    else:
        assert before == after, where


def worn(module: nn.Module) -> nn.Module:
    """Leave marks of a training that goes on: gradients, a frozen layer, training mode, the user's own hook."""
    module.train()
    parameters = list(module.parameters())
    parameters[0].requires_grad_(False)
    for parameter in parameters[1::2]:
        parameter.grad = torch.full_like(parameter, 0.25)
    next(module.children()).register_forward_hook(lambda *call: None)
    next(iter(module.children())).eval()
    return module


def small(module: nn.Module) -> striate.Network:
    spec = striate.InputSpec(channels=3, height=20, width=24, mean=(0.5,) * 3, std=(0.25,) * 3)
    return striate.Network(module, spec=spec)


def images(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("call", CALLS)
def test_after_a_lens(call):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = worn(ResNet20())
    batch = images()
    kept = batch.clone()
    before = snapshot(module)
    CALLS[call](small(module), batch)
    check_same(before, snapshot(module))
    assert torch.equal(batch, kept)
    assert not batch.requires_grad
    assert batch.grad is None


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("call", CALLS)
def test_after_an_exception(call, where):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = worn(Raising(where))
    network = small(module)
    network.graph()  # so that it is the lens that breaks
    module.arm()
    before = snapshot(module)
    try:
        CALLS[call](network, images())
    except (RuntimeError, striate.StriateError) as error:
        assert "broken on purpose" in str(error) or "broken on purpose" in str(error.__cause__)  # noqa: PT017
    else:
        # Only what does not pass the broken stage may succeed.
        assert call in ("filters", "graph", "connectivity") or where == "backward"
    check_same(before, snapshot(module))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("vgg11_bn", "efficientnet_lite0")])
def test_networks_of_the_zoo(name):
    it = case(name)
    before = snapshot(it.network.module)
    for call in ("graph", "activations", "guided", "deconvnet", "grad-cam", "guided grad-cam"):
        CALLS[call](it.network, it.images[:1])
    check_same(before, snapshot(it.network.module))


def test_the_network_still_trains_afterwards():
    module = ResNet20()
    network = small(module)
    for call in CALLS.values():
        call(network, images())
    module.train()
    module(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("inside", [torch.no_grad, torch.inference_mode])
def test_lenses_work_where_gradients_are_off(inside):
    module = ResNet20().eval()
    expected = striate.lenses.saliency(small(module), images()).scores
    with inside():
        batch = images()
        network = small(module)
        found = striate.lenses.saliency(network, batch).scores
        striate.lenses.grad_cam(network, batch)
    torch.testing.assert_close(found, expected)
