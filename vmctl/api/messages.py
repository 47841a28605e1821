"""What is wrong with a request, in words of ours: those of the library that found it reach nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vmctl import text

MOST_FAULTS = 5
PLACES = ("body", "query", "path")
# What the library calls a fault -> how it is said, with what it adds to it
WORDS: dict[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number, and not so large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number, and not without end",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be {expected}",
    "json_invalid": "is not JSON",
}


def sentence(faults: Iterable[Mapping[str, Any]]) -> str:
    """The first faults in one sentence, each with the field it is about."""
    return "; ".join(list(dict.fromkeys(_fault(fault) for fault in faults))[:MOST_FAULTS])


def _fault(fault: Mapping[str, Any]) -> str:
    place = ".".join(text.field(part) for part in fault["loc"] if part not in PLACES)
    kind = fault["type"]
    if kind == "value_error":  # a rule of ours: its own words
        words = str(fault["ctx"]["error"])
    elif kind == "json_invalid":
        return "the body is not JSON"
    else:
        words = WORDS.get(kind, "cannot be taken").format_map(_Known(fault.get("ctx", {})))
    return f"{place}: {words}" if place else words if kind == "value_error" else f"the body {words}"


class _Known(dict[str, Any]):
    """What the library adds to a fault; whatever else is asked for is left out."""

    def __missing__(self, key: str) -> str:
        return "..."
