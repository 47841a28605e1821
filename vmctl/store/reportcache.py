"""What is told of hosts, kept in memcached, so that readers need not take it from the database.

Never the truth: the database says which report is the newest, and a digest of it; what a cache has counts only where
it has that digest. So nothing hangs on it. Servers that are away, slow, stopped, restarted, or wrong cost a time limit
each time they are asked, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from vmctl.errors import Usage
from vmctl.model.watching import HostReport
from vmctl.services.walls import attempted

Asked = TypeVar("Asked")
log = logging.getLogger("vmctl.store.reportcache")
SCHEME, PORT = "memcached://", 11211
LIMIT_S = 0.02
CLOSE_S = 1.0
KEEP_S = 120  # longer than any report is the newest
PREFIX, WHAT = b"vmctl-", "the cache of what is told of hosts"


def servers(text: str) -> list[tuple[str, int]]:
    """HOST and port of each server of memcached://HOST[:PORT],... Raises Usage."""
    found = []
    for one in text.removeprefix(SCHEME).split(","):
        host, _, port = one.strip().partition(":")
        if not text.startswith(SCHEME) or not host or not (port or "1").isdigit() or not 0 < int(port or PORT) < 65536:
            raise Usage(f"{text!r} names no cache", hint=f"cache = {SCHEME}HOST[:PORT],HOST...")
        found.append((host, int(port or PORT)))
    return found


def digest(report: HostReport, body: bytes) -> str:
    """What tells a report from all others: of an earlier one, too, whose digest an older version left in the row."""
    head = f"{report.host} {report.epoch} {report.number} ".encode()
    return hashlib.blake2b(head + body, digest_size=16).hexdigest()


class ReportCache:
    """Of one controller."""

    def __init__(self, text: str) -> None:
        """Raises Usage."""
        import emcache  # loaded by who has a cache

        self._library, self._servers = emcache, servers(text)
        self._client: Any = None
        self._answers = True

    async def keep(self, bodies: Mapping[str, bytes]) -> None:
        """Keep reports by their digests, as far as that is done in time."""

        async def put(client: Any) -> None:
            await asyncio.gather(*(client.set(_key(one), body, exptime=KEEP_S) for one, body in bodies.items()))

        await self._ask(put)

    async def find(self, heads: Collection[HostReport]) -> dict[str, bytes]:
        """The bodies of reports, by their hosts: those that are there, and are what they should be."""

        async def get(client: Any) -> dict[bytes, Any]:
            found: dict[bytes, Any] = await client.get_many([_key(one.digest) for one in heads])
            return found

        there = await self._ask(get) or {}
        found = {one.host: (one, there[_key(one.digest)].value) for one in heads if _key(one.digest) in there}
        return {host: body for host, (one, body) in found.items() if digest(one, body) == one.digest}

    async def _ask(self, work: Callable[[Any], Awaitable[Asked]]) -> Asked | None:
        """What the servers say in time; what they fail at is not done."""

        async def ask() -> Asked:
            client = await self._opened()
            async with asyncio.timeout(LIMIT_S):
                return await work(client)

        answer, why = await attempted(ask())
        if bool(why) is self._answers:
            self._answers = not why
            log.info("%s %s", WHAT, f"does not answer ({why}): the database is asked" if why else "answers")
        return answer

    async def close(self) -> None:
        """Let go of the servers."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError):  # while it looks for a server that is away, it may never be done
                async with asyncio.timeout(CLOSE_S):
                    await client.close()

    async def _opened(self) -> Any:
        if self._client is None:
            places = [self._library.MemcachedHostAddress(host, port) for host, port in self._servers]
            self._client = await self._library.create_client(places, timeout=LIMIT_S, connection_timeout=1.0)
        return self._client


def _key(one: str) -> bytes:
    return PREFIX + one.encode()
