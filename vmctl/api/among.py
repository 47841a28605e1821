"""The other controllers that share a registry: who they are, by which certificates they are known, the way to one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Protocol

import httpx

from vmctl.api import tls
from vmctl.api.told import GUESTS
from vmctl.model.replicas import Replica

log = logging.getLogger("vmctl.api")
CONNECT_S = 3.0
LOOK_S = 0.3
SOON_S = 1.0  # for what is done without where it does not come
Asked = Callable[[httpx.AsyncClient, str], httpx.Request]  # makes a request to where another controller is


class Cluster(Protocol):
    """Which controllers there are."""

    acting: bool  # this one leads, and answers

    @property
    def leader(self) -> Replica | None:
        """Another one that leads."""

    @property
    def others(self) -> list[Replica]:
        """All others that live."""

    @property
    def leads(self) -> bool:
        """Whether this one does."""

    def silent_s(self, life: str) -> float:
        """For how long another one was seen to say nothing."""

    async def news(self, limit_s: float | None = None) -> None:
        """Wait until any of this has changed, or for so long."""


class Peers:
    """The other controllers: by which certificates they are known, and the way to the one that leads."""

    def __init__(self, cluster: Cluster, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.cluster, self.client = cluster, client
        self._server = server
        self._known: dict[str, str] = {}  # certificate -> its fingerprint
        self._http = httpx.AsyncClient(
            verify=client,
            trust_env=False,  # no proxy of the environment's
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    def knows(self, fingerprint: str) -> bool:
        """Whether a certificate is that of a controller that lives."""
        return fingerprint in {self._fingerprint(one.certificate) for one in self.cluster.others}

    def believe(self) -> None:
        """Let in whoever lives."""
        for one in self.cluster.others:
            self._fingerprint(one.certificate)

    def _fingerprint(self, certificate: str) -> str:
        if certificate not in self._known:
            self._known[certificate] = ""
            with contextlib.suppress(ValueError):  # it has none: it does not share with others
                self._known[certificate] = tls.trust(self._server, certificate)
                tls.trust(self.client, certificate)
        return self._known[certificate]

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Who comes is known meanwhile."""
        watch = asyncio.create_task(self._watch(), name="know the other controllers")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await self._http.aclose()

    async def _watch(self) -> None:
        while True:
            self.believe()
            await self.cluster.news()

    async def guests(self, life: str, vms: Collection[str]) -> dict[str, dict[str, Any]]:
        """What guests have told another controller, which reads their ports; nothing where it does not answer soon."""
        other = next((one for one in self.cluster.others if one.life == life and one.address), None)
        if other is None:
            return {}
        self.believe()
        try:
            url = f"https://{other.address}{GUESTS}"
            answer = await self._http.post(url, json=list(vms), timeout=SOON_S)
            told: dict[str, dict[str, Any]] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as err:
            log.info("%s does not tell of guests: %s", other.name, err)
            return {}
        return told

    async def send(self, leader: Replica, asked: Asked, silence_s: float = math.inf) -> httpx.Response:
        """An answer, of which only the head is there.

        Raises httpx.TransportError, also where it leads no more, or has said nothing to anybody for so long.
        """
        self.believe()
        made = asked(self._http, f"https://{leader.address}")
        asking = asyncio.create_task(self._http.send(made, stream=True))
        answer: httpx.Response = await self.unless_it_ends(leader, asking, silence_s)
        return answer

    async def unless_it_ends(self, leader: Replica, work: asyncio.Task[Any], silence_s: float = math.inf) -> Any:
        """What the work gives; it is given up where that one leads no more: it may be frozen, or cut off."""
        return await first(work, asyncio.create_task(self._until_ended(leader, silence_s)))

    async def _until_ended(self, leader: Replica, silence_s: float) -> None:
        look_s = None if math.isinf(silence_s) else LOOK_S
        while (now := self.cluster.leader) is not None and now.life == leader.life:
            if self.cluster.silent_s(leader.life) >= silence_s:
                raise httpx.ReadError(f"{leader.name} does not answer")
            await self.cluster.news(look_s)
        raise httpx.ReadError(f"{leader.name} leads no more")


async def first(*works: asyncio.Task[Any]) -> Any:
    """What the first of them gives that ends, the earliest named of several; the others are given up."""
    try:
        done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        return next(work for work in works if work in done).result()
    finally:
        for work in works:
            work.cancel()
