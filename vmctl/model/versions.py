"""What of a record is edited, and the version that it has: who edits says which one he saw. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vmctl.errors import Overtaken
from vmctl.model.access import Group, Limit
from vmctl.model.records import HostRecord, VMRecord

EDITED: Mapping[type[Any], tuple[str, ...]] = {
    VMRecord: ("spec", "autostart", "heal", "project"),
    HostRecord: ("labels",),
    Group: ("members",),
    Limit: tuple(field.name for field in fields(Limit)),
}


def version(record: Any) -> str:
    """Of what is edited in a record: another one wherever something else was written."""
    values = [_ordered(getattr(record, name)) for name in EDITED[type(record)]]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value


def check(expected: str, record: Any, what: str) -> None:
    """Raises Overtaken where somebody has edited it since it had that version; empty: whichever it has."""
    if expected and version(record) != expected:
        raise Overtaken(f"{what} was changed by somebody else meanwhile", hint="look at it again, then decide")
