from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from safetensors.torch import load_file

from striate.errors import AddressError, ImageError, OptionError, Stopped
from striate.network import Network
from striate.progress import listen, stoppable
from striate.report import look
from striate.report.sections.why import EXPLANATIONS
from striate.results import Recipe, decode_array
from striate.spec import InputSpec
from truth.nets import ResNet20

VOID = {"area", "br", "col", "hr", "img", "image", "input", "link", "meta", "rect", "use", "wbr"}


class Page(HTMLParser):
    """Reads a page and complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    return Page(path.read_text(encoding="utf-8")), json.loads((path.parent / "results.json").read_text())


def test_one_page_says_all(looked):
    page, numbers = read(looked[0])
    for heading in ("What it says", "Why", "Inside", "What it looks for", "How this was made"):
        assert heading in page.text
    for one in EXPLANATIONS:
        assert one.name in page.text
    assert "It says" in page.text
    assert "second <b>&.png" in page.text  # escaped in the source, as it is on the page
    assert [picture["name"] for picture in numbers["pictures"]] == ["first.png", "second <b>&.png"]
    assert numbers["broken"] == []
    assert numbers["refused"] == {}


def test_the_page_needs_nothing_else(looked):
    text = looked[0].read_text()
    without_pictures = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|url\(|@import|<link|<script[^>]*src", without_pictures)
    assert sorted(path.name for path in looked[0].parent.iterdir()) == ["report.html", "results.json"]


def test_everyone_can_read_it(looked):
    page, _ = read(looked[0])
    assert all(attributes.get("alt") for attributes in page.all("img"))
    labels = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    assert labels
    assert all(attributes["aria-label"] for attributes in labels)
    assert page.all("html")[0]["lang"] == "en"
    named = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(named) == len(set(named))
    targets = {attributes["href"] for tag, attributes in page.tags if tag in ("a", "use")}
    assert all(target.removeprefix("#") in named for target in targets)


def test_every_number_stands_beside_it(looked, network, paths):
    _, numbers = read(looked[0])
    batch = network.read(paths)
    logits = network(batch)
    np.testing.assert_allclose(numbers["results"]["predictions"]["logits"], logits.numpy(), rtol=1e-5)
    for one in EXPLANATIONS:
        result = numbers["results"][one.key]
        assert Recipe.from_dict(result["recipe"]).lens == one.lens
        assert decode_array(result["scores"]).shape == (2, 40, 48)
    assert numbers["network"]["weights"] == network.weights_hash
    assert numbers["network"]["parameters"] == sum(weight.numel() for weight in network.module.parameters())
    assert [row["kind"] for row in numbers["layers"]][:2] == ["Conv2d", "ReLU"]


def test_a_broken_picture_is_listed_and_the_rest_is_shown(network, paths, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(paths[0].read_bytes()[:200])
    page, numbers = read(look(network, [paths[0], broken, paths[1]], tmp_path / "out", trust=False))
    assert "1 picture could not be read" in page.text
    assert numbers["broken"][0]["path"].endswith("broken.jpg")
    assert "broken.jpg" in numbers["broken"][0]["why"]
    assert len(numbers["pictures"]) == 2


def test_names_of_files_that_no_text_holds_are_shown(network, paths, tmp_path):
    odd = tmp_path / "line\nbreak \udcff<script>.png"  # a byte that is not UTF-8, as Linux allows
    odd.write_bytes(paths[0].read_bytes())
    heard: list[str] = []
    page, numbers = read(look(network, [odd], tmp_path / "out", trust=False, on_broken=heard.extend))
    assert numbers["pictures"][0]["name"] == r"line\nbreak \udcff<script>.png"
    assert r"\udcff<script>.png" in page.text
    assert not heard


def test_who_looks_hears_of_broken_pictures(network, paths, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    heard: list[str] = []
    look(network, [paths[0], tmp_path / "broken.png"], tmp_path / "out", trust=False, on_broken=heard.extend)
    assert len(heard) == 1
    assert "broken.png is empty" in heard[0]


def test_without_one_good_picture_there_is_no_report(network, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"none of the 2 pictures can be read. The first: .*a\.png"):
        look(network, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    with pytest.raises(ImageError, match=r"a\.png"):
        look(network, [tmp_path / "a.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_lens_that_refuses_is_a_sentence(gelu_network, paths, tmp_path):
    page, numbers = read(look(gelu_network, paths, tmp_path / "out"))
    assert "Guided backprop and Guided Grad-CAM are missing:" in page.text
    assert set(numbers["refused"]) == {"guided", "guided_grad_cam"}
    assert "gradient" in numbers["results"]


def test_a_network_of_one_channel_without_names(grey_network, paths, tmp_path):
    page, _ = read(look(grey_network, paths, tmp_path / "out"))
    assert re.search(r"It says class \d", page.text)


# --- how far to believe it


def test_every_explanation_says_how_far_to_believe_it(looked, network, paths):
    page, numbers = read(looked[0])
    curves, randomised = (numbers["results"][key] for key in ("deletion_and_insertion", "randomisation"))
    images = network.read(paths)
    chances = network(images).softmax(1).amax(1)
    for index, picture in enumerate(curves["pictures"]):
        assert set(picture["maps"]) == {one.key for one in EXPLANATIONS}
        for values in picture["maps"].values():
            # with nothing deleted, and with everything inserted, it is the picture itself
            assert values["deletion"][0] == pytest.approx(float(chances[index]), abs=1e-5)
            assert values["insertion"][-1] == pytest.approx(float(chances[index]), abs=1e-5)
            line = f"Deletion {values['deletion_area']:.2f}, insertion {values['insertion_area']:.2f}."
            assert line in page.text
    assert set(randomised["maps"]) == {one.key for one in EXPLANATIONS}
    assert randomised["stages"] == [{"down_to": "7", "layers": 1}]  # of three layers the classifier
    doubted = [one for one in page.all("p") if one.get("class") == "trust doubt"]
    lines = [one for one in page.all("p") if one.get("class") in ("trust", "trust doubt")]
    assert len(lines) == 2 * len(EXPLANATIONS)
    independent = [name for name, one in randomised["maps"].items() if not one["depends"]]
    assert len(doubted) == 2 * len(independent)
    assert f"probability {float(chances[0]):.2f}" in page.text


def test_guided_backprop_of_a_trained_network_is_doubted(shared_data, sample_photographs, tmp_path):
    module = ResNet20()
    module.load_state_dict(load_file(shared_data / "models" / "resnet20-cifar10.safetensors"))
    trained = Network(module.eval(), InputSpec(3, 32, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    page, numbers = read(look(trained, [path for path, _ in sample_photographs[::400]], tmp_path / "out"))
    judged = numbers["results"]["randomisation"]["maps"]
    assert not judged["guided"]["depends"]
    assert all(judged[key]["depends"] for key in ("gradient", "integrated_gradients", "grad_cam", "occlusion", "lime"))
    assert "Hardly changes when the top 5 layers of the network get random weights (similarity 0." in page.text
    assert "it shows the picture, not the decision" in page.text


def test_believing_can_be_left_to_the_reader(network, paths, tmp_path):
    page, numbers = read(look(network, paths, tmp_path / "out", trust=False))
    assert "Deletion" not in page.text
    assert "occlusion" in numbers["results"]
    assert not {"deletion_and_insertion", "randomisation"} & set(numbers["results"])


def test_a_network_that_cannot_be_copied_is_still_looked_at(network, paths, tmp_path):
    network.module[7].kept = network.module[7].weight * 2  # what deepcopy refuses
    page, numbers = read(look(network, paths, tmp_path / "out"))
    assert "could not all be checked: small cannot be copied" in page.text
    assert set(numbers["refused"]) == {"randomisation"}
    assert "Deletion 0." in page.text


def test_a_unit_can_be_explained(network, paths, tmp_path):
    page, numbers = read(look(network, paths, tmp_path / "out", target="3:5"))
    assert numbers["results"]["gradient"]["recipe"]["target"] == ["3:5", "3:5"]
    assert "Explained: 3:5" in page.text
    assert numbers["results"]["deletion_and_insertion"]["measure"] == "score"
    assert numbers["results"]["randomisation"]["stages"] == [
        {"down_to": "3", "layers": 1}
    ]  # the classifier is above it


def test_a_misspelt_target_is_said_at_once(network, paths, tmp_path):
    with pytest.raises(AddressError, match="tabby"):
        look(network, paths, tmp_path / "out", target="class:taby")
    assert not (tmp_path / "out").exists()


def test_a_report_has_an_end(network, paths, tmp_path):
    with pytest.raises(OptionError, match="100 pictures are too many for one report, which holds 64"):
        look(network, paths * 50, tmp_path / "out")


def test_pictures_of_one_name_are_told_apart(network, paths, tmp_path):
    other = tmp_path / "other" / "first.png"
    other.parent.mkdir()
    other.write_bytes(paths[0].read_bytes())
    _, numbers = read(look(network, [paths[0], other], tmp_path / "out", trust=False))
    assert [picture["name"] for picture in numbers["pictures"]] == ["pictures/first.png", "other/first.png"]


def test_the_same_look_shows_the_same_pictures(looked, network, paths, tmp_path):
    def shown(page):
        return re.findall(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", page.read_text())

    assert shown(look(network, paths, tmp_path / "again")) == shown(looked[0])


def test_it_says_how_far_it_is_and_stops_when_asked(looked, network, paths, tmp_path):
    own = [event for event in looked[1] if event.task == "looking"]
    assert [event.note for event in own][:2] == ["predictions", "gradient"]
    assert own[-1].done == own[-1].total == len(own) - 1

    def stop_at_the_third(event):
        if event.task == "looking" and event.done == 2:
            token.stop()

    with stoppable() as token, listen(stop_at_the_third), pytest.raises(Stopped):
        look(network, paths, tmp_path / "stopped")
    assert not (tmp_path / "stopped").exists()
