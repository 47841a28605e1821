"""Route: a feed of what one looks at, as server-sent events (HTML Living Standard, 9.2) with resume."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote

from fastapi import APIRouter, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from vmctl import text
from vmctl.api import problems, requests
from vmctl.api.peers import Asker, is_local
from vmctl.api.routes import ARGUMENT, PREFIX, values_of
from vmctl.commands.rows import Asked
from vmctl.commands.rows import Query as QueryRow
from vmctl.door import Door
from vmctl.door.feed import Told
from vmctl.errors import NotFound, Usage, VmctlError

EVENTS = "events"
MOST_VIEWS, MOST_NUMBER = 20, 2**63 - 1
router = APIRouter(prefix=PREFIX)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Message(BaseModel):
    """What the data of a message holds. `items`: of a list, those that are new or changed; `value`: of anything else.

    `whole`: the items are all that there are. `gone`: keys of items that went, or true for the view itself.
    """

    view: str
    whole: bool | None = None
    items: list[dict[str, Any]] | None = None
    gone: list[str] | bool | None = None
    value: dict[str, Any] | None = None


Views = Annotated[list[str], Query(min_length=1, max_length=MOST_VIEWS, description="vms?limit=100, tasks/17, events")]
LastEvent = Annotated[str, Header(alias="Last-Event-ID", description="The id of the last message that was taken in.")]


@router.get(
    "/feed",
    operation_id="Feed",
    summary="What changes in what one looks at, as server-sent events.",
    responses=problems.RESPONSES
    | {200: {"model": Message, "content": {"text/event-stream": {}}, "description": "Messages, without end."}},
    response_class=StreamingResponse,
    openapi_extra={"x-permission": "look"},
)
async def feed(http: Request, who: Asker, view: Views, last_event_id: LastEvent = "") -> StreamingResponse:
    """Views are addresses of this API below its prefix, with their query; `events` tells what happens.

    A list is told whole at first, then what changes in it. Who comes again with the last message's id hears of every
    event since, and of each view as it is now.
    """
    door: Door = http.app.state.door
    if extra := set(http.query_params) - {"view"}:
        raise Usage(f"{text.field(sorted(extra)[0])}: is not known here")
    asked = [(name, _asked(door.rows, name)) for name in dict.fromkeys(view) if name != EVENTS]
    told = await door.feed(asked, who, _number(last_event_id), events=EVENTS in view)
    return StreamingResponse(_written(told, local=is_local(http)), media_type="text/event-stream", headers=HEADERS)


def _number(last: str) -> int | None:
    if not last:
        return None
    if not (last.isascii() and last.isdigit() and len(last) <= len(str(MOST_NUMBER))) or int(last) > MOST_NUMBER:
        raise Usage("Last-Event-ID is the id of a message of this feed")
    return int(last)


@cache
def _patterns(rows: tuple[Asked, ...]) -> tuple[tuple[re.Pattern[str], Asked], ...]:
    def pattern(row: Asked) -> re.Pattern[str]:
        return re.compile(ARGUMENT.sub(lambda found: f"(?P<{found[1]}>[^/]+)", row.path))

    return tuple((pattern(row), row) for row in rows if isinstance(row, QueryRow) and row.live)


def _asked(rows: Iterable[Asked], view: str) -> Any:
    """What a view asks. Raises NotFound, Usage."""
    path, _, query = view.partition("?")
    for pattern, row in _patterns(tuple(rows)):
        if found := pattern.fullmatch(path):
            named = {name: _word(row, name, unquote(value)) for name, value in found.groupdict().items()}
            return row.arguments(**named, **_sent(row, tuple(named), query))
    known = ", ".join(sorted({row.path for _, row in _patterns(tuple(rows))} | {EVENTS}))
    raise NotFound(f"there is no view {text.shown(view[:100])}", hint=f"known: {known}")


def _sent(row: Asked, path: tuple[str, ...], query: str) -> dict[str, Any]:
    model, words = requests.model(row.arguments, path), parse_qs(query, keep_blank_values=True)
    if model is None and words:
        raise Usage(f"{text.field(next(iter(words)))}: is not known here")
    return {} if model is None else _checked(model, {name: values[-1] for name, values in words.items()})


def _word(row: Asked, name: str, word: str) -> Any:
    return _checked(requests.one(row.arguments, name), {name: word})[name]


def _checked(model: type[requests.Request], values: dict[str, Any]) -> dict[str, Any]:
    try:
        return values_of(model.model_validate(values))
    except ValidationError as err:
        raise RequestValidationError(err.errors()) from err


async def _written(told: AsyncIterator[Told], *, local: bool) -> AsyncIterator[str]:
    """Messages as text. An error after the first one is the last message."""
    try:
        async for one in told:
            if not one.kind:
                yield ": nothing new\n\n"
                continue
            yield f"event: {one.kind}\nid: {one.last}\ndata: {json.dumps(one.data)}\n\n"
    except VmctlError as err:
        shown = problems.for_whom(err, local=local)
        status = problems.ProblemResponse(shown).status_code
        yield f"event: end\ndata: {json.dumps(problems.details(shown, status))}\n\n"
