"""VMs that nobody has changed are not read again; whatever was changed, by whomever, is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.postgres import QUIET, Postgres, running
from vmctl.errors import Refused, RegistryUnusable
from vmctl.model.records import ClusterValue, VMRecord
from vmctl.model.vms import Spec
from vmctl.store.opening import open_store
from vmctl.store.postgres import upgrade
from vmctl.store.sql import SqlStore


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("unchanged", "empty")
    postgres_server.drop("unchanged")


def vm(number: int, host: str = "kvm1") -> VMRecord:
    return VMRecord(Spec(f"00000000-0000-0000-0000-{number:012}", f"web{number}", 1, 512), 1.0, host=host)


def opened(dsn: str) -> SqlStore:
    return open_store(dsn, Path("/none"))


async def test_only_what_was_changed_is_read_again(dsn: str) -> None:
    one, other = opened(dsn), opened(dsn)
    for number in range(3):
        await one.add_vm(vm(number))
    first = await one.all(VMRecord)
    assert [vm is again for vm, again in zip(first, await one.all(VMRecord), strict=True)] == [True] * 3
    await other.change(VMRecord, first[1].uuid, why="another controller says so")
    await other.remove(VMRecord, first[2].uuid)
    _, then, _ = await one.inventory()
    assert then[0] is first[0]
    assert then[1:] == [replace(first[1], why="another controller says so")]
    assert await one.find_vm("web1") is then[1]
    await other.add_vm(first[2])  # there again, as it was, and another row
    assert await one.all(VMRecord) == [*then, first[2]]
    for store in (one, other):
        await store.close()


async def test_what_was_written_and_taken_back_is_not_kept(dsn: str) -> None:
    store = opened(dsn)
    await store.add_vm(vm(1))
    before = await store.all(VMRecord)
    with pytest.raises(Refused, match="there is already"):
        await store.add_vm(replace(vm(2), spec=replace(vm(2).spec, name="web1")))
    with psycopg.connect(dsn) as other:
        other.execute("UPDATE vm SET why = 'not committed'")
        assert await store.all(VMRecord) == before
        other.rollback()
    assert await store.all(VMRecord) == before
    await store.close()


def _copy(data: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(data), str(to)], check=True)


async def _answers(store: SqlStore) -> None:
    until = time.monotonic() + 20.0
    while time.monotonic() < until:
        with contextlib.suppress(RegistryUnusable):
            await store.all(ClusterValue)  # of VMs nothing is read before the change
            return
    raise AssertionError("it does not answer")


async def test_a_crash_that_the_server_recovers_from_by_itself_may_give_numbers_again() -> None:
    """A change is lost that its author did not wait for; the next one has its number."""
    with running((*QUIET, "wal_writer_delay=10s")) as server:
        dsn = server.create("crashed")
        upgrade(dsn)
        store = opened(dsn)
        await store.add_vm(vm(1))
        careless = psycopg.connect(dsn)
        careless.execute("SET synchronous_commit = off")
        careless.execute("UPDATE vm SET why = 'this is lost'")
        lost = careless.execute("SELECT xmin::text FROM vm").fetchone()
        careless.commit()
        assert [vm.why for vm in await store.all(VMRecord)] == ["this is lost"]
        with psycopg.connect(dsn, autocommit=True) as other:
            os.kill(careless.info.backend_pid, signal.SIGKILL)
            careless.close()
            with pytest.raises(psycopg.OperationalError):  # a busy server goes on for a moment before it notices
                for _ in range(600):
                    other.execute("SELECT pg_sleep(0.05)")
        await _answers(store)
        with psycopg.connect(dsn) as another:
            another.execute("UPDATE vm SET why = 'this counts'")
            assert another.execute("SELECT xmin::text FROM vm").fetchone() == lost, "else this test shows nothing"
        assert [vm.why for vm in await store.all(VMRecord)] == ["this counts"]
        await store.close()


async def test_a_server_that_was_restored_counts_its_transactions_again() -> None:
    """A cold copy of its folder is put back: another change has the number that the one had which is lost."""
    with running() as server:
        dsn = server.create("restored")
        upgrade(dsn)
        store = opened(dsn)
        await store.add_vm(vm(1))
        server.stop(signal.SIGINT)
        copy = server.folder / "copy"
        _copy(server.data, copy)
        numbers = []
        for why in ("this is lost", "this counts"):
            server.start()
            await _answers(store)
            await store.change(VMRecord, vm(1).uuid, why=why)
            assert [vm.why for vm in await store.all(VMRecord)] == [why]
            with psycopg.connect(dsn) as looks:
                numbers.append(looks.execute("SELECT xmin::text FROM vm").fetchone())
            server.stop(signal.SIGINT)
            shutil.rmtree(server.data)
            _copy(copy, server.data)
        assert numbers[0] == numbers[1], "else this test shows nothing"
        await store.close()
