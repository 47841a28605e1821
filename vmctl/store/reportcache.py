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
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from vmctl.errors import Usage
from vmctl.services.walls import wall

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


def digest(body: bytes) -> str:
    """What tells a report from all others."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


class ReportCache:
    """Of one controller."""

    def __init__(self, text: str) -> None:
        """Raises Usage."""
        self._servers = servers(text)
        self._client: Any = None
        self._answers = True

    async def keep(self, bodies: Mapping[str, bytes]) -> None:
        """Keep reports by their digests, as far as that is done in time."""
        async with self._asked() as client:
            await asyncio.gather(*(client.set(_key(one), body, exptime=KEEP_S) for one, body in bodies.items()))

    async def find(self, digests: Collection[str]) -> dict[str, bytes]:
        """Reports by their digests: those that are there, and are what they should be."""
        async with self._asked() as client:
            found = await client.get_many([_key(one) for one in digests])
            named = {key.removeprefix(PREFIX).decode(): item.value for key, item in found.items()}
            return {one: body for one, body in named.items() if one in digests and digest(body) == one}
        return {}

    @contextlib.asynccontextmanager
    async def _asked(self) -> AsyncIterator[Any]:
        """The servers, for so long; what they fail at is not done."""
        answers = False
        with wall(log, WHAT), contextlib.suppress(*_trouble()):
            client = await self._opened()
            async with asyncio.timeout(LIMIT_S):
                yield client
            answers = True
        if answers is not self._answers:
            self._answers = answers
            log.info("%s %s", WHAT, "answers" if answers else "does not answer: the database is asked instead")

    async def close(self) -> None:
        """Let go of the servers."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError):  # while it looks for a server that is away, it may never be done
                async with asyncio.timeout(CLOSE_S):
                    await client.close()

    async def _opened(self) -> Any:
        if self._client is None:
            import emcache  # loaded by who has a cache

            places = [emcache.MemcachedHostAddress(host, port) for host, port in self._servers]
            self._client = await emcache.create_client(places, timeout=LIMIT_S, connection_timeout=1.0)
        return self._client


def _key(one: str) -> bytes:
    return PREFIX + one.encode()


def _trouble() -> tuple[type[BaseException], ...]:
    """What servers that fail raise."""
    import emcache

    return TimeoutError, OSError, emcache.CommandError, emcache.StorageCommandError
