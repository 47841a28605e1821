"""Lives, on a real SQLite file and in memory: written twice, found by every name, pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from vmctl.ledger import Changes, Life, Listening, Run, ShortLived
from vmctl.model.identity import Gpid
from vmctl.model.policy import LedgerPolicy
from vmctl.ports.store import Store
from vmctl.store import sqlite
from vmctl.store.database import Database
from vmctl.store.tables import Base

MACHINE = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
STARTED = 1_700_000_000_000_000


def life(pid: int = 812, **more: Any) -> Life:
    """A life of sshd."""
    made = Life(
        MACHINE, 0, "b1", pid, 4711, STARTED, "10.0.0.7", 22, 1, "sshd", "9.2", "sshd -D", "root", "S", 1,
        0.25, 0.5, 2048, 4096, 1000.0, 1010.0, samples=b"12345678",
    )  # fmt: skip
    return made._replace(**more)


def changes(*lives: Life, listening: tuple[Listening, ...] = ()) -> Changes:
    return Changes(
        {one.of: one.last_seen for one in lives},
        {one.incarnation: one for one in lives},
        {(one.uuid, one.ip, one.port, one.since): one for one in listening},
    )


def test_the_migrations_make_the_tables_that_the_code_knows(empty_registry: Path) -> None:
    engine = create_engine(f"sqlite:///{empty_registry}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_an_upgrade_that_breaks_half_way_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the controller dies in it: the registry is as it was before, and the next one upgrades it."""
    path = tmp_path / "registry.db"
    sqlite.upgrade(path, "0004")

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(op, "batch_alter_table", dies)
        sqlite.upgrade(path)
    sqlite.upgrade(path)
    test_the_migrations_make_the_tables_that_the_code_knows(path)


async def test_a_life_comes_back_as_it_went_in(registry: Store) -> None:
    ended = life(813, ended_at=1020.0, why="exit seen")
    await registry.ledger.write(changes(life(), ended))
    assert await registry.ledger.processes() == [life(), ended]
    assert await registry.ledger.processes(MACHINE, valid=True) == [life()]
    assert await registry.ledger.processes(MACHINE, "sshd", valid=False) == [ended]
    assert await registry.ledger.processes(OTHER) == await registry.ledger.processes(program="httpd") == []
    assert await registry.ledger.processes(most=1) == [life()]


async def test_a_life_written_again_keeps_its_beginning_and_its_name(registry: Store) -> None:
    await registry.ledger.write(changes(life(port=0, ip="", cpu_peak=2.0)))
    await registry.ledger.write(changes(life(first_seen=1005.0, started_us=1, cpu=0.1, cpu_peak=1.0)))
    await registry.ledger.write(changes(life(port=80, ip="10.0.0.9", rss_peak_kib=1, cpu=0.1, cpu_peak=1.0)))
    assert await registry.ledger.processes() == [life(cpu=0.1, cpu_peak=2.0)]


async def test_a_life_that_was_given_up_and_is_seen_again_goes_on(registry: Store) -> None:
    await registry.ledger.write(changes(life(ended_at=1020.0, why="host lost")))
    await registry.ledger.write(changes(life(last_seen=1030.0)))
    assert await registry.ledger.processes(valid=True) == [life(last_seen=1030.0)]


async def test_what_was_valid_is_found_after_a_restart(registry: Store) -> None:
    listens = Listening(life().uuid, "10.0.0.7", 22, 1000.0, None)
    closed = Listening(life().uuid, "10.0.0.7", 2222, 1000.0, 1001.0)
    await registry.ledger.write(changes(life(), life(1, ended_at=5.0), listening=(listens, closed)))
    await registry.ledger.write(Changes({Run(MACHINE, 0, "b1"): 1500.0}))
    await registry.ledger.write(Changes({Run(MACHINE, 0, "b1"): 1400.0}))
    assert [found async for found in registry.ledger.valid()] == [(Run(MACHINE, 0, "b1"), [life()])]
    assert await registry.ledger.runs() == {Run(MACHINE, 0, "b1"): 1500.0}
    assert await registry.ledger.open_ports() == {life().uuid: (listens,)}


async def test_the_same_pid_and_start_elsewhere_is_another_life(registry: Store) -> None:
    lives = [life(), life(machine=OTHER), life(boot_id="b2"), life(run=1), life(start_ticks=4712)]
    await registry.ledger.write(changes(*lives))
    assert sorted(await registry.ledger.processes()) == sorted(lives)


# -- names


async def test_a_life_is_found_by_every_name(registry: Store) -> None:
    await registry.ledger.write(changes(life(), life(7), life(machine=OTHER, ip="fe80::1")))
    digits = life().uuid.hex
    for name in (str(life().gpid), str(life().uuid), digits, digits.upper(), digits[:9], str(life().uuid)[:12]):
        assert await registry.ledger.find(name) == [life()], name
    early = Gpid("", 0, STARTED, 812)
    assert life() in await registry.ledger.find(str(early))
    assert await registry.ledger.find(str(life().gpid._replace(port=443))) == []
    assert await registry.ledger.find(f"[fe80::1]:22:{STARTED}:812") == [life(machine=OTHER, ip="fe80::1")]


@pytest.mark.parametrize("name", ["", "abc", "sshd", "10.0.0.7:22", "0" * 33])
async def test_what_is_no_name_is_a_value_error(registry: Store, name: str) -> None:
    with pytest.raises(ValueError, match="gpid"):
        await registry.ledger.find(name)


