"""Sizes as people write them: 512M, 2G, 1.5GiB, 1T. Powers of 1024."""

from __future__ import annotations

import re
from typing import Any

import click

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(text: str, default_unit: str = "") -> int:
    """Bytes. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if not found:
        raise ValueError(f"{text!r} is not a size: write 512M, 2G or 1.5T")
    return int(float(found.group(1)) * UNITS[found.group(2) or default_unit])


class Size(click.ParamType[Any]):
    """A size in bytes; a bare number counts `default_unit`."""

    name = "SIZE"

    def __init__(self, default_unit: str) -> None:
        self._default_unit = default_unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(str(value), self._default_unit)
        except ValueError as err:
            self.fail(str(err), param, ctx)


class Label(click.ParamType[Any]):
    """KEY=VALUE."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, rest
