"""Networks that are awkward to run: written into, compiled, in training, looked at from several threads."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import NetworkError

SPEC = striate.InputSpec(3, 16, 16)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.second, self.head = nn.Conv2d(6, 4, 3, stride=2), nn.Linear(4, 3)
        for weight in self.parameters():
            weight.data.copy_(torch.randn(weight.shape, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.norm(self.first(images)).relu()).relu().mean((2, 3)))


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def looks(network, images):
    return {
        "logits": lambda: network(images),
        "cam": lambda: striate.lenses.grad_cam(network, images, 1).scores,
        "unit": lambda: striate.lenses.saliency(network, images, "first:0").scores,
        "maps": lambda: striate.lenses.activations(network, images, layers="second").maps["second"],
    }


@pytest.mark.parametrize("training", [False, True])
def test_several_threads_do_not_disturb_one_another(images, training):
    module = Small().train(training)
    network = striate.Network(module, SPEC)
    expected = {name: look() for name, look in looks(network, images).items()}
    statistics = module.norm.running_mean.clone()
    wrong: list[str] = []

    def work(name, look):
        for _ in range(25):
            try:
                if not torch.equal(look(), expected[name]):
                    wrong.append(name)
            except BaseException as error:
                wrong.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=item) for item in looks(network, images).items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert module.training == training
    assert torch.equal(module.norm.running_mean, statistics)
    assert all(weight.requires_grad for weight in module.parameters())


def test_a_network_may_write_into_its_pictures():
    class Writing(Small):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.sub_(0.5).mul_(2))

    for channels in (1, 3):
        module = Writing()
        module.first = nn.Conv2d(channels, 6, 3)
        network = striate.Network(module, striate.InputSpec(channels, 16, 16))
        images = torch.rand(2, channels, 16, 16)
        kept = images.clone()
        expected = Small.forward(module.eval(), (images - 0.5) * 2)
        torch.testing.assert_close(network(images), expected.detach())
        for look in looks(network, images).values():
            look()
        fields = striate.lenses.receptive_field(network, images, "first:0@max")
        maps = module.first((kept - 0.5) * 2)[:, 0].detach()
        torch.testing.assert_close(fields.values, maps.amax((1, 2)))
        assert torch.equal(images, kept)


def test_counters_and_other_buffers_are_put_back(images):
    class Counting(Small):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("last", torch.zeros(1))

        def forward(self, images: Tensor) -> Tensor:
            self.seen += len(images)
            self.last = images.mean().reshape(1)
            return super().forward(images)

    module = Counting()
    for look in looks(striate.Network(module, SPEC), images).values():
        look()
    assert (module.seen.item(), module.last.item()) == (0, 0)


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.bool, torch.uint16, torch.float8_e4m3fn])
def test_buffers_of_every_number_type_are_put_back(images, kind):
    class Counting(Small):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(2).to(kind))

        def forward(self, images: Tensor) -> Tensor:
            self.seen.copy_(torch.ones(2))
            return super().forward(images)

    module = Counting()
    striate.Network(module, SPEC)(images)
    assert module.seen.float().tolist() == [0, 0]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_running_statistics_are_put_back_although_torch_counts_no_write_into_them(images, kind):
    """Batch norm in training mode writes into its statistics behind the back of autograd's counter."""

    class Stubborn(Small):
        def forward(self, images: Tensor) -> Tensor:
            self.norm.train()
            try:
                return super().forward(images)
            finally:
                self.norm.eval()

    module = Stubborn().to(kind).eval()
    module.norm.running_mean[0] = torch.nan  # unlike itself
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    count = module.norm.running_var._version
    network = striate.Network(module, SPEC)
    for look in looks(network, images).values():
        look()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0, equal_nan=True, msg=name)
    assert module.norm.running_var._version == count  # so that what a caller holds for its backward pass stays good


