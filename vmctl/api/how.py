"""How something is asked: what headers and `dry_run` say, whatever is asked for."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from vmctl import text
from vmctl.commands.rows import Asked, Command
from vmctl.door.how import How
from vmctl.errors import Usage

KEY, IF_MATCH, DRY_RUN = "Idempotency-Key", "If-Match", "dry_run"
WORDS = {"true": True, "1": True, "": True, "false": False, "0": False}


def read(http: Request, row: Asked) -> How:
    """How a request asks. Raises Usage for what cannot be read, or would not be heeded."""
    key = http.headers.get(KEY, "")
    if KEY.lower() in http.headers and not key:
        raise Usage(f"{KEY} is empty")
    return How(key, _version(http), _dry(http))


def _version(http: Request) -> str:
    given = http.headers.getlist(IF_MATCH)
    if not given or given == ["*"]:
        return ""
    tag = given[0].strip()
    if len(given) > 1 or not (len(tag) > 2 and tag[0] == tag[-1] == '"') or "," in tag:
        raise Usage(f'{IF_MATCH} is one version in quotes: "0123456789abcdef"')
    return tag[1:-1]


def _dry(http: Request) -> bool:
    if DRY_RUN not in http.query_params:
        return False
    word = http.query_params[DRY_RUN].lower()
    if word not in WORDS:
        raise Usage(f"{DRY_RUN} must be true or false, not {text.shown(word)}")
    return WORDS[word]


def documented(row: Asked) -> list[dict[str, Any]]:
    """The same for the API's document."""
    if not isinstance(row, Command) or row.quiet:
        return []
    said = [
        _parameter(KEY, "header", "string", "Who repeats a command with it hears of the first; nothing is done twice."),
        _parameter(DRY_RUN, "query", "boolean", "Only say what would be done."),
    ]
    if row.edits:
        said.append(_parameter(IF_MATCH, "header", "string", "Edit this version, as ETag gave it, and no other."))
    return said


def _parameter(name: str, place: str, kind: str, why: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": {"type": kind}, "description": why}
