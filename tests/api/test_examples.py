"""Every operation of the API's document has an example, which is what it describes."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest

from vmctl.api import requests
from vmctl.api.app import make_app
from vmctl.api.document import EXAMPLES
from vmctl.api.routes import ARGUMENT
from vmctl.commands import catalogue
from vmctl.commands.rows import Asked

UNANSWERED = {  # need a host, or go on
    *(
        "BeginUpload",
        "CancelTask",
        "CollectJob",
        "FetchFile",
        "FetchImage",
        "FollowOutput",
        "FollowTask",
        "Metrics",
        "WritePiece",
    ),
}
ROWS = [row for row in catalogue.ROWS if row.way]


@cache
def document() -> dict[str, Any]:
    """What /openapi.json gives: of the table alone."""
    served: Any = SimpleNamespace(door=SimpleNamespace(rows=catalogue.ROWS))
    return dict(make_app(served).openapi())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.arguments.__name__)
def test_an_example_is_what_the_document_describes(row: Asked) -> None:
    name, whole = row.arguments.__name__, document()
    operation = whole["paths"][f"/api/v1/{row.path}"][row.method.lower()]
    shown = {one["name"]: one["example"] for one in operation.get("parameters", ()) if "example" in one}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example", {})
    given = shown | body
    if model := requests.model(row.arguments, tuple(ARGUMENT.findall(row.path))):
        model.model_validate({key: value for key, value in given.items() if key in model.model_fields})
    assert set(ARGUMENT.findall(row.path)) <= set(given), "each part of the path is shown"
    answer = operation["responses"].get("202") or operation["responses"]["200"]
    content = answer.get("content", {}).get("application/json", {})
    assert ("example" in content) == (name not in UNANSWERED)
    if "example" in content:
        schema: dict[str, Any] = content.get("schema", {}) | {"components": whole["components"]}
        jsonschema_rs.validate(schema, content["example"])


def test_no_example_is_of_what_is_gone() -> None:
    kept = json.loads(EXAMPLES.read_text())
    assert set(kept) == {row.arguments.__name__ for row in ROWS}, "python -m tests.examples --write"


def test_no_example_shows_a_secret() -> None:
    assert "vmctl_" not in EXAMPLES.read_text().replace('"vmctl_..."', "")
