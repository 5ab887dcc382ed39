"""Plans of fine-tuning: known networks are cut where a person would, and every weight learns at its rate."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import striate
from striate.errors import AddressError, NetworkError, OptionError
from striate.learn.descent.optimizers import make_optimizer
from striate.learn.freezing import asleep, wake
from striate.learn.transferring.parts import leaves_of
from striate.learn.transferring.stages import Stage, plan_stages


def of_torchvision(name: str) -> striate.Network:
    pytest.importorskip("torchvision")
    network = striate.load(f"torchvision:{name}", pretrained=False)
    network.spec = network.spec.changed(height=64, width=64, resize=64)
    return network


class Flat(nn.Module):
    """A small network that is built as VGG is: rows of layers with numbers for names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(layer for before, after in ((3, 4), (4, 6), (6, 6), (6, 8))
              for layer in (nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(
            nn.Linear(32, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 7)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


def flat() -> striate.Network:
    return striate.Network(Flat(), striate.InputSpec(3, 32, 32), name="flat")


def check(network: striate.Network, plan: tuple[Stage, ...], *, learns: bool = False) -> None:
    """Check what holds for every plan, weight by weight, in a copy; `learns` says whether batch norm does."""
    module = copy.deepcopy(network.module)
    before: set[str] = set()
    used = {name for leaf in leaves_of(network) if leaf.weights for name, _ in module.named_parameters()
            if name == leaf.name or name.startswith(f"{leaf.name}.")}  # fmt: skip
    for stage in plan:
        wake(module, stage.frozen)
        learning = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        assert before < set(learning) <= used  # more than in the stage before
        assert stage.parameters == sum(weight.numel() for weight in learning.values())
        assert stage.total == sum(leaf.weights for leaf in leaves_of(network))
        optimizer = make_optimizer("adamw", module, rate=0.1, groups=stage.rates)
        rate_of = {id(weight): group["initial_lr"] for group in optimizer.param_groups for weight in group["params"]}
        assert set(rate_of) == {id(weight) for weight in learning.values()}
        for name, weight in learning.items():
            own = [factor for key, factor in stage.rates.items() if name == key or name.startswith(f"{key}.")]
            assert len(own) == 1  # every weight that learns is in one part
            assert rate_of[id(weight)] == pytest.approx(0.1 * own[0])
        sleeping = asleep(module, stage.frozen)
        norms = {name: part for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}
        assert set(stage.resting) == {name for name, part in norms.items() if part in sleeping}
        assert set(stage.moving) == set(norms) - set(stage.resting)
        before = set(learning)
    assert used - before == {name for name in used if not learns and name.rpartition(".")[0] in norms}


@pytest.mark.parametrize(
    ("name", "heads", "second"),
    [
        ("resnet18", ["fc"], ["layer3", "layer4", "fc"]),
        ("squeezenet1_1", ["classifier"], ["features.9", "features.10", "features.11", "features.12", "classifier"]),
    ],
)
def test_networks_of_torchvision_are_cut_between_their_blocks(name: str, heads: list[str], second: list[str]) -> None:
    network = of_torchvision(name)
    plan = plan_stages(network, norms="learn")
    check(network, plan, learns=True)
    assert [list(stage.trained) for stage in plan[:2]] == [heads, second]
    assert [stage.name for stage in plan] == ["the head", f"{second[0]} and on", "all"]


def test_rows_of_layers_are_cut_between_two() -> None:
    network = flat()
    plan = plan_stages(network)
    check(network, plan)
    assert [stage.trained for stage in plan] == [
        ("classifier.6",),
        ("features.9", "classifier.0", "classifier.3", "classifier.6"),
        ("features.0", "features.3", "features.6", "features.9", "classifier.0", "classifier.3", "classifier.6"),
    ]


def test_lite0_is_cut_between_its_blocks(small_lite0: striate.Network) -> None:
    plan = plan_stages(small_lite0, 4, falloff=0.5)
    check(small_lite0, plan)
    assert plan[0].trained == ("classifier",)
    assert [stage.rates["classifier"] for stage in plan] == [1.0, 0.5, 0.5, 0.5]  # fitted after the first
    assert plan[3].rates["conv_stem"] == 0.0625
    cuts = [stage.trained[0] for stage in plan[1:3]]
    assert all(cut.count(".") == 1 and cut.startswith("blocks.") for cut in cuts)  # whole blocks.N: a stage of its own


def test_dropout_works_on_what_the_head_is_given_and_nowhere_before() -> None:
    network = flat()
    module = network.module
    head, second, _ = plan_stages(network)
    drops = {name for name, part in module.named_modules() if isinstance(part, nn.Dropout)}
    assert drops == {"classifier.2", "classifier.5"}
    for stage, awake in ((head, {"classifier.5"}), (second, drops)):
        sleeping = asleep(module, stage.frozen)
        assert {name for name in drops if module.get_submodule(name) not in sleeping} == awake


class Bridged(nn.Module):
    """A stem, two blocks that are bridged, and layers beside the way to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(8, 5)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.second = nn.ModuleDict({"a": nn.Conv2d(8, 8, 3, padding=1), "n": nn.BatchNorm2d(8, affine=False)})
        self.first = nn.ModuleDict({"a": nn.Conv2d(8, 8, 3, padding=1), "b": nn.Conv2d(8, 8, 3, padding=1)})
        self.stem = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.relu(self.stem(images))
        maps = maps + self.first["b"](functional.relu(self.first["a"](maps)))
        maps = maps + self.second["n"](self.second["a"](maps)) * self.scale
        self.aside(maps)
        return self.head(maps.mean((2, 3)))


def bridged() -> striate.Network:
    return striate.Network(Bridged(), striate.InputSpec(3, 12, 12), name="bridged")


def test_a_block_that_is_bridged_stays_whole_and_order_is_that_of_execution() -> None:
    network = bridged()
    for count in (2, 3, 4, 9):
        plan = plan_stages(network, count)
        check(network, plan)
        assert len(plan) == min(count, 4)  # head, second, first, stem: there are no more places to cut
        assert not any({"first.a", "first.b"} & {*stage.trained} for stage in plan)
    assert [stage.trained for stage in plan] == [
        ("head",), ("second", "head"), ("first", "second", "head"), ("scale", "stem", "first", "second", "head"),
    ]  # fmt: skip


def test_what_the_logits_do_not_depend_on_never_learns() -> None:
    network = bridged()
    last = plan_stages(network)[-1]
    assert last.still == ("aside",)
    assert last.total == sum(weight.numel() for weight in network.module.parameters()) - 8 * 4 - 4
    assert "Frozen: aside; the batch norm layer keeps statistics, scale and shift." in last.caption()


def test_batch_norm_rests_unless_it_is_to_learn() -> None:
    network = bridged()
    assert [stage.resting for stage in plan_stages(network)] == [("second.n",)] * 3
    head, *_, everything = plan_stages(network, norms="learn")
    assert (head.resting, head.moving) == (("second.n",), ())
    assert (everything.resting, everything.moving) == ((), ("second.n",))


class NormInHead(nn.Module):
    """A head of two layers, with batch norm between them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


def test_batch_norm_in_the_head_learns_with_it() -> None:
    network = striate.Network(NormInHead(), striate.InputSpec(3, 9, 9))
    for stage in plan_stages(network, head=["head"]):
        assert (stage.resting, stage.moving) == (("body.1",), ("head.1",))
    assert stage.trained == ("body", "head")


def test_a_weight_that_is_tied_to_a_frozen_one_rests_with_it() -> None:
    network = bridged()
    network.module.second["a"].weight = network.module.stem_tied = network.module.first["a"].weight
    plan = plan_stages(network, 3)
    module = network.module
    for stage in plan:
        wake(module, stage.frozen)
        assert stage.parameters == sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        make_optimizer("sgd", module, groups=stage.rates)  # every rate is of something
    wake(module)


def test_the_caption_says_what_is_frozen_in_words() -> None:
    network = of_torchvision("resnet18")
    head, middle, everything = (stage.caption() for stage in plan_stages(network))
    assert head == (
        "Stage 1 of 3, the head: fc learns, 513,000 of 11,689,512 weights. Frozen: conv1 to layer4 (5 parts); all 20 "
        "batch norm layers keep statistics, scale and shift."
    )
    assert middle == (
        "Stage 2 of 3, layer3 and on: layer3 and layer4 (rate x 0.09) and fc (rate x 0.3) learn, 10,998,760 of "
        "11,689,512 weights. Frozen: conv1, layer1 and layer2; all 20 batch norm layers keep statistics, scale and "
        "shift."
    )
    assert "Frozen: batch norm alone; all 20 batch norm layers keep statistics, scale and shift." in everything
    head, middle, everything = (stage.caption() for stage in plan_stages(network, norms="learn"))
    assert "; 10 of 20 batch norm layers keep their statistics, the others go on gathering them." in middle
    assert everything.endswith("Nothing is frozen; all 20 batch norm layers go on gathering statistics.")


def test_one_stage_lets_all_learn_at_the_full_rate() -> None:
    network = bridged()
    (only,) = plan_stages(network, 1)
    check(network, (only,))
    assert only.name == "all"
    assert set(only.rates.values()) == {1.0}


def test_another_head_can_be_named_and_must_be_there() -> None:
    network = flat()
    plan = plan_stages(network, 2, head=["classifier"])
    check(network, plan)
    assert plan[0].trained == ("classifier",)
    assert plan[1].trained == ("features", "classifier")
    with pytest.raises(AddressError, match="classifer"):
        plan_stages(network, head=["classifer"])
    with pytest.raises(NetworkError, match=r"no weight in aside that the logits depend on"):
        plan_stages(bridged(), head=["aside"])


class Counting(nn.Module):
    """Logits that are counted: no gradient leads back."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(27, 4)

    def forward(self, images: Tensor) -> Tensor:
        return (self.dense(images.flatten(1)) > 0).float()


def test_a_network_without_gradients_cannot_be_fine_tuned() -> None:
    network = striate.Network(Counting(), striate.InputSpec(3, 3, 3), name="counting")
    with pytest.raises(NetworkError, match="no gradient leads from the logits of counting to its weights"):
        plan_stages(network)
    assert not network.module.dense.weight.requires_grad or network.module.dense.weight.grad is None


def test_what_makes_no_sense_is_refused() -> None:
    for count in (0, -1, True, 1.5):
        with pytest.raises(OptionError, match="stages must be a whole number from 1 on"):
            plan_stages(bridged(), count)  # type: ignore[arg-type]
    for falloff in (0.0, 1.5, float("nan")):
        with pytest.raises(OptionError, match="falloff must be above 0 and at most 1"):
            plan_stages(bridged(), falloff=falloff)
    with pytest.raises(OptionError, match="norms must be 'keep' or 'learn', got 'frozen'"):
        plan_stages(bridged(), norms="frozen")
