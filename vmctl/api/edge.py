"""The API's edge: what nobody expected is logged whole and told in one sentence; a sick registry is told, too."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from vmctl.api.limits import App, Receive, Scope, Send
from vmctl.api.peers import is_local
from vmctl.api.problems import OUT_OF_ORDER, ProblemResponse
from vmctl.errors import VmctlError

log = logging.getLogger("vmctl.api")
WARNING = "X-Vmctl-Warning"  # percent-encoded


class Edge:
    """Around the application. No base class of the library: those cost as much as the rest of a request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, begun = Request(scope), False

        async def warned(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _warn(request, message)
            await send(message)

        try:
            await self._app(scope, receive, warned)
        except Exception as err:
            log.exception("%s %s broke", request.method, request.url.path)
            if begun:
                raise  # half an answer is no answer: the connection ends
            # What it says may name files of this machine.
            what = f"{type(err).__name__}: {err}" if is_local(request) else "this broke; the controller's log has why"
            await ProblemResponse(VmctlError(what))(scope, receive, send)


def _warn(request: Request, message: MutableMapping[str, Any]) -> None:
    """What is shown may be older than what was done: whoever reads it should know."""
    trouble = request.app.state.door.trouble() if message["status"] < 400 and "app" in request.scope else ""
    if trouble:
        said = trouble if is_local(request) else OUT_OF_ORDER
        headers = MutableHeaders(scope=message)
        before = f"{unquote(headers[WARNING])}; " if WARNING in headers else ""
        headers[WARNING] = quote(f"{before}{said}; what is shown may be out of date")
