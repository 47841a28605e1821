"""Controllers' lives: one at a time; who was ended writes nothing more, whatever it still has under way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.orm import Session

from tests.postgres import Postgres
from tests.store.conftest import New
from vmctl.errors import NotFound, Refused, RegistryUnusable
from vmctl.model.audit import Entry
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import ClusterValue, Event, HostRecord
from vmctl.model.replicas import HostSession, Replica
from vmctl.ports.store import Store
from vmctl.ports.turns import come_last
from vmctl.services.claims import Deposed
from vmctl.store import postgres
from vmctl.store.opening import open_store
from vmctl.store.postgres import LIMIT_S, WRITERS

FIRST = Replica("life-1", "kvm1", "home-1", "0.1", 1.0)
OTHER = Replica("life-2", "kvm2", "home-2", "0.1", 2.0)


async def test_one_that_begins_again_where_it_was_is_another_life(registry: Store) -> None:
    registry.begin_life(FIRST)
    await registry.beat("life-1", 5.0)
    registry.begin_life(replace(FIRST, life="life-3", started_at=9.0))
    first, again = await registry.all(Replica)
    assert (first.beat, first.ended_at, first.why) == (1, 9.0, "a later one began in its place")
    assert first.beat_at == 5.0 or registry.shared
    assert again.ended_at is None
    with pytest.raises(Deposed):
        await registry.beat("life-1", 10.0)


async def test_one_from_elsewhere_is_refused_until_somebody_knows_that_the_other_is_dead(registry: Store) -> None:
    registry.begin_life(FIRST)
    if not registry.shared:
        with pytest.raises(Refused, match="the controller kvm1 uses this registry") as caught:
            registry.begin_life(OTHER)
        assert "vmctl controller remove kvm1" in caught.value.hint
    assert [one.life for one in await registry.all(Replica)] == ["life-1"]
    told, entry = (
        Event("controller", "kvm1", "anna signed", 3.0),
        Entry(3.0, "anna", "controller remove", "kvm1", "done"),
    )
    await registry.end_life("life-1", "anna signed", 3.0, told=[told], entry=entry)
    assert [one.text for one in await registry.events()] == ["anna signed"]
    assert ["controller remove" in one.text for one in await registry.newest_audited()] == [True]
    registry.begin_life(OTHER)
    found = await registry.all(Replica)
    assert [one.life for one in (await registry.lives())[0]] == ["life-2"]
    assert [(one.ended_at, one.why) for one in found] == [(3.0, "anna signed"), (None, "")]


async def test_a_machine_that_was_copied_ends_nobody(registry: Store) -> None:
    """It has the same home, and no lock that the other one would see. On a file the lock is the same one."""
    registry.begin_life(replace(FIRST, boot_id="one"))
    registry.begin_life(replace(FIRST, life="life-3", boot_id="another", started_at=9.0))
    alive = [one.life for one in (await registry.lives())[0]]
    assert alive == (["life-1", "life-3"] if registry.shared else ["life-3"])
    registry.begin_life(replace(FIRST, life="life-4", boot_id="another", started_at=10.0))
    alive = [one.life for one in (await registry.lives())[0]]
    assert alive == (["life-1", "life-4"] if registry.shared else ["life-4"])


async def test_what_is_no_life_cannot_end(registry: Store) -> None:
    with pytest.raises(NotFound):
        await registry.end_life("nobody", "", 1.0)
    with pytest.raises(Deposed):
        await registry.beat("nobody", 1.0)


async def test_of_two_that_begin_at_once_one_does_where_there_is_a_file(new: New) -> None:
    store = new()
    both = await asyncio.gather(
        *(asyncio.to_thread(store.begin_life, one) for one in (FIRST, OTHER)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["NoneType", "NoneType" if store.shared else "Refused"]


async def test_one_leads_until_its_life_has_ended(registry: Store) -> None:
    await registry.put(FIRST)
    await registry.put(OTHER)
    assert (await registry.lives())[1] is None
    told = Event("controller", "kvm1", "kvm1 leads", 5.0)
    first = await registry.lead("life-1", 5.0, told=[told])
    assert first is not None and (first.life, first.term, first.since) == ("life-1", 1, 5.0)
    assert await registry.lead("life-1", 6.0, told=[told]) == first  # asked again, as after a lost answer
    assert await registry.lead("life-2", 6.0) is None
    await registry.end_life("life-1", "it was stopped", 7.0)
    second = await registry.lead("life-2", 8.0)
    assert second is not None and (second.life, second.term) == ("life-2", 2)
    assert await registry.lead("life-1", 9.0) is None  # it is over
    lives, lead = await registry.lives()
    assert [one.life for one in lives] == ["life-2"] and lead == second
    assert [one.text for one in await registry.events()] == ["kvm1 leads"]


async def test_of_many_that_would_lead_one_does(new: New) -> None:
    store = new()
    for number in range(8):
        await store.put(replace(FIRST, life=f"life-{number}", home=f"home-{number}"))
    found = await asyncio.gather(*(store.lead(f"life-{number}", 2.0) for number in range(8)))
    [lead] = [one for one in found if one is not None]
    assert (await store.lives())[1] == lead and lead.term == 1


async def test_only_who_stands_still_is_buried(registry: Store) -> None:
    await registry.put(FIRST)
    await registry.beat("life-1", 2.0)
    told = Event("controller", "kvm1", "not heard", 9.0)
    assert not await registry.bury("life-1", 0, "not heard for 6 s", 9.0, told=[told])  # it has beaten since
    await registry.beat("life-1", 9.5)
    [alive], _ = await registry.lives()
    assert await registry.bury("life-1", alive.beat, "not heard for 6 s", 9.0, told=[told])
    assert not await registry.bury("life-1", alive.beat, "not heard for 6 s", 10.0, told=[told])  # somebody did already
    assert not await registry.bury("nobody", 0, "", 10.0)
    [ended] = await registry.all(Replica)
    assert (ended.ended_at, ended.why) == (9.0, "not heard for 6 s")
    assert [one.text for one in await registry.events()] == ["not heard"]
    with pytest.raises(Deposed):
        await registry.beat("life-1", 11.0)


async def test_what_ended_lives_left_on_a_host_is_known_and_forgotten(registry: Store) -> None:
    await registry.put(FIRST)
    await registry.put(OTHER)
    await registry.put(HostRecord("kvm1", "kvm1", "k", "f", 1.0))
    await registry.lead("life-1", 1.0)
    left = HostSession("kvm1", "boot", 17, 4000, "life-1", 1.0)
    alive = HostSession("kvm1", "boot", 18, 4001, "life-2", 1.0)
    for one in (left, replace(left, host="kvm2"), alive):
        await registry.keep_session(one)
    assert await registry.left_sessions("kvm1", "life-2") == [alive]
    await registry.end_life("life-1", "it was stopped", 2.0)
    assert await registry.left_sessions("kvm1", "life-2") == [left, alive]
    mine = HostSession("kvm1", "boot", 19, 5000, "life-2", 3.0)
    await registry.keep_session(mine, [left, alive])
    await registry.keep_session(mine, [left, alive])
    assert await registry.left_sessions("kvm1", "life-2") == [mine]
    assert await registry.left_sessions("kvm1", "life-3") == [mine]  # it neither leads nor watches
    await registry.share_out({"kvm1": "life-2"}, 3.0)
    assert await registry.left_sessions("kvm1", "life-3") == []
    assert sorted((one.host, one.pid) for one in await registry.all(HostSession)) == [("kvm1", 19), ("kvm2", 17)]
    await registry.prune(2.0 + 31 * 86400.0)
    assert await registry.all(HostSession) == [mine]


async def test_a_log_in_on_a_host_that_is_away_is_known_however_long_that_is(registry: Store) -> None:
    await registry.put(FIRST)
    await registry.put(HostRecord("kvm1", "kvm1", "k", "f", 1.0))
    left = HostSession("kvm1", "boot", 17, 4000, "life-1", 1.0)
    await registry.keep_session(left)
    await registry.end_life("life-1", "it was stopped", 2.0)
    await registry.prune(2.0 + 400 * 86400.0)
    assert not await registry.all(Replica)
    assert await registry.left_sessions("kvm1", "life-2") == [left]


@pytest.mark.parametrize("how", ["buried", "a later one in its place", "removed"])
async def test_no_life_ends_in_the_middle_of_what_it_writes(dsn: str, how: str) -> None:
    """Whoever comes after it has seen what was there before: what is committed later he would not know of."""
    first, second = (open_store(dsn, Path("/none")) for _ in range(2))
    first.begin_life(FIRST)
    second.begin_life(OTHER)
    inside, go_on = threading.Event(), threading.Event()

    def work(db: Session) -> None:
        inside.set()
        go_on.wait(10)
        db.connection().exec_driver_sql("INSERT INTO setting (name, value) VALUES ('late', '')")

    async def end() -> bool:
        if how == "buried":
            return await second.bury("life-1", 0, "not heard", 9.0)
        if how == "removed":
            await second.end_life("life-1", "removed", 9.0)
        else:
            await asyncio.to_thread(second.begin_life, replace(FIRST, life="life-3"))
        return True

    writing = asyncio.create_task(first.database.write(work))
    await asyncio.to_thread(inside.wait, 10)
    ending = asyncio.create_task(end())
    done, _ = await asyncio.wait([ending], timeout=1.0)
    # Who buries looks again in a moment; who knows that it is over waits.
    assert bool(done) == (how == "buried") and not any(task.result() for task in done)
    assert "life-1" in [one.life for one in (await second.lives())[0]]
    go_on.set()
    await writing
    await ending
    assert how != "buried" or await end()
    assert "life-1" not in [one.life for one in (await second.lives())[0]]
    with pytest.raises(Deposed):
        await first.put(ClusterValue("later", ""))
    for store in (first, second):
        await store.close()


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("lives", "empty")
    postgres_server.drop("lives")


async def test_how_long_one_was_not_heard_is_by_the_servers_clock(dsn: str) -> None:
    """Whatever its own clock says: it began in 1970, and beats in the year 3000."""
    store = open_store(dsn, Path("/none"))
    store.begin_life(FIRST)
    assert [heard_s for _, heard_s in await store.heard()] == [pytest.approx(0.0, abs=30.0)]
    await store.beat("life-1", 3.25e10)
    assert [heard_s for _, heard_s in await store.heard()] == [pytest.approx(0.0, abs=30.0)]
    with psycopg.connect(dsn) as opened:
        opened.execute("UPDATE replica SET beat_at = beat_at - 3600")
    assert [heard_s for _, heard_s in await store.heard()] == [pytest.approx(3600.0, abs=30.0)]
    assert [one.life for one, _ in await store.heard("life-1")] == ["life-1"] and not await store.heard("nobody")
    await store.close()


async def test_who_was_ended_writes_nothing_more_and_reads_on(dsn: str) -> None:
    first, second = open_store(dsn, Path("/none")), open_store(dsn, Path("/none"))
    first.begin_life(FIRST)
    await first.put(ClusterValue("a", "first"))
    await second.end_life("life-1", "anna signed", 3.0)
    await second.end_life("life-1", "again", 4.0)
    assert [(one.ended_at, one.why) for one in await second.all(Replica)] == [(3.0, "anna signed")]
    second.begin_life(OTHER)
    writes = (
        first.put(ClusterValue("a", "late")),
        first.put(HostRecord("kvm9", "kvm9", "k", "f", 1.0)),
        first.patiently(lambda: first.put(ClusterValue("b", "late"))),
        first.ledger.prune(1.0, LedgerPolicy()),
    )
    for write in writes:
        with pytest.raises(Deposed):
            await write
    assert await first.all(ClusterValue) == [ClusterValue("a", "first")] == await second.all(ClusterValue)
    await second.put(ClusterValue("a", "second"))
    for store in (first, second):
        await store.close()


async def test_who_ends_a_life_waits_for_what_it_has_under_way(dsn: str) -> None:
    """A transaction that looked before is written before: none is written after its life's end."""
    first, second = open_store(dsn, Path("/none")), open_store(dsn, Path("/none"))
    first.begin_life(FIRST)
    inside, go_on = threading.Event(), threading.Event()

    def slow(db: Session) -> None:
        db.connection().exec_driver_sql("INSERT INTO setting VALUES ('slow', 'written')")
        inside.set()
        go_on.wait(5)

    writing = asyncio.create_task(first.database.write(slow))
    await asyncio.to_thread(inside.wait, 5)
    await first.beat("life-1", 2.0)  # it is not held up by what is under way
    ending = asyncio.create_task(second.end_life("life-1", "anna signed", 3.0))
    await asyncio.sleep(0.3)
    assert not ending.done()
    go_on.set()
    await writing
    await ending
    assert await second.all(ClusterValue) == [ClusterValue("slow", "written")]
    with pytest.raises(Deposed):
        await first.put(ClusterValue("a", "late"))
    for store in (first, second):
        await store.close()


