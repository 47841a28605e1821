"""Reports of hosts in memcached: servers that are there, away, frozen, restarted, or lie; nothing hangs on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.memcached import Memcached
from vmctl.errors import Usage
from vmctl.model.records import HostRecord
from vmctl.model.replicas import Replica
from vmctl.model.watching import HostReport
from vmctl.ports.store import Store
from vmctl.services.reports import Reports
from vmctl.store import reportcache
from vmctl.store.jsons import as_json
from vmctl.store.reportcache import ReportCache, digest, servers

HOSTS = ("kvm1", "kvm2", "kvm3")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests may take longer than the limit; that one is given up is tried apart."""
    monkeypatch.setattr(reportcache, "LIMIT_S", 0.5)


@pytest.fixture
def server() -> Iterator[Memcached]:
    made = Memcached()
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def cache(server: Memcached) -> AsyncIterator[ReportCache]:
    made = ReportCache(f"memcached://{server.place}")
    yield made
    await made.close()


class Counted:
    """A registry of which is counted how many bodies were taken from it."""

    def __init__(self, store: Store) -> None:
        self._store, self.bodies = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def reports(self, known: Any) -> list[HostReport]:
        found = await self._store.reports(known)
        self.bodies += len(found)
        return found


@pytest.fixture
async def pool(registry: Store) -> Counted:
    """A controller that watches three hosts."""
    await registry.put(Replica("life-1", "a", "home-1", "0.1", 1.0))
    for name in HOSTS:
        await registry.put(HostRecord(name, name, "k", "f", 1.0))
    await registry.share_out(dict.fromkeys(HOSTS, "life-1"), 1.0)
    return Counted(registry)


def told(number: int, **body: Any) -> list[HostReport]:
    return [HostReport(name, 1, number, {"name": name, "number": number, **body}) for name in HOSTS]


async def read(reports: Reports, known: dict[str, tuple[int, int]] | None = None) -> dict[str, Any]:
    found = await reports.news(known or {})
    return {one.host: one.body for one in sorted(found, key=lambda one: one.number)}


def wanted(number: int) -> dict[str, Any]:
    return {one.host: one.body for one in told(number)}


async def test_what_was_told_is_read_from_the_cache(pool: Counted, cache: ReportCache) -> None:
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    assert await read(reports) == wanted(1) and pool.bodies == 0
    assert await read(reports, dict.fromkeys(HOSTS, (1, 1))) == {}, "what is known is not read again"
    await reports.tell("life-1", told(2)[:1], 2.0)
    assert await read(reports, dict.fromkeys(HOSTS, (1, 1))) == {"kvm1": told(2)[0].body} and pool.bodies == 0


async def test_one_that_has_no_cache_reads_and_tells_as_ever(pool: Counted, cache: ReportCache) -> None:
    cached, plain = Reports(pool, cache), Reports(pool, None)
    await cached.tell("life-1", told(1), 1.0)
    assert await read(plain) == wanted(1)
    await plain.tell("life-1", told(2), 2.0)
    assert await read(cached) == wanted(2), "what was in the cache before is not taken for it"


async def test_a_server_that_restarts_has_nothing_and_that_harms_nobody(
    pool: Counted, cache: ReportCache, server: Memcached
) -> None:
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    server.stop()
    assert await read(reports) == wanted(1) and pool.bodies == len(HOSTS)
    await reports.tell("life-1", told(2), 2.0)
    assert await read(reports) == wanted(2)
    server.start()
    for number in range(3, 30):
        await reports.tell("life-1", told(number), 3.0)
        before = pool.bodies
        assert await read(reports) == wanted(number)
        if pool.bodies == before:
            break  # it is used again
        await asyncio.sleep(0.3)
    else:
        pytest.fail("it is not used again")


async def test_a_server_that_stands_still_is_given_up_in_time(
    pool: Counted, cache: ReportCache, server: Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    assert pool.bodies == 0
    monkeypatch.setattr(reportcache, "LIMIT_S", 0.02)
    server.stand_still()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await read(reports) == wanted(1) and pool.bodies == len(HOSTS)
    await reports.tell("life-1", told(2), 2.0)
    assert await read(reports) == wanted(2)
    assert loop.time() - began < 1.5, "three times the limit, and what the registry takes"
    server.go_on()


async def test_a_server_that_was_never_there_harms_nobody(pool: Counted) -> None:
    cache = ReportCache(f"memcached://{Memcached().place}")
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    assert await read(reports) == wanted(1)
    await cache.close()


async def test_what_a_server_lies_counts_nothing(pool: Counted, cache: ReportCache, server: Memcached) -> None:
    """Another body under that name, an older one, half of it, none."""
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    older = as_json(told(0)[0].body).encode()
    for report, lie in zip(told(1), (b'{"load": 0}', older, as_json(told(1)[2].body).encode()[:-3]), strict=True):
        key = b"vmctl-" + digest(report, as_json(report.body).encode()).encode()
        assert server.say(b"set %s 0 100 %d\r\n%s\r\n" % (key, len(lie), lie)).startswith(b"STORED")
    assert await read(reports) == wanted(1) and pool.bodies == len(HOSTS)


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"END\r\n" * 40, b"VALUE \r\n", b"\xff" * 500, b"SERVER_ERROR x\r\n"]
)
async def test_something_else_that_answers_there_harms_nobody(
    pool: Counted, says: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(says)
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    cache = ReportCache(f"memcached://127.0.0.1:{other.sockets[0].getsockname()[1]}")
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    assert await read(reports) == wanted(1)
    for number in range(2, 6):
        await reports.tell("life-1", told(number), 2.0)
        assert await read(reports) == wanted(number)
    said = [one for one in caplog.records if one.name == reportcache.__name__]
    assert len(said) <= 1 and not any(one.exc_info for one in said), "it is said once, and not each time"
    await cache.close()
    other.close()


async def test_what_the_registry_refused_is_never_read(pool: Counted, cache: ReportCache) -> None:
    """It was in the cache before the registry said that another one watches the host by now."""
    reports = Reports(pool, cache)
    await reports.tell("life-1", told(1), 1.0)
    await reports.tell("life-2", told(7), 2.0)
    assert await read(reports) == wanted(1)


async def test_two_hosts_of_which_the_same_is_told(pool: Counted, cache: ReportCache) -> None:
    reports = Reports(pool, cache)
    await reports.tell("life-1", [HostReport(name, 1, 1, {"away_s": 1.0}) for name in HOSTS], 1.0)
    assert await read(reports) == {name: {"away_s": 1.0} for name in HOSTS}


@pytest.mark.parametrize(
    "text", ["", "memcached://", "redis://a", "memcached://a:x", "memcached://a,,b", "a,b", "memcached://a:0"]
)
def test_what_is_no_cache_is_told(text: str) -> None:
    with pytest.raises(Usage, match="names no cache"):
        servers(text)


def test_several_servers() -> None:
    assert servers("memcached://a,b:11212, c") == [("a", 11211), ("b", 11212), ("c", 11211)]
