"""The registry, on a real SQLite file and in memory: one set of promises."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmctl.errors import NotFound, Overtaken, Refused, RegistryUnusable
from vmctl.model.access import Project
from vmctl.model.records import ClusterValue, Event, HostRecord, Image, LoadMean, Storage, Task, TaskState, VMRecord
from vmctl.model.rights import Sight
from vmctl.model.uploads import Upload, UploadState
from vmctl.model.vms import Boot, Disk, PowerState, Spec
from vmctl.ports.store import Store
from vmctl.store import patience
from vmctl.store.opening import open_store

SPEC = Spec(
    "u1", "web1", 2, 512, (Disk("main", "/shared/web1.qcow2"),), "52:54:00:00:00:01", boot=Boot("/k", "/i", "c")
)


async def test_records_come_back_as_they_went_in(registry: Store) -> None:
    host = HostRecord("kvm1", "10.0.0.1", "ssh-ed25519 AAAA", "SHA256:x", 1.0, labels={"rack": "a"})
    vm = VMRecord(SPEC, created_at=2.0, power=PowerState.RUNNING, host="kvm1")
    await registry.put(host)
    await registry.add_vm(vm)
    assert await registry.all(HostRecord) == [host]
    assert await registry.vm("web1") == vm == await registry.vm("u1")
    await registry.change(HostRecord, "kvm1", draining=True)
    assert (await registry.get(HostRecord, "kvm1")).draining


async def test_a_registry_that_was_closed_is_read_again(tmp_path: Path) -> None:
    first = open_store("", tmp_path / "registry.db")
    await first.add_vm(VMRecord(SPEC, created_at=2.0))
    await first.close()
    second = open_store("", tmp_path / "registry.db")
    assert (await second.vm("web1")).spec == SPEC
    await second.close()
    assert (tmp_path / "registry.db").stat().st_mode & 0o077 == 0


async def test_a_missing_name_says_where_to_look(registry: Store) -> None:
    with pytest.raises(NotFound, match="no VM 'nope'") as caught:
        await registry.vm("nope")
    assert caught.value.hint == "vmctl list"


async def test_a_name_is_taken_once(registry: Store) -> None:
    await registry.add_vm(VMRecord(SPEC, created_at=2.0))
    with pytest.raises(Refused, match="already a VM"):
        await registry.add_vm(VMRecord(Spec("u2", "web1", 1, 128), created_at=3.0))


async def test_only_one_of_many_tasks_gets_a_vm(registry: Store) -> None:
    vm = VMRecord(SPEC, created_at=2.0)
    await registry.add_vm(vm)
    tasks = [await registry.add(Task(0, "migrate", "web1", created_at=1.0)) for _ in range(8)]
    outcomes = await asyncio.gather(*(registry.claim(vm, task) for task in tasks), return_exceptions=True)
    assert sum(isinstance(outcome, VMRecord) for outcome in outcomes) == 1
    refused = next(outcome for outcome in outcomes if isinstance(outcome, Refused))
    assert "migrate" in refused.message
    holder = (await registry.vm("web1")).task
    assert holder is not None
    await registry.end_task(holder, state=TaskState.DONE)
    await registry.claim(vm, tasks[0])
    assert (await registry.get(Task, holder)).state is TaskState.DONE


async def test_a_lease_with_an_old_epoch_is_refused(registry: Store) -> None:
    vm = VMRecord(SPEC, created_at=2.0)
    await registry.add_vm(vm)
    newer = await registry.lease(vm, "kvm1", PowerState.STARTING)
    assert (newer.host, newer.epoch) == ("kvm1", 1)
    with pytest.raises(Refused, match="somebody else"):
        await registry.lease(vm, "kvm2", PowerState.STARTING)
    assert (await registry.vm("web1")).host == "kvm1"


@pytest.mark.parametrize("power", [PowerState.RUNNING, PowerState.STOPPED, PowerState.UNKNOWN])
async def test_a_lease_whose_answer_was_lost_is_not_taken_for_somebody_elses(
    registry: Any, power: PowerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written, and the answer lost: a second try finds another epoch than it had read, and it is its own."""
    monkeypatch.setattr(patience, "TRY_AGAIN_S", 0.0)
    vm = VMRecord(SPEC, created_at=2.0, may_run_on={"kvm3": ""})
    await registry.add_vm(vm)
    tried: list[VMRecord] = []
    real = registry._lease

    async def lost(*args: Any, **more: Any) -> VMRecord:
        tried.append(await real(*args, **more))
        raise RegistryUnusable("no answer")

    monkeypatch.setattr(registry, "_lease", lost)
    told = [Event("started", "web1", "web1 runs", 1.0)]
    written = await registry.lease(vm, "kvm1", power, told=told, why="as it was seen")
    assert len(tried) == 1 and written == tried[0] == await registry.vm("web1")
    assert (written.epoch, written.host, written.why) == (1, "kvm1", "as it was seen")
    assert [event.text for event in await registry.events()] == ["web1 runs"]


