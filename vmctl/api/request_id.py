"""The name that a request has in its answer and in every log line that it causes: its client's, or one of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEADER = b"x-request-id"
PLAIN = re.compile(rb"[A-Za-z0-9.-]{1,64}")  # may stand in a log: no token of ours, which have a _, is among it


def given(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What its client calls it; empty where that is nothing, or no short plain text."""
    found = next((value for name, value in headers if name == HEADER), b"")
    return found.decode() if PLAIN.fullmatch(found) else ""
