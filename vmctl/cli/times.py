"""Moments as people write them: 2026-11-21T10:00, with an offset or in UTC; 10 minutes ago."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

AGO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|seconds?|minutes?|hours?|days?)\s+ago\s*", re.IGNORECASE)
SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", re.IGNORECASE)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str, now: float) -> float:
    """UTC seconds. Raises ValueError."""
    if found := AGO.fullmatch(text):
        return now - float(found[1]) * SECONDS[found[2][0].lower()]
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write 2026-11-21T10:00 (UTC) or '10 minutes ago'") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


class Moment(click.ParamType[Any]):
    """A moment, as UTC seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return moment(str(value), time.time())
        except ValueError as err:
            self.fail(str(err), param, ctx)


class Span(click.ParamType[Any]):
    """A span of time, in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = SPAN.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a span of time: write 12h or 90d", param, ctx)
        return float(found[1]) * SECONDS[found[2].lower()]


def shown(at: float) -> str:
    """A moment for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