@pytest.mark.parametrize("change", [{"host": "kvm2"}, {"task": 7}, {"epoch": 2}])
async def test_a_lease_that_somebody_else_took_meanwhile_is_refused_after_a_lost_answer_too(
    registry: Any, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "TRY_AGAIN_S", 0.0)
    vm = VMRecord(SPEC, created_at=2.0)
    await registry.add_vm(vm)
    tried: list[VMRecord] = []
    real = registry._lease

    async def fails_and_another_one_writes(*args: Any, **more: Any) -> VMRecord:
        if not tried:
            tried.append(await real(vm, "kvm1", PowerState.RUNNING, gone=(), also=(), told=()))
            await registry.change(VMRecord, vm.uuid, **change)
            raise RegistryUnusable("no answer")
        taken: VMRecord = await real(*args, **more)
        return taken

    monkeypatch.setattr(registry, "_lease", fails_and_another_one_writes)
    with pytest.raises(Overtaken):
        await registry.lease(vm, "kvm1", PowerState.RUNNING)


async def test_tasks_are_found_again_until_they_end(registry: Store) -> None:
    number = await registry.add(Task(0, "start", "web1", created_at=1.0))
    await registry.change(Task, number, state=TaskState.RUNNING, journal={"target": "kvm2"})
    (task,) = await registry.open_tasks()
    assert (task.id, task.state, task.journal) == (number, TaskState.RUNNING, {"target": "kvm2"})
    await registry.change(Task, number, state=TaskState.DONE)
    assert await registry.open_tasks() == []


async def test_tasks_of_one_kind_and_ones_own(registry: Store) -> None:
    for kind, project, who in (
        *(("run", "blue", "anna"), ("start", "blue", "anna"), ("run", "red", "ben")),
        *(("run", "blue", "ben"), ("run", "red", "anna")),
    ):
        await registry.add(Task(0, kind, f"{project} {who}", created_at=1.0, project=project, who=who))

    async def found(**asked: Any) -> list[str]:
        return [task.subject for task in await registry.tasks(**asked)]

    assert await found(kind="run") == ["blue anna", "red ben", "blue ben", "red anna"]
    assert await found(kind="run", most=1) == ["red anna"]
    blue = Sight(projects=frozenset({"blue"}))
    assert await found(kind="run", sight=blue) == ["blue anna", "blue ben"]
    assert await found(kind="run", sight=blue, also_of="anna") == ["blue anna", "blue ben", "red anna"]
    assert await found(kind="run", sight=Sight(), also_of="anna") == ["blue anna", "red anna"]
    assert await found(kind="run", sight=Sight()) == []