async def test_nobody_waits_behind_what_looks_after_hosts(dsn: str) -> None:
    """A thousand hosts come up: each reads and writes, and a question and a command are answered meanwhile."""
    store = open_store(dsn, Path("/none"))
    done: list[int] = []

    def slow(_db: Session) -> None:
        time.sleep(0.05)
        done.append(1)

    async def look_after() -> None:
        come_last()
        await store.database.read(slow)
        await store.database.write(slow)

    looks = [asyncio.create_task(look_after()) for _ in range(40)]
    await asyncio.sleep(0.1)
    for number in range(5):
        await store.all(ClusterValue)
        await store.put(ClusterValue("a", str(number)))
    assert not all(look.done() for look in looks), "it went past them"
    await asyncio.gather(*looks)
    assert len(done) == 80
    await store.close()


async def test_what_comes_last_has_all_its_time_when_its_turn_comes(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LIMIT_S", 1.5)
    store = open_store(dsn, Path("/none"))

    async def look() -> list[ClusterValue]:
        come_last()
        await store.database.read(lambda _db: time.sleep(0.5))
        return await store.all(ClusterValue)

    assert await asyncio.gather(*(asyncio.create_task(look()) for _ in range(8))) == [[]] * 8
    await store.close()


async def test_a_heartbeat_waits_for_nothing_else_and_not_for_long(dsn: str) -> None:
    """All threads that write are busy; a row that somebody holds is given up soon, so that the next one is tried."""
    store = open_store(dsn, Path("/none"))
    store.begin_life(FIRST)
    go_on = threading.Event()
    busy = [asyncio.create_task(store.database.write(lambda _db: go_on.wait(20))) for _ in range(WRITERS)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(2.0):
        await store.beat("life-1", 2.0)
    go_on.set()
    await asyncio.gather(*busy)
    with psycopg.connect(dsn) as holds:
        holds.execute("SELECT 1 FROM replica FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(RegistryUnusable):
            await store.beat("life-1", 3.0)
        assert time.monotonic() - began < LIMIT_S - 2.0
    await store.beat("life-1", 4.0)
    await store.close()
