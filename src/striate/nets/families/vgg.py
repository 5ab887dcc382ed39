"""The VGG networks A, A-LRN, B, C, D and E: nothing but 3x3 convolutions (and 1x1 in C), pooling and dense layers.

Source: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556, table 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from striate.nets.design import Design
from striate.nets.layers import LocalResponseNorm

__all__ = ["DESIGNS", "VGG"]

# filters of 3x3 convolutions, stage by stage; "1" after a number: 1x1, "L": response normalisation
_STAGES = {
    "a": "64, 128, 256 256, 512 512, 512 512",
    "a-lrn": "64 L, 128, 256 256, 512 512, 512 512",
    "b": "64 64, 128 128, 256 256, 512 512, 512 512",
    "c": "64 64, 128 128, 256 256 256/1, 512 512 512/1, 512 512 512/1",
    "d": "64 64, 128 128, 256 256 256, 512 512 512, 512 512 512",
    "e": "64 64, 128 128, 256 256 256 256, 512 512 512 512, 512 512 512 512",
}
_ELSEWHERE = {"a": "11", "b": "13", "d": "16", "e": "19"}


class VGG(nn.Module):
    """Five stages of convolutions, each ended by 2x2 pooling, and three dense layers; names are torchvision's.

    Shape:
        input (N, C, H, W); output (N, classes). Pictures of other sizes are averaged to the map that dense layers take.

    Args:
        classes: logits.
        channels: C.
        size: H and W that the dense layers are made for.
        stages: filters, as in table 1 of the paper.
    """

    def __init__(self, classes: int, channels: int, size: tuple[int, int], *, stages: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in stages.split(","):
            for word in stage.split():
                if word == "L":
                    layers.append(LocalResponseNorm())
                    continue
                filters, _, window = word.partition("/")
                side = int(window or 3)
                layers += [nn.Conv2d(channels, int(filters), side, padding=side // 2), nn.ReLU()]
                channels = int(filters)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        height, width = (length // 32 for length in size)
        self.avgpool = nn.AdaptiveAvgPool2d((height, width))
        self.classifier = nn.Sequential(
            nn.Linear(channels * height * width, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits


def _from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename timm's weights: it writes the first two dense layers as convolutions over the whole map."""
    places = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    found = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        if layer in places:
            key, value = f"{places[layer]}.{kind}", value.flatten(1) if kind == "weight" else value
        found[key] = value
    return found


def _design(letters: str, stages: str) -> Design:
    layers = sum(word != "L" for word in stages.replace(",", " ").split()) + 3
    special = {"a-lrn": ", with local response normalisation", "c": ", three of them with 1x1 kernels"}
    number = _ELSEWHERE.get(letters)
    return Design(
        f"vgg-{letters}",
        f"VGG {letters.upper()}: {layers} layers with weights{special.get(letters, '')}.",
        partial(VGG, stages=stages),
        smallest=32,
        also=(f"vgg{number}", f"vgg-{number}") if number else (),
        renamed=_from_timm,
    )


DESIGNS = tuple(_design(letters, stages) for letters, stages in _STAGES.items())