async def test_what_is_old_is_pruned(registry: Store) -> None:
    now = 40 * 86400.0
    minute = [LoadMean("host/kvm1", 60, now - age, {"cpu": 0.5}) for age in (60.0, 2 * 86400.0)]
    ten = [LoadMean("host/kvm1", 600, now - age, {"cpu": 0.5}) for age in (2 * 86400.0, 31 * 86400.0)]
    await registry.add_means(minute + ten)
    await registry.add_means(minute)
    await registry.add(Event("note", "kvm1", "hello", now))
    assert await registry.prune(now) == 2
    assert await registry.means("host/kvm1", 60, 0.0) == [minute[0]]
    assert await registry.means("host/kvm1", 600, 0.0) == [ten[0]]
    assert [event.text for event in await registry.events()] == ["hello"]


@pytest.fixture
def small_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite as its makers ship it: a statement has at most 32766 values. Debian's may have 250000."""
    real = sqlite3.connect

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **more)
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32766)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)


@pytest.mark.usefixtures("small_statements")
async def test_the_means_of_a_large_cluster_are_kept_whole_or_not_at_all(registry: Store) -> None:
    """9000 subjects; who reads meanwhile sees all of them or none."""
    means = [LoadMean("vm/1", 60, float(at), {"cpu": 0.5}) for at in range(9000)]
    seen: set[int] = set()
    writing = asyncio.create_task(registry.add_means(means))
    while not writing.done():
        seen.add(len(await registry.means("vm/1", 60, 0.0)))
        await asyncio.sleep(0)
    await writing
    assert seen <= {0, 9000}
    assert await registry.means("vm/1", 60, 0.0) == means
    await registry.add_means([replace(means[7], values={"cpu": 1.0})])
    assert (await registry.means("vm/1", 60, 7.0))[0].values == {"cpu": 1.0}


