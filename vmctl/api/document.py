"""The API's document (OpenAPI 3.1): what the framework makes of the routes, and what it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vmctl.api.problems import Problem
from vmctl.api.routes import PREFIX

SUMMARY = "A manager of KVM clusters: hosts, VMs, plans, processes."
TOKEN = {"type": "http", "scheme": "bearer", "description": "vmctl token create, or POST /api/v1/login"}
OPEN = (f"{PREFIX}/login",)  # needs no token


def document(app: FastAPI) -> dict[str, Any]:
    """Made once, when it is first asked for."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=SUMMARY, routes=app.routes)
        made["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        made["components"]["securitySchemes"] = {"token": TOKEN}
        for path, methods in made["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if path in OPEN else [{"token": []}]
        app.openapi_schema = made
    return app.openapi_schema
