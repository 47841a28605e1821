"""The registry on a real SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vmctl.errors import NotFound, Refused, RegistryUnusable
from vmctl.model import Boot, Disk, PowerState, Spec
from vmctl.records import Event, HostRecord, Mean, Task, TaskState, VMRecord
from vmctl.store.store import Store

SPEC = Spec(
    "u1", "web1", 2, 512, (Disk("main", "/shared/web1.qcow2"),), "52:54:00:00:00:01", boot=Boot("/k", "/i", "c")
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "registry.db")
    yield opened
    await opened.close()


async def test_records_come_back_as_they_went_in(store: Store) -> None:
    host = HostRecord("kvm1", "10.0.0.1", "ssh-ed25519 AAAA", "SHA256:x", 1.0, labels={"rack": "a"})
    vm = VMRecord(SPEC, created_at=2.0, power=PowerState.RUNNING, host="kvm1")
    await store.put(host)
    await store.add_vm(vm)
    assert await store.all(HostRecord) == [host]
    assert await store.vm("web1") == vm == await store.vm("u1")
    await store.change(HostRecord, "kvm1", draining=True)
    assert (await store.get(HostRecord, "kvm1")).draining


async def test_a_registry_that_was_closed_is_read_again(tmp_path: Path) -> None:
    first = Store.open(tmp_path / "registry.db")
    await first.add_vm(VMRecord(SPEC, created_at=2.0))
    await first.close()
    second = Store.open(tmp_path / "registry.db")
    assert (await second.vm("web1")).spec == SPEC
    await second.close()
    assert (tmp_path / "registry.db").stat().st_mode & 0o077 == 0


async def test_a_missing_name_says_where_to_look(store: Store) -> None:
    with pytest.raises(NotFound, match="no VM 'nope'") as caught:
        await store.vm("nope")
    assert caught.value.hint == "vmctl list"


async def test_a_name_is_taken_once(store: Store) -> None:
    await store.add_vm(VMRecord(SPEC, created_at=2.0))
    with pytest.raises(Refused, match="already a VM"):
        await store.add_vm(VMRecord(Spec("u2", "web1", 1, 128), created_at=3.0))


async def test_only_one_of_many_tasks_gets_a_vm(store: Store) -> None:
    vm = VMRecord(SPEC, created_at=2.0)
    await store.add_vm(vm)
    tasks = [await store.add(Task(0, "migrate", "web1", created_at=1.0)) for _ in range(8)]
    outcomes = await asyncio.gather(*(store.claim(vm, task) for task in tasks), return_exceptions=True)
    assert sum(isinstance(outcome, VMRecord) for outcome in outcomes) == 1
    refused = next(outcome for outcome in outcomes if isinstance(outcome, Refused))
    assert "migrate" in refused.message
    holder = (await store.vm("web1")).task
    assert holder is not None
    await store.end_task(holder, state=TaskState.DONE)
    await store.claim(vm, tasks[0])
    assert (await store.get(Task, holder)).state is TaskState.DONE


async def test_a_lease_with_an_old_epoch_is_refused(store: Store) -> None:
    vm = VMRecord(SPEC, created_at=2.0)
    await store.add_vm(vm)
    newer = await store.lease(vm, "kvm1", PowerState.STARTING)
    assert (newer.host, newer.epoch) == ("kvm1", 1)
    with pytest.raises(Refused, match="somebody else"):
        await store.lease(vm, "kvm2", PowerState.STARTING)
    assert (await store.vm("web1")).host == "kvm1"


async def test_tasks_are_found_again_until_they_end(store: Store) -> None:
    number = await store.add(Task(0, "start", "web1", created_at=1.0))
    await store.change(Task, number, state=TaskState.RUNNING, journal={"target": "kvm2"})
    (task,) = await store.open_tasks()
    assert (task.id, task.state, task.journal) == (number, TaskState.RUNNING, {"target": "kvm2"})
    await store.change(Task, number, state=TaskState.DONE)
    assert await store.open_tasks() == []


async def test_what_is_old_is_pruned(store: Store) -> None:
    now = 40 * 86400.0
    minute = [Mean("host/kvm1", 60, now - age, {"cpu": 0.5}) for age in (60.0, 2 * 86400.0)]
    ten = [Mean("host/kvm1", 600, now - age, {"cpu": 0.5}) for age in (2 * 86400.0, 31 * 86400.0)]
    await store.add_means(minute + ten)
    await store.add_means(minute)
    await store.add(Event("note", "kvm1", "hello", now))
    assert await store.prune(now) == 2
    assert await store.means("host/kvm1", 60, 0.0) == [minute[0]]
    assert await store.means("host/kvm1", 600, 0.0) == [ten[0]]
    assert [event.text for event in await store.events()] == ["hello"]


async def test_while_the_registry_takes_nothing_that_is_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file system is full: a write waits, and whoever reads meanwhile is told."""
    monkeypatch.setattr("vmctl.store.store.TRY_AGAIN_S", 0.0)
    seen: list[str] = []

    async def write() -> str:
        seen.append(store.trouble)
        if len(seen) < 3:
            raise RegistryUnusable("no space left")
        return "written"

    assert await store.patiently(write) == "written"
    assert seen == ["", "no space left", "no space left"] and store.trouble == ""
