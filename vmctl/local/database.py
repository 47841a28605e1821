"""Writes into the settings which database the registry is in: for a machine whose controller joins others."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from vmctl.errors import Refused, Usage
from vmctl.local.paths import write_whole


def keep_database(file: Path, dsn: str) -> bool:
    """See that `database` of a settings file is that; whether it was written now. Whole, or not at all; mode 0600.

    Raises Refused where it is another one, Usage for a file that cannot be read.
    """
    before = file.read_text() if file.exists() else ""
    known = _read(before, file)
    if known.get("database", "") == dsn:
        return False
    if known.get("database"):
        raise Refused(f"{file} names another database", hint="take its line away where this machine is to join others")
    after = _with(before, dsn, replace="database" in known)
    if _read(after, file) != known | {"database": dsn}:
        raise Usage(f"{file} cannot be changed by itself", hint="write `database` above its sections")
    write_whole(file, after)
    return True


def _read(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Usage(f"{file} is not valid TOML: {err}") from err


def _with(text: str, dsn: str, *, replace: bool) -> str:
    """The settings with a database: in place of an empty one, or first, as what follows a section's head is its own."""
    line = f"database = {json.dumps(dsn)}"  # a JSON string is a TOML string
    if replace:
        return re.sub(r"^[ \t]*database[ \t]*=.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    return f"{line}\n{text}"
