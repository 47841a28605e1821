"""How things are printed: a table for people, JSON, YAML or names for programs. No colour off a terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Column = tuple[str, Callable[[dict[str, Any]], Any]]
Namer = Callable[[dict[str, Any]], Any]
NUMBER = click.IntRange(1, 2**63 - 1)  # of a task or a job
FORMATS = ("table", "wide", "json", "yaml", "name")
PEOPLE = ("table", "wide")


def option(function: Callable[..., Any]) -> Callable[..., Any]:
    """-o FORMAT."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        help="How to print it.",
        show_default=True,
    )(function)


def name_of(item: Mapping[str, Any]) -> Any:
    """What a thing is called, or numbered."""
    return item.get("name") or item.get("id")


def rows(
    items: list[dict[str, Any]],
    form: str,
    columns: Sequence[Column],
    wide: Sequence[Column] = (),
    empty: str = "",
    name: Namer = name_of,
) -> None:
    """Print many things."""
    if not shown_as_data(items, form, name) and not items:
        print(empty, file=sys.stderr)
    elif form in PEOPLE:
        table([*columns, *(wide if form == "wide" else ())], items)


def shown_as_data(value: Any, form: str, name: Namer = name_of) -> bool:
    """Print a value, or a list of them, for a program; False where people are to read it."""
    if form in PEOPLE:
        return False
    data(value, form, name)
    return True


def data(value: Any, form: str, name: Namer = name_of) -> None:
    """Print a value for a program: whole, or the name of each thing on a line of its own."""
    if form == "yaml":
        import yaml

        print(yaml.safe_dump(value, sort_keys=False), end="")
    elif form == "name":
        for item in value if isinstance(value, list) else [value]:
            if (called := name(item)) not in (None, ""):
                print(clean(str(called)).replace("\n", " "))
    else:
        print(json.dumps(value, indent=2))


def result(value: dict[str, Any], form: str, sentence: str, name: Namer = name_of) -> None:
    """What came of a command that is done at once."""
    if not shown_as_data(value, form, name):
        say(sentence)


def table(columns: Sequence[Column], items: list[dict[str, Any]]) -> None:
    """Aligned columns; numbers to the right."""
    cells = [_cells(columns, item) for item in items]
    heads = [head for head, _ in columns]
    widths = [max((len(head), *(len(row[i]) for row in cells))) for i, head in enumerate(heads)]
    numeric = [all(_is_number(row[i]) for row in cells) for i in range(len(heads))]
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(style(_line(heads, widths, numeric)[:most], bold=True))
    for row in cells:
        print(_line(row, widths, numeric)[:most])


def _cells(columns: Sequence[Column], item: dict[str, Any]) -> list[str]:
    """A row. Of a thing that the controller could not show there is its name, and what is wrong with it."""
    if isinstance(item, dict) and "broken" in item:
        return [_cell(name_of(item)), _cell(item["broken"]), *("-" for _ in columns[2:])][: len(columns)]
    return [_cell(get(item)) for _, get in columns]


def _line(cells: Sequence[str], widths: list[int], numeric: list[bool]) -> str:
    parts = [c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths, numeric, strict=True)]
    return "  ".join(parts).rstrip()


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value)) or "-"
    return clean(str(value)).replace("\n", " ").replace("\t", " ")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-|\d[\d.]*[%a-zA-Z/]{0,4}", text) is not None


def clean(text: str) -> str:
    """Text from elsewhere without control characters: no name may move the cursor."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def escaped(text: str) -> str:
    """Text from inside a guest, on one line: what would do something to a terminal is shown as Python writes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def coloured(stream: Any = None) -> bool:
    """Whether colour is wanted there."""
    return (stream or sys.stdout).isatty() and "NO_COLOR" not in os.environ


def style(text: str, stream: Any = None, **how: Any) -> str:
    """Text in a style, on a terminal that wants it."""
    return click.style(text, **how) if coloured(stream) else text


def say(text: str) -> None:
    """One line of result for a person."""
    print(clean(text))


def pairs(values: Sequence[tuple[str, Any]]) -> None:
    """Names and values of one thing."""
    width = max(len(name) for name, _ in values)
    for name, value in values:
        print(f"{style(name.ljust(width), bold=True)}  {_cell(value)}")


# -- quantities


def mib(value: float | None) -> str:
    """Memory: 512M, 3.0G, 1.5T."""
    if value is None:
        return "-"
    if value < 1024:
        return f"{value:.0f}M"
    return f"{value / 1024:.1f}G" if value < 1 << 20 else f"{value / 2**20:.1f}T"


def in_bytes(count: float) -> str:
    """Bytes, as `mib` writes them."""
    return mib(count / 2**20)


def share(value: float | None, whole: float = 1.0) -> str:
    """A share as a percentage."""
    return "-" if value is None or not whole else f"{100 * value / whole:.0f}%"


def rate(value: float | None) -> str:
    """Bytes per second."""
    if value is None:
        return "-"
    for unit in ("B", "K", "M"):
        if value < 1024:
            return f"{value:.0f}{unit}/s"
        value /= 1024
    return f"{value:.1f}G/s"


def ago(seconds: float | None) -> str:
    """An age: 4s, 12m, 3h, 2d."""
    if seconds is None:
        return "-"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def took(task: Mapping[str, Any]) -> str:
    """How long a task or a job took, or takes so far."""
    return ago((task["ended_at"] or time.time()) - task["started_at"]) if task["started_at"] else "-"
