"""What an export is asked by, and kept with: questions go to the application, answers into the folder."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import progress
from striate.images import encode_jpeg, read_image
from striate.web.asking import Answer, Asking, question_of
from striate.web.house import House
from striate.web.still import Still

__all__ = ["Keeper"]

_PAUSE = 0.02  # seconds between two looks at a job
_TOLD = 100  # sentences of what was left out


class Keeper:
    """Asks, and keeps.

    Attributes:
        left_out: what was not answered, in sentences.
    """

    def __init__(self, house: House, still: Still, asking: Asking) -> None:
        self.house, self.still, self.asking = house, still, asking
        self.left_out: list[str] = []

    def keep(self, path: str, parameters: dict[str, object] | None = None, quietly: bool = False) -> Any:
        """Ask, and keep what is answered; None where nothing is."""
        question, answer = question_of(path, parameters), self.asking.get(path, parameters)
        if answer.status == 202:
            if self._wait(answer.json()["job"], path) is None:
                self.still.refuse(question, self.left_out[-1])
                return None
            answer = self.asking.get(path, parameters)
        if not answer.good:
            self._fail(question, "" if quietly else path, answer)
            return None
        found = answer.json()
        self.still.answer(question, found)
        return found

    def draw(
        self, path: str, parameters: dict[str, object], *, photographs: bool = False, quietly: bool = False
    ) -> None:
        """Ask for a picture, and keep it.

        Args:
            path: as the page asks.
            parameters: likewise.
            photographs: it holds photographs, and is kept as JPEG.
            quietly: that there is none need not be said.
        """
        question, answer = question_of(path, parameters), self.asking.get(path, parameters)
        if not answer.good:
            self._fail(question, "" if quietly else path, answer)
        elif photographs:
            self.still.picture(encode_jpeg(np.asarray(read_image(answer.body))), question, "jpg")
        else:
            self.still.picture(answer.body, question)

    def look(self, question: str, ask: dict[str, Any], words: str) -> None:
        """Look through a lens, and keep what it shows.

        Args:
            question: that it answers.
            ask: what is sent.
            words: what to call it.
        """
        answer = self.asking.post("run", ask)
        if answer.status == 202:
            found = self._wait(answer.json()["job"], words)
            if found is None:
                self.still.refuse(question, self.left_out[-1])
                return
        elif answer.good:
            found = answer.json()
        else:
            self._fail(question, words, answer)
            return
        found.pop("numbers", None)
        for one in found["drawings"] if not found["overlays"] else ():
            one["url"] = self._file(one["url"])
        for one in found["overlays"]:
            one["picture"], one["map"] = self._file(one["picture"]), self._file(one["map"])
            one.pop("alone")
        if found["overlays"]:
            found["drawings"] = []
        self.still.answer(question, found)

    def tell(self, sentence: str) -> None:
        """Note that something was left out."""
        if len(self.left_out) < _TOLD:
            self.left_out.append(sentence)

    def _wait(self, job: str, words: str) -> Any:
        """Wait for a job; its result, or None where it failed."""
        held = self.house.jobs.get(job)
        with held.attended(patience=0):  # a page may attend it too, and keep it
            while not held.over.wait(_PAUSE):
                progress.check_stop(words)
        if held.state == "done":
            return held.result
        self.left_out.append(f"{words}: {held.error}")
        return None

    def _file(self, url: str) -> str:
        answer = self.asking.get(url.removeprefix("/api/").split("?")[0])
        return self.still.picture(answer.body) if answer.good else ""

    def _fail(self, question: str, words: str, answer: Answer) -> None:
        self.still.refuse(question, answer.error)
        if words:
            self.tell(f"{words}: {answer.error}")
