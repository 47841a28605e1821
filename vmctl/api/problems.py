"""Errors on the wire: problem details as RFC 9457 has them, with the error tree's own members beside them.

`code` is the stable name of its class, `detail` the sentence, `hint` the next command, `lines` the details, `exit_code`
what a command line should end with.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from vmctl.errors import (
    HostError,
    NoLeader,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    Overtaken,
    Refused,
    RegistryUnusable,
    TooManyRequests,
    Uncertain,
    Usage,
    VmctlError,
    error_to_json,
)

OUT_OF_ORDER = "the controller's registry takes nothing just now"
MEDIA_TYPE = "application/problem+json"
# The first that fits
STATUS: tuple[tuple[type[VmctlError], int], ...] = (
    (Usage, 422),
    (NotFound, 404),
    (Overtaken, 412),
    (Refused, 409),
    (NotLoggedIn, 401),
    (NotAllowed, 403),
    (TooManyRequests, 429),
    (Uncertain, 409),
    (HostError, 502),
    (RegistryUnusable, 503),
    (NoLeader, 503),
)
HEADERS: Mapping[int, dict[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}


class Problem(BaseModel):
    """What is wrong, and what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    exit_code: int
    hint: str
    lines: list[str]


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What is wrong, and what to do about it.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


class ProblemResponse(JSONResponse):
    """An error as an answer."""

    media_type = MEDIA_TYPE

    def __init__(self, err: VmctlError, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        number = status or next((code for kind, code in STATUS if isinstance(err, kind)), 500)
        super().__init__(details(err, number), number, HEADERS.get(number, {}) | dict(headers or {}))

    def render(self, content: Any) -> bytes:
        """The body, in ASCII: a name may be no Unicode."""
        return json.dumps(content, separators=(",", ":")).encode()


def for_whom(err: VmctlError, *, local: bool) -> VmctlError:
    """An error as it may be told: where the registry's file is, is for its own machine."""
    return err if local or not isinstance(err, RegistryUnusable) else RegistryUnusable(OUT_OF_ORDER)


def details(err: VmctlError, status: int) -> dict[str, Any]:
    """An error as problem details."""
    raw = error_to_json(err)
    title = inspect.cleandoc(type(err).__doc__ or "").partition("\n")[0]
    said = {"type": f"urn:vmctl:problem:{err.code}", "title": title, "status": status, "detail": raw.pop("message")}
    return said | raw
