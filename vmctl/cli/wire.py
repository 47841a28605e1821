"""A query or command as a request to the API: its route is in the catalogue."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import MISSING, fields
from typing import Any, NamedTuple
from urllib.parse import quote

from vmctl import errors, text
from vmctl.commands.fields import Inner, mark
from vmctl.commands.rows import Asked, Command

BASE = "/api/v1/"


class Request(NamedTuple):
    """What is sent; `path` with its query."""

    method: str
    path: str
    body: bytes | None
    key: str = ""  # of a command: who repeats it hears of the first
    kind: str = "application/json"  # of the body


def request(asked: Any) -> Request:
    """The request that asks for it. Raises Usage for a name that would lead elsewhere."""
    row = _row(type(asked))
    path, sent = row.path, {}
    for field in fields(asked):
        value, hole = getattr(asked, field.name), f"{{{field.name}}}"
        if hole in path:
            path = path.replace(hole, _part(str(value)))
        elif mark(type(asked), field.name, Inner) is None and (field.default is MISSING or value != field.default):
            sent[field.name] = value
    key = os.urandom(16).hex() if isinstance(row, Command) and not row.quiet else ""
    if row.method in ("POST", "PUT"):
        return Request(row.method, BASE + path, json.dumps(sent).encode(), key)
    query = "&".join(f"{key}={quote(_word(one), safe='')}" for key, value in sent.items() for one in _many(value))
    return Request(row.method, f"{BASE}{path}?{query}" if query else BASE + path, None, key)


def next_page(link: str) -> Request | None:
    """The request for the page that a Link header (RFC 8288) names; None where that was the last one."""
    address, _, relation = link.partition(">; ")
    return Request("GET", address.removeprefix("<"), None) if relation == 'rel="next"' else None


def posted(path: str, body: dict[str, Any]) -> Request:
    """A request that is in no catalogue."""
    return Request("POST", BASE + path, json.dumps(body).encode())


def _row(arguments: type[Any]) -> Asked:
    """The row of these arguments: its module has it, so that no other need be loaded."""
    rows: tuple[Asked, ...] = sys.modules[arguments.__module__].ROWS
    return next(row for row in rows if row.arguments is arguments)


def _part(name: str) -> str:
    """A name in a path: what a user typed must not lead to another route."""
    if problem := text.bad_part(name):
        raise errors.Usage(problem)
    return quote(name, safe="")


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
