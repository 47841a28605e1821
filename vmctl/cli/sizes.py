"""Sizes as people write them: 512M, 2G, 1.5GiB, 1T. Powers of 1024."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from vmctl import text

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(size: str, default_unit: str = "") -> int:
    """Bytes. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)(?:I?B)?\s*", size.upper())
    if not found:
        raise ValueError(f"{text.shown(size)} is not a size: write 512M, 2G or 1.5T")
    return int(float(found.group(1)) * UNITS[found.group(2) or default_unit])


class Size(click.ParamType[Any]):
    """A size in bytes; a bare number counts `default_unit`."""

    name = "SIZE"

    def __init__(self, default_unit: str, least: str = "", most: str = "") -> None:
        self._default_unit = default_unit
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = parse_bytes(str(value), self._default_unit)
        except ValueError as err:
            self.fail(str(err), param, ctx)
        if self._least and found < parse_bytes(self._least):
            self.fail(f"at least {self._least}", param, ctx)
        if self._most and found > parse_bytes(self._most):
            self.fail(f"at most {self._most}", param, ctx)
        return found


class Amount(click.FloatRange):
    """A number in a range. What is not a number, or without end, is in none."""

    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number of anything", param, ctx)
        return found


class Name(click.ParamType[Any]):
    """A name for something new."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if problem := text.bad_name(str(value)):
            self.fail(problem, param, ctx)
        return str(value)


class Label(click.ParamType[Any]):
    """KEY=VALUE."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{text.shown(str(value))} is not KEY=VALUE", param, ctx)
        if problem := text.bad_labels({key: rest}):
            self.fail(problem, param, ctx)
        return key, rest
