"""Routes, made from the table of commands and queries: a new row is a new route, and an entry in the API's document."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from vmctl.api import requests
from vmctl.api.peers import Asker, peer
from vmctl.commands.cluster import Metrics
from vmctl.commands.fields import hints
from vmctl.commands.rows import Asked, Command
from vmctl.commands.users import LogIn
from vmctl.door import Door
from vmctl.door.answers import Document, Exposition, NewToken
from vmctl.door.door import answer_type
from vmctl.formats.plain import plain
from vmctl.model.rights import Principal

PREFIX = "/api/v1"
ARGUMENT = re.compile(r"\{(\w+)\}")
AS_THEY_ARE = (Document, Exposition)  # answers that are text already


class Plain(JSONResponse):
    """JSON in ASCII: text that is no Unicode, let in by an earlier version, is still an answer."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":")).encode()


def _door(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


async def metrics(door: Annotated[Door, Depends(_door)], who: Asker) -> Response:
    """The same as below the API's prefix, where Prometheus looks for it."""
    return _response(await door.ask(Metrics(), who), 200)


@cache
def router(rows: tuple[Asked, ...]) -> APIRouter:
    """A route for every row that clients can ask for."""
    made = APIRouter(prefix=PREFIX, default_response_class=Plain)
    _add_log_in(made)
    for row in rows:
        if row.way:
            _add(made, row)
    return made


def _add(router: APIRouter, row: Asked) -> None:
    path = tuple(ARGUMENT.findall(row.path))
    sent = requests.model(row.arguments, path)
    answer = answer_type(row)
    streams = getattr(answer, "__origin__", None) is AsyncIterator
    router.add_api_route(
        f"/{row.path}",
        _endpoint(row, path, sent),
        methods=[row.method],
        status_code=202 if isinstance(row, Command) and row.task else 200,
        summary=row.summary,
        description=inspect.cleandoc(row.arguments.__doc__ or ""),
        operation_id=row.arguments.__name__,
        response_model=answer.__args__[0] if streams else None if answer in AS_THEY_ARE else answer,
        response_class=PlainTextResponse if answer is Exposition else Plain,
        openapi_extra={"x-permission": str(row.needs)},
    )


def _add_log_in(router: APIRouter) -> None:
    """The one route that nobody need be known for."""
    sent = requests.model(LogIn, ())

    async def log_in(http: Request, asked: sent) -> Response:  # type: ignore[valid-type]
        return _response(await _door(http).log_in(LogIn(**_given(asked)), peer(http).address), 200)

    log_in.__annotations__ |= {"http": Request, "asked": sent, "return": Response}
    summary = (LogIn.__doc__ or "").strip()
    router.add_api_route(
        "/login", log_in, methods=["POST"], summary=summary, operation_id="LogIn", response_model=NewToken
    )


def _endpoint(
    row: Asked, path: tuple[str, ...], sent: type[requests.Request] | None
) -> Callable[..., Awaitable[Response]]:
    """The function of a route; its signature is what the framework reads."""

    async def endpoint(
        http: Request, door: Door, who: Principal, asked: requests.Request | None = None, **named: Any
    ) -> Response:
        await _refuse_unread(http, row, sent)
        answer = await door.ask(row.arguments(**named, **_given(asked)), who)
        return _response(answer, 202 if isinstance(row, Command) and row.task else 200)

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("http", kind, annotation=Request),
        inspect.Parameter("door", kind, annotation=Annotated[Door, Depends(_door)]),
        inspect.Parameter("who", kind, annotation=Asker),
    ]
    for name in path:
        hint: Any = hints(row.arguments)[name]
        parameters.append(inspect.Parameter(name, kind, annotation=Annotated[hint, Path()]))
    if sent is not None:
        annotation: Any = sent if row.method in ("POST", "PUT") else Annotated[sent, Query()]
        parameters.append(inspect.Parameter("asked", kind, annotation=annotation))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


def _given(asked: requests.Request | None) -> dict[str, Any]:
    return {} if asked is None else {name: getattr(asked, name) for name in type(asked).model_fields}


async def _refuse_unread(http: Request, row: Asked, sent: type[requests.Request] | None) -> None:
    """Refuse what nobody would read: it was meant to say something."""
    in_body = row.method in ("POST", "PUT")
    if http.query_params and (in_body or sent is None):
        raise _extra("query", next(iter(http.query_params)))
    if not (in_body and sent) and (await http.body()).strip() not in (b"", b"{}"):
        raise _extra("body")


def _extra(*where: str) -> RequestValidationError:
    return RequestValidationError([{"type": "extra_forbidden", "loc": where, "msg": "nothing is read from there"}])


def _response(answer: Any, status: int) -> Response:
    """An answer for the wire: one place, for all of them."""
    if isinstance(answer, AsyncIterator):
        lines = (json.dumps(plain(each)) + "\n" async for each in answer)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    if isinstance(answer, Document):
        return Response(answer.text, media_type="application/json")
    if isinstance(answer, Exposition):
        return Response(answer.text, headers={"Content-Type": answer.media})
    return Plain(plain(answer), status)
