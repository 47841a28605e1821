"""Routes, made from the table of commands and queries: a new row is a new route, and an entry in the API's document."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache, partial
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from vmctl.api import bodies, how, problems, query, requests
from vmctl.api.peers import Asker, peer
from vmctl.commands.cluster import Metrics
from vmctl.commands.fields import Body, hints, mark
from vmctl.commands.rows import Asked, Command
from vmctl.commands.users import LogIn
from vmctl.door import Door
from vmctl.door.answers import Document, DryRun, Earlier, Exposition
from vmctl.door.door import answer_type
from vmctl.door.pages import Page
from vmctl.door.user_answers import NewToken
from vmctl.errors import VmctlError
from vmctl.formats.plain import plain
from vmctl.model.rights import Principal

log = logging.getLogger("vmctl.api")
PREFIX = "/api/v1"
ARGUMENT = re.compile(r"\{(\w+)\}")
REPLAYED = "Idempotency-Replayed"  # beside an answer of the first command with its key
AS_THEY_ARE = (Document, Exposition)  # answers that are text already


class Plain(JSONResponse):
    """JSON in ASCII: text that is no Unicode, let in by an earlier version, is still an answer."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":")).encode()


def _door(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


async def metrics(http: Request, who: Asker) -> Response:
    """The same as below the API's prefix, where Prometheus looks for it."""
    return _response(await _door(http).ask(Metrics(), who), 200)


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
    more: dict[str, Any] = {"x-permission": str(row.needs)}
    if reads_body(row):
        more["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    answer = answer_type(row)
    takes_long = isinstance(row, Command) and row.task
    also: Any = DryRun if isinstance(row, Command) and not row.task else answer
    streams = getattr(answer, "__origin__", None) is AsyncIterator
    endpoint = _endpoint(row, path, sent)
    router.add_api_route(
        f"/{row.path}",
        endpoint,
        methods=[row.method],
        status_code=202 if takes_long else 200,
        summary=row.summary,
        description=inspect.cleandoc(row.arguments.__doc__ or ""),
        operation_id=row.arguments.__name__,
        response_model=answer.__args__[0] if streams else None if answer in AS_THEY_ARE else answer | also,
        response_class=PlainTextResponse if answer is Exposition else Plain,
        responses=problems.RESPONSES | ({200: {"model": DryRun}} if takes_long else {}),
        openapi_extra=more | {"parameters": how.documented(row)},
        route_class_override=None if _in_body(row) else query.route(query.Reader(row, path, sent), endpoint),
    )


def _in_body(row: Asked) -> bool:
    """Whether the body says what a command needs; else the address says it all."""
    return row.method in ("POST", "PUT")


def reads_body(row: Asked) -> str:
    """The argument by which a command reads the body as it comes; empty: it has none."""
    return next((one for one in hints(row.arguments) if mark(row.arguments, one, Body) is not None), "")


def _add_log_in(router: APIRouter) -> None:
    """The one route that nobody need be known for."""
    sent = requests.model(LogIn, ())

    async def log_in(http: Request, asked: sent) -> Response:  # type: ignore[valid-type]
        return _response(await _door(http).log_in(LogIn(**values_of(asked)), peer(http).address), 200)

    log_in.__annotations__ |= {"http": Request, "asked": sent, "return": Response}
    summary = (LogIn.__doc__ or "").strip()
    router.add_api_route(
        "/login",
        log_in,
        methods=["POST"],
        summary=summary,
        operation_id="LogIn",
        response_model=NewToken,
        responses=problems.RESPONSES,
    )


def _endpoint(
    row: Asked, path: tuple[str, ...], sent: type[requests.Request] | None
) -> Callable[..., Awaitable[Response]]:
    """The function of a route; its signature is what the framework reads."""
    reader = reads_body(row)

    async def endpoint(http: Request, who: Principal, asked: requests.Request | None = None, **named: Any) -> Response:
        if reader:  # by whoever answers, once it is known that he who asks may do that
            _refuse_query(http, row)
            named[reader] = partial(bodies.received, http)
        else:
            await _refuse_unread(http, row, asked)
        asked_how = how.read(http, row)
        answer = await _door(http).ask(row.arguments(**named, **values_of(asked)), who, asked_how)
        status = 202 if isinstance(row, Command) and row.task and not asked_how.dry else 200
        return _response(answer, status, http.url.path, asked)

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("http", kind, annotation=Request),
        inspect.Parameter("who", kind, annotation=Asker),
    ]
    for name in path:
        hint: Any = hints(row.arguments)[name]
        parameters.append(inspect.Parameter(name, kind, annotation=Annotated[hint, Path()]))
    if sent is not None:
        annotation: Any = sent if _in_body(row) else Annotated[sent, Query()]
        # Who gives nothing need send no body.
        may_be_left_out = _in_body(row) and not any(f.is_required() for f in sent.model_fields.values())
        if may_be_left_out:
            annotation = annotation | None
        given = None if may_be_left_out else inspect.Parameter.empty
        parameters.append(inspect.Parameter("asked", kind, annotation=annotation, default=given))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


def values_of(asked: requests.Request | None) -> dict[str, Any]:
    """What was sent, by name."""
    return {} if asked is None else {name: getattr(asked, name) for name in type(asked).model_fields}


async def _refuse_unread(http: Request, row: Asked, asked: requests.Request | None) -> None:
    """Refuse what nobody would read: it was meant to say something."""
    if _in_body(row):
        _refuse_query(http, row)
    if not (_in_body(row) and asked is not None) and (await http.body()).strip() not in (b"", b"{}"):
        raise _extra("body")


def _refuse_query(http: Request, row: Asked) -> None:
    in_query = [name for name in http.query_params if not (name == how.DRY_RUN and isinstance(row, Command))]
    if in_query:
        raise _extra("query", in_query[0])


def _extra(*where: str) -> RequestValidationError:
    return RequestValidationError([{"type": "extra_forbidden", "loc": where, "msg": "nothing is read from there"}])


async def _lines(answer: AsyncIterator[Any]) -> AsyncIterator[str]:
    """One after the other. Where that ends early, as without the registry, who reads it asks again, and hears why."""
    try:
        async for each in answer:
            yield json.dumps(plain(each)) + "\n"
    except VmctlError as err:
        log.warning("what was followed ends: %s", err.message)


def _response(answer: Any, status: int, path: str = "", asked: requests.Request | None = None) -> Response:
    """An answer for the wire: one place, for all of them."""
    if isinstance(answer, Earlier):
        repeated = _response(answer.answer, status, path, asked)
        repeated.headers[REPLAYED] = "true"
        return repeated
    if isinstance(answer, Page):
        return _page(answer, path, asked)
    if isinstance(answer, AsyncIterator):
        return StreamingResponse(_lines(answer), media_type="application/x-ndjson")
    if isinstance(answer, Document):
        return Response(answer.text, media_type="application/json")
    if isinstance(answer, Exposition):
        return Response(answer.text, headers={"Content-Type": answer.media})
    version = getattr(answer, "version", "")
    return Plain(plain(answer), status, {"ETag": f'"{version}"'} if version else None)


def _page(page: Page[Any], path: str, asked: requests.Request | None) -> Response:
    """A page, and where the next one is (RFC 8288). It is written out once, however many ask for it."""
    if not page.body:
        page.body = _written(page)
        if page.next and asked is not None:
            # Of what was understood: another one who asks for the same page gets this link, too.
            words = urlencode(asked.model_dump(exclude_defaults=True) | {"after": page.next})
            page.link = {"Link": f'<{path}?{words}>; rel="next"'}
    return Response(page.body, media_type="application/json", headers=page.link)


def _written(page: Page[Any]) -> bytes:
    try:
        return orjson.dumps(page, default=plain)
    except orjson.JSONEncodeError:  # text that is no Unicode
        return json.dumps(plain(page), separators=(",", ":")).encode()