async def test_of_one_name_the_valid_and_newest_comes_first(registry: Store) -> None:
    """After a return to a snapshot the readable name is the same; the UUID is not."""
    before = life(ended_at=1100.0, why="superseded")
    after = life(run=1, first_seen=1100.0, last_seen=1110.0)
    await registry.ledger.write(changes(before, after))
    assert await registry.ledger.find(str(life().gpid)) == [after, before]
    assert await registry.ledger.find(str(before.uuid)) == [before]


# -- previous lives, and who listened


async def test_previous_lives_are_the_programs_own(registry: Store) -> None:
    now = life(900, start_ticks=9000, first_seen=3000.0, last_seen=3010.0)
    before = life(850, start_ticks=8000, first_seen=2000.0, last_seen=2010.0, ended_at=2020.0, boot_id="b0")
    older = life(ended_at=1020.0, command="sshd -D -p 22")  # another command, the same port
    session = life(901, port=0, command="sshd: user", ended_at=1020.0)
    strangers = [life(902, program="httpd"), life(machine=OTHER), life(903, first_seen=9000.0)]
    await registry.ledger.write(changes(now, before, older, session, *strangers))
    assert await registry.ledger.previous_lives(now) == [before, older]
    assert await registry.ledger.previous_lives(now, most=1) == [before]
    assert await registry.ledger.previous_lives(older) == []


async def test_who_listened_then(registry: Store) -> None:
    first, second = life(1, ended_at=2000.0), life(2, first_seen=2001.0)
    rows = (
        Listening(first.uuid, "10.0.0.7", 80, 1000.0, None),
        Listening(second.uuid, "10.0.0.7", 80, 2001.0, None),
        Listening(second.uuid, "10.0.0.8", 80, 1000.0, None),
    )
    await registry.ledger.write(changes(first, second, listening=rows))
    await registry.ledger.write(Changes(listening={(first.uuid, "", 0, 0.0): rows[0]._replace(until=2000.0)}))
    for at, expected in ((999.0, []), (1000.0, [first]), (2000.0, [first]), (2000.5, []), (2001.0, [second])):
        assert await registry.ledger.listening("10.0.0.7", 80, at) == expected, at
    assert await registry.ledger.listening("10.0.0.7", 81, 1500.0) == []


# -- counts and bounds


async def test_short_lives_add_up(registry: Store) -> None:
    for _ in range(2):
        await registry.ledger.write(Changes(short_lived=[ShortLived(MACHINE, "cron", 100, 3, 0.5)]))
    await registry.ledger.write(Changes(short_lived=[ShortLived(OTHER, "make", 99, 1, 9.0)]))
    assert await registry.ledger.short_lived(None, 99) == [
        ShortLived(OTHER, "make", 99, 1, 9.0),
        ShortLived(MACHINE, "cron", 100, 6, 1.0),
    ]
    assert await registry.ledger.short_lived(OTHER, 100) == []


async def test_what_is_old_or_too_much_is_forgotten(registry: Store) -> None:
    day = 86400.0
    now = 100 * day
    old = life(1, ended_at=now - 31 * day, last_seen=now - 31 * day, boot_id="b0")
    ended = [life(pid, ended_at=now - pid) for pid in range(10, 20)]
    others = [life(pid, machine=OTHER, ended_at=now - pid) for pid in range(10, 13)]
    rows = tuple(Listening(one.uuid, "10.0.0.7", one.pid, 1.0, one.ended_at) for one in (old, *ended))
    await registry.ledger.write(changes(life(), old, *ended, *others, listening=rows))
    await registry.ledger.write(Changes(short_lived=[ShortLived(MACHINE, "cron", day_, 1, 0.0) for day_ in (69, 99)]))
    assert await registry.ledger.prune(now, LedgerPolicy(days=30.0, rows_per_machine=3)) == 1 + 7
    assert await registry.ledger.processes(MACHINE) == [life(), *ended[:3]]
    assert await registry.ledger.processes(OTHER) == others
    assert await registry.ledger.listening("10.0.0.7", 19, now - 100.0) == []
    assert await registry.ledger.listening("10.0.0.7", 10, now - 100.0) == [ended[0]]
    assert [row.day for row in await registry.ledger.short_lived(None, 0)] == [99]
    assert await registry.ledger.prune(now, LedgerPolicy(days=30.0, rows_per_machine=3)) == 0


async def test_what_is_forgotten_between_two_batches_harms_none(
    registry: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was last seen long ago has no lives yet when it is looked at, and gets some a moment later."""
    real, pruned = Database.write, 0

    async def write(self: Database, work: Callable[[Session], Any]) -> Any:
        nonlocal pruned
        done = await real(self, work)
        monkeypatch.setattr(Database, "write", real)
        pruned += await registry.ledger.prune(100 * 86400.0, LedgerPolicy())
        monkeypatch.setattr(Database, "write", write)
        return done

    monkeypatch.setattr(Database, "write", write)
    await registry.ledger.write(changes(life(), life(813, boot_id="b0")))
    monkeypatch.setattr(Database, "write", real)
    assert sorted(await registry.ledger.processes()) == sorted([life(), life(813, boot_id="b0")])
    assert pruned == 0


async def test_many_lives_are_written_in_batches(registry: Store) -> None:
    many = [life(pid) for pid in range(1, 5001)]
    await registry.ledger.write(changes(*many))
    assert len(await registry.ledger.processes(most=10_000)) == 5000
