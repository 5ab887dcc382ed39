"""What takes long: begin, ask, listen, stop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from striate.web.believing import believe
from striate.web.jobs import Job
from striate.web.looking import Ask
from striate.web.reply import Served
from striate.web.routes.run import Begun, start

__all__ = ["router"]

router = APIRouter(tags=["jobs"])


class AskJob(Ask):
    """What to look at, as a job: through a "lens", or how far to believe ("trust") what that lens shows."""

    kind: Literal["lens", "trust"] = "lens"


class Standing(BaseModel):
    """How a job stands: waiting, running, done, failed or stopped."""

    id: str
    kind: str
    state: str
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None


@router.post("/jobs", status_code=202)
def begin(house: Served, ask: AskJob) -> Begun:
    """Begin a job: it waits for those before it."""
    question = Ask(**ask.model_dump(exclude={"kind"}))
    if ask.kind == "lens":
        return Begun(job=start(house, question).id)
    network = house.twin(house.asked(ask.other, ask.epoch))
    return Begun(job=house.jobs.start("trust", lambda _: believe(house, question, network)).id)


@router.get("/jobs/{job}")
def standing(house: Served, job: str) -> Standing:
    """Say how a job stands."""
    return Standing(**house.jobs.get(job).to_dict())


@router.delete("/jobs/{job}")
def stop(house: Served, job: str) -> Standing:
    """Ask a job to end; a picture that is being made is kept as good as it is."""
    found = house.jobs.get(job)
    found.stop()
    return Standing(**found.to_dict())


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events: progress, then done or failed."}},
)
async def events(house: Served, job: str) -> Response:
    """Listen to a job (server-sent events): progress, then done with the result, or failed with the error."""
    return StreamingResponse(_lines(house.jobs.get(job)), media_type="text/event-stream")


async def _lines(job: Job) -> AsyncIterator[str]:
    async for event in job.events():
        if event is None:
            yield ": still there\n\n"
        else:
            name, data = event
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
