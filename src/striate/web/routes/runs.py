"""The training that the network came from: its course, and the networks that were kept over it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from striate.errors import DataError, OptionError
from striate.results.course import Curve
from striate.web.reply import Served

router = APIRouter(tags=["runs"])


class Epoch(BaseModel):
    """One epoch; losses in nats, accuracies from 0 to 1, seconds since the beginning."""

    epoch: int
    seconds: float
    rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    best: bool


class Runs(BaseModel):
    """How a training went. `checkpoints` are the epochs whose networks were kept: `epoch=` elsewhere takes them."""

    name: str
    sentence: str
    verdict: str
    epochs: int
    finished: bool
    best: int | None
    history: list[Epoch]
    checkpoints: list[int]
    notes: list[str]


@router.get("/runs", response_model=Runs)
def runs(house: Served, response: Response) -> Runs:
    """Say how the training went so far; it may be going on, so that the answer is read anew each time."""
    if house.run is None:
        raise OptionError(
            "what is served is no training. Start with the folder that striate train made: striate serve RUN."
        )
    from striate.learn import Run  # training brings much along that looking does not need

    response.headers["Cache-Control"] = "no-store"
    run = Run.open(house.run.path)
    history = run.history
    best = run.best
    try:
        verdict = Curve.of(run.path.name, history).verdict().words
    except DataError as error:  # not one epoch is over
        verdict = str(error)
    return Runs(
        name=run.path.resolve().name,
        sentence=run.sentence(),
        verdict=verdict,
        epochs=run.settings.epochs,
        finished=run.ended is not None,
        best=None if best is None else best.epoch,
        history=[
            Epoch(
                epoch=one.epoch,
                seconds=one.seconds,
                rate=one.rate,
                train_loss=one.train_loss,
                train_accuracy=one.train_accuracy,
                validation_loss=one.validation_loss,
                validation_accuracy=one.validation_accuracy,
                best=one.best,
            )
            for one in history
        ],
        checkpoints=list(run.checkpoints),
        notes=run.notes,
    )
