"""Migrations since the oldest version that may go on beside this one only add, and what they add has a default."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from vmctl.store.schema import COMPATIBLE_FROM, FOLDER

ADDS = {"add_column", "create_table", "create_index"}
SINCE = [path for path in sorted((FOLDER / "versions").glob("0*.py")) if path.name[:4] > COMPATIBLE_FROM]


def upgrades(text: str) -> list[ast.Call]:
    """The calls of a migration's `upgrade`."""
    [found] = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"]
    return [node for node in ast.walk(found) if isinstance(node, ast.Call)]


def called(call: ast.Call, module: str) -> str:
    """The name of what it calls of a module."""
    what = call.func
    of = isinstance(what, ast.Attribute) and isinstance(what.value, ast.Name) and what.value.id == module
    return what.attr if of and isinstance(what, ast.Attribute) else ""


@pytest.mark.parametrize("path", SINCE, ids=lambda path: path.name)
def test_it_only_adds(path: Path) -> None:
    calls = upgrades(path.read_text())
    done = {name for call in calls if (name := called(call, "op"))}
    assert done and done <= ADDS, "earlier versions could not go on: let COMPATIBLE_FROM be this revision"
    if "add_column" in done:
        for column in (call for call in calls if called(call, "sa") == "Column"):
            given = {word.arg for word in column.keywords}
            assert "server_default" in given, "earlier versions write rows without it"


def test_there_is_something_to_hold_them_to() -> None:
    assert SINCE and list((FOLDER / "versions").glob(f"{COMPATIBLE_FROM}_*.py"))
