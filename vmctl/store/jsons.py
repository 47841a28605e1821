"""Values as JSON, for the database: many, and often. Pure."""

from __future__ import annotations

import json
from typing import Any

import orjson


def from_json(text: bytes) -> Any:
    """The inverse."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def as_json(value: Any) -> str:
    """As the standard library's; what is odd, such as a number of 70 bits, or half a character, is left to that."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return json.dumps(value)
