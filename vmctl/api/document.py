"""The API's document (OpenAPI 3.1): what the framework makes of the routes, and what it cannot know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vmctl.api.problems import Problem
from vmctl.api.routes import PREFIX

SUMMARY = "A manager of KVM clusters: hosts, VMs, plans, processes."
TOKEN = {"type": "http", "scheme": "bearer", "description": "vmctl token create, or POST /api/v1/login"}
EXAMPLES = Path(__file__).with_name("examples.json")  # recorded: python -m tests.examples --write
OPEN = (f"{PREFIX}/login",)  # needs no token


def document(app: FastAPI) -> dict[str, Any]:
    """Made once, when it is first asked for."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=SUMMARY, routes=app.routes)
        made["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        examples = json.loads(EXAMPLES.read_text())
        made["components"]["securitySchemes"] = {"token": TOKEN}
        for path, methods in made["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if path in OPEN else [{"token": []}]
                _exemplify(operation, examples.get(operation["operationId"], {}))
        app.openapi_schema = made
    return app.openapi_schema


def _exemplify(operation: dict[str, Any], example: dict[str, Any]) -> None:
    """How it was asked once, and what was answered."""
    rest = dict(example.get("given", {}))
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in rest:
            parameter["example"] = rest.pop(parameter["name"])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and example:
        body["example"] = rest
    done = operation["responses"].get("202") or operation["responses"]["200"]
    if "answer" in example:
        done["content"]["application/json"]["example"] = example["answer"]
