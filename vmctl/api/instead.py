"""Questions that a controller answers itself while none leads, or the leader is silent: with the time they are of."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders

from vmctl.api.edge import WARNING
from vmctl.api.limits import App, Receive, Scope, Send
from vmctl.api.routes import ARGUMENT, PREFIX
from vmctl.commands.rows import Query
from vmctl.door import Door
from vmctl.model.replicas import LeaderHeard

AS_OF = "X-Vmctl-As-Of"  # beside an answer that may be older: when a leader was last heard, RFC 3339


class Instead:
    """Which questions those are, and the answers."""

    def __init__(self, door: Door) -> None:
        rows = (row for row in door.rows if isinstance(row, Query) and row.by_any)
        self._ways = re.compile("|".join(f"{PREFIX}/{ARGUMENT.sub('[^/]+', row.path)}" for row in rows))
        self._door = door

    def answers(self, scope: Scope) -> bool:
        """Whether a request asks for what is known here, too."""
        known_here = self._door.stand_in is not None and scope["method"] == "GET"
        return known_here and self._ways.fullmatch(scope["path"]) is not None

    async def answer(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it here. Raises RegistryUnusable."""
        assert self._door.stand_in is not None
        heard = await self._door.stand_in.read()

        async def marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _mark(MutableHeaders(scope=message), heard)
            await send(message)

        await app(scope, receive, marked)


def _mark(headers: MutableHeaders, heard: LeaderHeard | None) -> None:
    """What hosts and tasks did since is not in it."""
    last = "" if heard is None else f" (last heard {heard.ago_s:.0f} s ago)"
    headers[WARNING] = quote(f"no leader answers{last}: this is what another controller knows")
    if heard is not None:
        headers[AS_OF] = datetime.fromtimestamp(heard.at, UTC).isoformat(timespec="milliseconds")
