"""A twin has the same weights in the same memory, and modules of its own; pictures decoded already."""

from __future__ import annotations

import threading

import torch
from torch import nn

import striate
from striate.images import read_image
from striate.running import undisturbed


def small():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return striate.Network(module, striate.InputSpec(3, 16, 16))


def test_the_weights_lie_in_the_same_memory_and_say_the_same():
    network = small()
    twin = network.twin()
    pairs = zip(network.module.state_dict().values(), twin.module.state_dict().values(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in pairs)
    assert twin.weights_hash == network.weights_hash
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(twin(image), network(image))
    with torch.no_grad():
        network.module[0].weight.mul_(2)
    assert torch.equal(twin(image), network(image))
    assert twin.weights_hash == network.weights_hash


def test_hooks_and_locks_are_each_one_s_own():
    network = small()
    twin, called = network.twin(), []
    network.module[0].register_forward_hook(lambda *_: called.append(1))
    twin(torch.rand(1, 3, 16, 16))
    assert not called
    answered = threading.Event()

    def ask() -> None:
        twin(torch.rand(1, 3, 16, 16))
        answered.set()

    with undisturbed(network.module):  # a long job holds the network
        thread = threading.Thread(target=ask)
        thread.start()
        assert answered.wait(20)
    thread.join()


def test_pictures_decoded_already_are_those_read_from_files(astronaut, chelsea):
    network = small()
    files = [astronaut, chelsea]
    side = network.spec.short_side
    made = network.prepare([read_image(file, short_side=side) for file in files])
    assert torch.equal(made, network.read(files))