def test_gradients_and_fields_where_the_caller_is_in_inference_mode(images):
    expected = striate.lenses.grad_cam(striate.Network(Small(), SPEC), images, 1)
    network = striate.Network(Small(), SPEC)
    with torch.inference_mode():
        found = striate.lenses.grad_cam(network, images.clone(), 1)
        assert network.graph().layer("second").field.status == "exact"
        made_inside = striate.Network(Small(), SPEC)
        torch.testing.assert_close(made_inside(images), network(images))
        with pytest.raises(NetworkError, match="Inference tensors cannot be saved for backward"):
            striate.lenses.saliency(made_inside, images, 1)
    torch.testing.assert_close(found.scores, expected.scores)


def test_a_module_compiled_in_place_is_run_as_it_is_written(images):
    module = Small().eval()
    expected = striate.lenses.grad_cam(striate.Network(module, SPEC), images, 1, layer="second").scores
    module.compile(backend="eager")
    module(images)
    found = striate.lenses.grad_cam(striate.Network(module, SPEC), images, 1, layer="second").scores
    torch.testing.assert_close(found, expected)


def test_failures_of_the_network_say_on_what(images):
    class Fixed(Small):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[2:] != (16, 16):
                raise ValueError("I take 16 x 16 only")
            return super().forward(images)

    network = striate.Network(Fixed(), SPEC)
    for look in looks(network, torch.rand(2, 3, 20, 20)).values():
        with pytest.raises(NetworkError, match=r"picture batch of \d x 3 x 20 x 20: ValueError: I take 16 x 16 only"):
            look()


def test_half_precision_and_double_run_in_their_own_type(images):
    for dtype in (torch.bfloat16, torch.float64):
        network = striate.Network(Small().to(dtype), SPEC)
        found = striate.lenses.integrated_gradients(network, images, 1, steps=4)
        assert found.recipe.dtype == str(dtype).removeprefix("torch.")
        assert torch.isfinite(found.scores).all()


class Counted(Small):
    """A network with buffers that a script of it writes into: one in place, one that is another tensor afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        self.last = images.mean().reshape(1)
        return self.head(self.second(self.norm(self.first(images)).relu()).relu().mean((2, 3)))


class Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("training", [False, True])
def test_scripts_are_run_and_put_back(images, training):
    plain = Counted().eval()
    scripted = torch.jit.script(Counted()).train(training)
    for module in (scripted, Around(scripted).train(training)):
        kept = {name: value.clone() for name, value in module.state_dict().items()}
        network = striate.Network(module, SPEC)
        torch.testing.assert_close(network(images), plain(images).detach())
        if module is not scripted:
            found = striate.lenses.saliency(network, images, 1, rule="guided")
            expected = striate.lenses.saliency(striate.Network(plain, SPEC), images, 1, rule="guided")
            torch.testing.assert_close(found.scores, expected.scores)
        assert {name: value.tolist() for name, value in module.state_dict().items()} == {
            name: value.tolist() for name, value in kept.items()
        }
        assert all(part.training == training for part in module.modules())
        assert all(weight.requires_grad for weight in module.parameters())


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_frozen_scripts_are_run(images):
    """They have no training flag and no weights, only numbers in their code."""
    frozen = torch.jit.freeze(torch.jit.script(Small().eval()))
    torch.testing.assert_close(striate.Network(frozen, SPEC)(images), Small().eval()(images).detach())


def test_a_network_whose_weights_have_no_shape_yet_is_refused_until_it_was_run(images):
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    network = striate.Network(module, SPEC)
    message = r"8 of the network's weights and buffers have no shape yet \(first: 0\.weight\).*module\(images\)"
    looks = network.graph, lambda: network.weights_hash, lambda: network(images)
    for look in (*looks, lambda: striate.lenses.saliency(network, images, 1)):
        with pytest.raises(NetworkError, match=message):
            look()
    assert module.training
    module(images)
    assert striate.lenses.saliency(network, images, 1).scores.any()
