"""The whole application on a registry of the test's own, with no hosts."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.peers import LOCAL, by
from vmctl.api.app import make_app
from vmctl.cluster.controller import Controller
from vmctl.cluster.opening import open_controller
from vmctl.errors import error_from_json
from vmctl.local.config import Settings


class Server:
    """The application, asked as the command line's client asks it."""

    def __init__(self, controller: Controller, http: httpx.AsyncClient) -> None:
        self.controller = controller
        self._http = http

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request as it is, and its answer."""
        return await self._http.request(method, f"/api/v1/{path}", **more)

    async def get(self, *parts: str, **query: Any) -> Any:
        """The value, or the error that the controller raised."""
        known = {key: value for key, value in query.items() if value is not None}
        answer = await self._http.get("/api/v1/" + "/".join(parts), params=known or None)
        if answer.status_code >= 400:
            raise error_from_json(answer.json() | {"message": answer.json()["detail"]})
        return answer.json()


@pytest.fixture
async def server(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    shutil.copy(empty_registry, tmp_path / "data" / "registry.db")
    controller = open_controller(Settings(), tmp_path / "data", tmp_path / "run")
    app = make_app(controller)
    transport = httpx.ASGITransport(by(LOCAL, app))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://vmctl") as http,
    ):
        yield Server(controller, http)