async def test_while_the_registry_takes_nothing_that_is_known(registry: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file system is full: a write waits, and whoever reads meanwhile is told."""
    monkeypatch.setattr("vmctl.store.patience.TRY_AGAIN_S", 0.0)
    seen: list[str] = []

    async def write() -> str:
        seen.append(registry.trouble)
        if len(seen) < 3:
            raise RegistryUnusable("no space left")
        return "written"

    assert await registry.patiently(write) == "written"
    assert seen == ["", "no space left", "no space left"] and registry.trouble == ""


async def test_a_revision_is_made_of_what_is_there(registry: Store) -> None:
    """Many at once: none is lost."""
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0))

    def labelled(number: int) -> Callable[[HostRecord | None], HostRecord]:
        def change(host: HostRecord | None) -> HostRecord:
            assert host is not None
            return replace(host, labels=host.labels | {f"k{number}": "v"})

        return change

    await asyncio.gather(*(registry.revise(HostRecord, "kvm1", labelled(number)) for number in range(10)))
    assert len((await registry.get(HostRecord, "kvm1")).labels) == 10


async def test_a_revision_makes_what_is_not_there_and_an_error_changes_nothing(registry: Store) -> None:
    def more(kept: ClusterValue | None) -> ClusterValue:
        return ClusterValue("n", f"{kept.value if kept else ''}x")

    def broken(kept: ClusterValue | None) -> ClusterValue:
        raise NotFound("nothing like it")

    await asyncio.gather(*(registry.revise(ClusterValue, "n", more) for _ in range(3)))
    assert (await registry.get(ClusterValue, "n")).value == "xxx"
    with pytest.raises(NotFound):
        await registry.revise(ClusterValue, "n", broken)
    assert (await registry.get(ClusterValue, "n")).value == "xxx"


async def test_what_somebody_does_to_his_is_not_done_to_the_registry(registry: Store) -> None:
    labels = {"rack": "a"}
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0, labels=labels))
    labels["rack"] = "b"
    found = await registry.get(HostRecord, "kvm1")
    found.labels["rack"] = "c"
    assert (await registry.get(HostRecord, "kvm1")).labels == {"rack": "a"}


async def test_a_key_is_taken_once(registry: Store) -> None:
    await registry.put(Storage("main", "/s", 1.0))
    await registry.insert(Image("tiny", "main", "/tiny", 1.0))
    with pytest.raises(Refused, match="already an image 'tiny'"):
        await registry.insert(Image("tiny", "main", "/other", 2.0))
    assert (await registry.get(Image, "tiny")).path == "/tiny"


async def test_a_host_that_joins_may_lack_the_common_cpu(registry: Store) -> None:
    host = HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0)
    await registry.put(ClusterValue("cpu-baseline", "<cpu/>"))
    await registry.put(ClusterValue("other", "x"))
    await registry.add_host(host)
    assert await registry.all(HostRecord) == [host]
    assert await registry.all(ClusterValue) == [ClusterValue("other", "x")]
    await registry.put(ClusterValue("cpu-baseline", "<cpu/>"))
    with pytest.raises(Refused, match="already a host 'kvm1'"):
        await registry.add_host(replace(host, address="10.0.0.2"))
    assert await registry.all(HostRecord) == [host]
    assert len(await registry.all(ClusterValue)) == 2, "nobody joined"


async def test_a_host_joins_with_its_storages_or_not_at_all(registry: Store) -> None:
    kvm1, kvm2 = (HostRecord(f"kvm{n}", f"kvm{n}", "key", "SHA256:x", 1.0) for n in (1, 2))
    main, forgotten = Storage("main", "/s", 1.0, hosts=["kvm0"]), Storage("old", "/old", 1.0)
    other = Storage("spare", "/spare", 2.0)
    for kept in (main, other):
        await registry.put(kept)
    told = Event("host", "kvm1", "kvm1 joined", 2.0)
    await registry.add_host(kvm1, [main, forgotten], told=[told])
    with pytest.raises(Refused):
        await registry.add_host(kvm1, [main], told=[told])
    await registry.add_host(kvm2, [replace(other, added_at=1.0)])
    assert await registry.get(Storage, "spare") == other, "another one of that name was proven"
    assert (await registry.get(Storage, "main")).hosts == ["kvm0", "kvm1"]
    assert [event.text for event in await registry.events()] == ["kvm1 joined"]


async def test_one_machine_is_one_host(registry: Store) -> None:
    first = HostRecord("kvm1", "kvm1", "key", "SHA256:x", 1.0, about={"host_uuid": "m1"})
    await registry.add_host(first)
    with pytest.raises(Refused, match="the same machine as kvm1"):
        await registry.add_host(replace(first, name="twin1"))
    for number in (2, 3):  # of which that is not known
        await registry.add_host(HostRecord(f"kvm{number}", "x", "key", "SHA256:x", 1.0))
    assert len(await registry.all(HostRecord)) == 3


async def test_one_directory_is_one_storage(registry: Store) -> None:
    await registry.put(ClusterValue("proof/spare", "{}"))
    await registry.add_storage(Storage("main", "/s", 1.0))
    with pytest.raises(Refused, match="/s is storage main already"):
        await registry.add_storage(Storage("spare", "/s", 1.0))
    with pytest.raises(Refused, match="already a storage"):
        await registry.add_storage(Storage("main", "/other", 1.0))
    assert len(await registry.all(ClusterValue)) == 1
    await registry.add_storage(Storage("spare", "/spare", 1.0))
    assert await registry.all(ClusterValue) == [], "what an earlier one could do"


async def test_a_host_that_runs_a_vm_is_not_let_go_by_surprise(registry: Store) -> None:
    """One that was started since somebody looked."""
    await registry.add_host(HostRecord("kvm1", "kvm1", "key", "SHA256:x", 1.0))
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 64), 1.0, host="kvm1", power=PowerState.RUNNING))
    with pytest.raises(Refused, match="kvm1 runs web1"):
        await registry.remove_host("kvm1", force=False)
    assert await registry.find(HostRecord, "kvm1") is not None
    assert await registry.remove_host("kvm1", force=True) == ([], ["web1"])


async def test_a_machines_word_counts_for_each_of_its_names(registry: Store) -> None:
    """A host that was removed, and added again under another name."""
    about = {"host_uuid": "m2"}
    await registry.add_host(HostRecord("k2", "kvm2", "key", "SHA256:x", 1.0, about=about))
    may = {"kvm2": "m2", "k2": "m2", "kvm3": "m3"}
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 64), 1.0, power=PowerState.UNKNOWN, may_run_on=may))
    vm = await registry.lease(await registry.vm("web1"), "", PowerState.STOPPED, gone=["k2"])
    assert (vm.power, vm.may_run_on) == (PowerState.UNKNOWN, {"kvm3": "m3"})


async def test_another_machine_does_not_inherit_the_load_of_a_name(registry: Store) -> None:
    for name in ("kvm1", "kvm2"):
        await registry.add_host(HostRecord(name, name, "key", "SHA256:x", 1.0))
    await registry.add_means([LoadMean(f"host/{name}", 60, 1.0, {"cpu": 1.0}) for name in ("kvm1", "kvm2")])
    await registry.remove_host("kvm1")
    assert await registry.means("host/kvm1", 60, 0.0) == []
    assert len(await registry.means("host/kvm2", 60, 0.0)) == 1


async def test_what_a_storage_was_proven_to_do_goes_with_it(registry: Store) -> None:
    for name in ("main", "spare"):
        await registry.put(Storage(name, f"/{name}", 1.0))
        await registry.put(ClusterValue(f"proof/{name}", "{}"))
    await registry.put(Image("tiny", "main", "/main/tiny", 1.0))
    with pytest.raises(Refused, match="in use by image tiny"):
        await registry.take_storage("main")
    await registry.take_storage("spare")
    assert [kept.name for kept in await registry.all(ClusterValue)] == ["proof/main"]


async def test_an_upload_becomes_an_image_in_one_step_and_keeps_its_storage_and_project(registry: Store) -> None:
    await registry.put(Storage("main", "/main", 1.0))
    await registry.insert(Project("blue", 1.0))
    sent = Upload("a1", "tiny", "main", 1.0, 1.0, {"file": 512}, state=UploadState.OPEN, project="blue")
    await registry.add_upload(sent)
    with pytest.raises(Refused, match="in use by upload a1"):
        await registry.take_storage("main")
    with pytest.raises(Refused, match="uploads a1 belong to project blue"):
        await registry.remove_project("blue")
    image = Image("tiny", "main", "/main/tiny", 2.0, project="blue")
    with pytest.raises(Refused, match="not whole"):
        await registry.finish_upload("a1", image)
    await registry.put(replace(sent, done={"file": 512}))
    await registry.add_image(replace(image, path="/main/other"))
    with pytest.raises(Refused, match="already an image"):
        await registry.finish_upload("a1", image)
    assert await registry.find(Upload, "a1") is not None, "its files have an owner"
    await registry.take_image("tiny")
    await registry.finish_upload("a1", image, told=[Event("image", "tiny", "it is there", 2.0)])
    assert (await registry.all(Upload), await registry.all(Image)) == ([], [image])
    assert [event.text for event in await registry.events()] == ["it is there"]
    with pytest.raises(NotFound):
        await registry.finish_upload("a1", image)
    for gone in (replace(sent, storage="spare"), replace(sent, project="red")):
        with pytest.raises(NotFound):
            await registry.add_upload(gone)


async def test_an_event_goes_with_what_it_tells_of(registry: Store) -> None:
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0))
    told = Event("host", "kvm1", "drains", 2.0)
    await registry.change(HostRecord, "kvm1", draining=True, told=[told])
    await registry.remove(HostRecord, "kvm1", told=[told, told])
    assert [event.text for event in await registry.events()] == ["drains"] * 3
    assert [event.id for event in await registry.events(after=1)] == [2, 3]
    assert [event.id for event in await registry.events(most=2)] == [2, 3], "the newest"
    assert [event.id for event in await registry.events(after=1, most=1)] == [2], "the next: none is left out"


async def test_a_large_number_comes_back(registry: Store) -> None:
    """Bytes of a disk need more than 32 bits."""
    await registry.put(Storage("main", "/s", 1.0))
    await registry.put(Image("big", "main", "/big", 1.0, size_bytes=1 << 50))
    assert (await registry.get(Image, "big")).size_bytes == 1 << 50


async def test_what_was_told_is_kept_for_three_months(registry: Store) -> None:
    now = 200 * 86400.0
    for days in (1, 89, 91):
        await registry.add(Event("note", "kvm1", f"{days} days", now - days * 86400.0))
    assert await registry.prune(now) == 1
    assert [event.text for event in await registry.events()] == ["1 days", "89 days"]


async def test_a_vm_that_a_task_holds_is_not_forgotten(registry: Store) -> None:
    vm = VMRecord(SPEC, created_at=2.0)
    await registry.add_vm(vm)
    held = await registry.claim(vm, await registry.add(Task(0, "start", "web1", 1.0)))
    with pytest.raises(Overtaken):
        await registry.forget_vm(held)
    assert await registry.find_vm("web1") is not None


async def test_a_slot_is_free_again_when_its_task_ends(registry: Store) -> None:
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0))
    tasks = [await registry.add(Task(0, "migrate", name, 1.0)) for name in ("web1", "web2")]
    first, second = (
        VMRecord(replace(SPEC, uuid=f"u{n}", name=f"web{n}"), 1.0, host="kvm1", task=task, moving_to="kvm2")
        for n, task in enumerate(tasks, 1)
    )
    for vm in (first, second):
        await registry.add_vm(vm)
    assert await registry.take_slot(first, "kvm2", 1, 2) is None
    assert await registry.take_slot(second, "kvm2", 1, 2) == f"kvm1 already sends 1 (task {tasks[0]})"
    await registry.end_task(tasks[0], state=TaskState.DONE)
    assert await registry.take_slot(second, "kvm2", 1, 2) is None


# -- what a host has to do with

HOST = HostRecord("kvm1", "kvm1", "k", "f", 1.0, about={"host_uuid": "machine-1"})
OF_KVM1: dict[str, dict[str, Any]] = {
    "its own": {"host": "kvm1"},
    "on its way there": {"host": "kvm2", "moving_to": "kvm1"},
    "may run there": {"may_run_on": {"kvm2": "m", "kvm1": "machine-9"}},
    "may run on that machine under another name": {"may_run_on": {"old": "machine-1"}},
    "ended there last": {"ended": ["kvm1", 5.0]},
    "of two copies": {"why": "two copies: on kvm2 and on kvm3"},
    "not found": {"host": "kvm10", "moving_to": "kvm11"},
    "nor that": {"may_run_on": {"kvm10": "machine-10", 'kvm"1': "x"}, "ended": ["kvm12", 1.0], "why": "on kvm1"},
}


async def test_what_a_host_has_to_do_with_is_found_and_nothing_else(registry: Store) -> None:
    for number, (name, values) in enumerate(OF_KVM1.items()):
        await registry.add_vm(VMRecord(Spec(f"u{number}", name.replace(" ", "-"), 1, 128), 1.0, **values))
    found = [vm.name.replace("-", " ") for vm in await registry.vms_about(HOST, [])]
    assert found == [name for name in OF_KVM1 if name not in ("not found", "nor that")]
    shown = [f"x{number}" for number in range(700)]
    some = await registry.vms_about(replace(HOST, name="kvm77", about={}), [*shown, "u6", "u0"])
    assert [vm.uuid for vm in some] == ["u0", "u5", "u6"], "what it shows, and what is in two places"
