"""What a request says in its address: the arguments in its path, and those behind the question mark.

Routes that read nothing else are answered past the framework's solving of dependencies, which takes longer than all
else that is done for them. The framework still makes their part of the API's document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from vmctl.api import how, requests
from vmctl.api.peers import principal
from vmctl.commands.fields import hints
from vmctl.commands.rows import Asked, Command

Faults = list[dict[str, Any]]


class Reader:
    """Of the addresses of one row."""

    def __init__(self, row: Asked, path: tuple[str, ...], sent: type[requests.Request] | None) -> None:
        self._path: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(hints(row.arguments)[name]) for name in path}
        self._sent = sent
        self._lists = frozenset(_lists(sent)) if sent is not None else frozenset()
        self._unread = {how.DRY_RUN} if isinstance(row, Command) else set()

    def read(self, http: Request) -> tuple[dict[str, Any], requests.Request | None]:
        """(The path's arguments by name, the query's.) Raises RequestValidationError."""
        faults: Faults = []
        named = {}
        for name, kind in self._path.items():
            try:
                named[name] = kind.validate_python(http.path_params[name])
            except ValidationError as err:
                faults += _faults(err, "path", name)
        asked = None
        try:
            values = self._values(http, faults)
            if self._sent is not None:
                asked = self._sent.model_validate(values)
            else:  # it was meant to say something
                faults += [{"type": "extra_forbidden", "loc": ("query", name)} for name in values]
        except ValidationError as err:
            faults += _faults(err, "query")
        if faults:
            raise RequestValidationError(faults)
        return named, asked

    def _values(self, http: Request, faults: Faults) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in http.query_params:
            given = http.query_params.getlist(name)
            if name in self._unread:
                continue
            if name not in self._lists and len(given) > 1:
                faults.append({"type": "value_error", "loc": ("query", name), "ctx": {"error": "is given twice"}})
            values[name] = given if name in self._lists else given[-1]
        return values


def _lists(sent: type[requests.Request]) -> Iterator[str]:
    """The arguments that take several values."""
    for name, field in sent.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))  # `list[str] | None` takes them, too
        if any(get_origin(kind) is list for kind in kinds):
            yield name


def _faults(err: ValidationError, *where: str) -> Faults:
    return [{**fault, "loc": (*where, *fault["loc"])} for fault in err.errors(include_url=False)]


def route(reader: Reader, endpoint: Callable[..., Awaitable[Response]]) -> type[APIRoute]:
    """The kind of route on which `endpoint` hears what `reader` reads, and who asks."""

    async def answered(http: Request) -> Response:
        who = principal(http)  # before anything is said of what he sent
        named, asked = reader.read(http)
        return await endpoint(http=http, who=who, asked=asked, **named)

    class AddressRoute(APIRoute):
        """A route that reads nothing but its address."""

        def get_route_handler(self) -> Any:
            """What the framework calls with a request."""
            return answered

    return AddressRoute
