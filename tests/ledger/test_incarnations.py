"""The ledger at work, on a real registry: pictures in, rows out, answers from both, restarts in between."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.hosts.test_load import BASE, vm
from vmctl.errors import NotFound, Refused, RegistryUnusable, Usage
from vmctl.hosts.facts import Daemon, RawSample
from vmctl.hosts.link import HostLink
from vmctl.ledger import Changes, EndReason, ProcessSample, Step
from vmctl.ledger.incarnations import HOST_EVERY_S, Besides, Incarnations
from vmctl.model.identity import UNKNOWN_IP
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.replicas import Replica
from vmctl.model.vms import Spec
from vmctl.model.watching import MachineReader
from vmctl.ports.store import Store

VM = "11111111-2222-3333-4444-555555555555"
HOST = "aaaaaaaa-2222-3333-4444-555555555555"
POLICY = LedgerPolicy()
SSHD = ProcessSample(
    812, 4711, int((time.time() - 3600) * 1e6), 1, "sshd", "9.2", "sshd -D", "root", "S", 0.1, 2048, 1, (22,)
)
SHELL = ProcessSample(900, 5000, int(time.time() * 1e6), 812, "bash", command="-bash")


@pytest.fixture
async def ledger(registry: Store) -> Incarnations:
    await registry.add_vm(VMRecord(Spec(VM, "web1", 1, 512), 1.0))
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0, about={"host_uuid": HOST}))
    return Incarnations(registry, POLICY)


def link(host_uuid: str = HOST) -> HostLink:
    record = HostRecord("kvm1", "kvm1", "k", "f", 1.0, about={"host_uuid": host_uuid})
    about, ssh = SimpleNamespace(qemu="7.2.0", host_uuid=host_uuid), SimpleNamespace(peer="10.0.0.1")
    return cast(HostLink, SimpleNamespace(name="kvm1", record=record, about=about, ssh=ssh))


async def again(registry: Store) -> Incarnations:
    """The next controller."""
    made = Incarnations(registry, POLICY)
    await made.start()
    return made


# -- guests


async def test_a_process_is_known_at_once_and_after_its_end(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD, SHELL], ip="10.0.0.7")
    found = await ledger.processes(VM, None)
    assert [life.program for life in found] == ["sshd", "bash"], "the busiest first"
    name = str(found[0].gpid)
    assert name.startswith("10.0.0.7:22:")
    assert (await ledger.find(name)).life == (await ledger.find(str(found[0].uuid))).life
    assert (await ledger.find(str(found[1].uuid)[:13])).life.program == "bash", "though it has no row yet"
    ledger.guest_picture(VM, "b1", [], gone=[(812, 4711), (900, 5000)])
    assert await ledger.processes(VM, None) == []
    (ended,) = await ledger.processes(VM, None, history=True)
    assert (ended.program, ended.why) == ("sshd", EndReason.EXITED)
    assert (await ledger.find(name)).life == ended
    assert [(row.program, row.runs) for row in await ledger.short_lived(VM, 1.0)] == [("bash", 1)]


async def test_a_restarted_service_shows_its_previous_life(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    ledger.guest_picture(VM, "b1", [SSHD._replace(pid=950, start_ticks=99)], gone=[(812, 4711)], ip="10.0.0.7")
    (now,) = await ledger.processes(VM, "sshd")
    found = await ledger.find(str(now.uuid))
    assert [life.pid for life in found.previous] == [812] and found.previous[0].why == EndReason.EXITED


async def test_who_listens_now_and_who_did(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    assert [life.pid for life in await ledger.who("10.0.0.7", 22, None)] == [812]
    moment = time.time()
    ledger.guest_picture(VM, "b1", [], gone=[(812, 4711)], ip="10.0.0.7")
    assert [life.pid for life in await ledger.who("10.0.0.7", 22, moment)] == [812]
    with pytest.raises(NotFound, match="known to listen there"):
        await ledger.who("10.0.0.7", 22, None)
    with pytest.raises(NotFound, match="known to have listened"):
        await ledger.who("10.0.0.7", 22, moment - 100.0)


async def test_wrong_names_say_what_is_near(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    with pytest.raises(NotFound, match="no process is or was called") as caught:
        await ledger.find("10.0.0.7:22:5:812")
    assert "sshd" in caught.value.lines[0]
    with pytest.raises(NotFound):
        await ledger.find("0000-0000")
    with pytest.raises(Usage, match="neither a gpid"):
        await ledger.find("sshd")


async def test_digits_that_fit_several_uuids_are_refused(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD._replace(pid=pid) for pid in range(1, 1500)], ip="10.0.0.7")
    found = await ledger.processes(VM, None, most=2000)
    digits = [life.uuid.hex[:4] for life in found]
    twice = next(text for text in digits if digits.count(text) > 1)
    with pytest.raises(Refused, match="UUIDs begin with") as caught:
        await ledger.find(twice)
    assert len(caught.value.lines) == digits.count(twice)


async def test_a_name_given_out_before_the_port_was_known_finds_the_same_life(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD._replace(ports=None)])
    (early,) = await ledger.processes(VM, None)
    assert str(early.gpid).startswith(f"{UNKNOWN_IP}:0:")
    ledger.guest_picture(VM, "b1", [SSHD._replace(started_us=1)], ip="10.0.0.7")
    found = await ledger.find(str(early.gpid))
    assert found.life.uuid == early.uuid
    assert str(found.life.gpid) == f"10.0.0.7:22:{SSHD.started_us}:812"


async def test_an_end_that_others_know_of(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD])
    (ended,) = ledger.vm_stopped(VM.upper()).ended
    assert ended.why == EndReason.VM_STOPPED
    assert [life.why for life in await ledger.processes(VM, None, history=True)] == [EndReason.VM_STOPPED]


# -- restarts of the controller


async def test_nothing_ends_because_the_controller_was_away(ledger: Incarnations, registry: Store) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    await ledger.flush()
    later = await again(registry)
    assert [life.pid for life in await later.processes(VM, None)] == [812]
    assert [life.pid for life in await later.who("10.0.0.7", 22, None)] == [812]
    assert not later.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7").began
    await later.flush()
    assert len(await later.processes(VM, None, history=True)) == 1


async def test_what_ended_meanwhile_ended_unseen(ledger: Incarnations, registry: Store) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    seen_at = next(iter(await ledger.processes(VM, None))).last_seen
    await ledger.flush()
    later = await again(registry)
    (ended,) = later.guest_picture(VM, "b1", [], ip="10.0.0.7").ended
    assert (ended.why, ended.last_seen) == (EndReason.UNSEEN, seen_at)
    await later.flush()
    assert await registry.ledger.open_ports() == {}


async def test_lives_of_a_machine_that_has_gone_do_not_stay(ledger: Incarnations, registry: Store) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    await ledger.flush()
    await registry.remove(VMRecord, VM)
    later = await again(registry)
    await later.flush()
    assert [found async for found in registry.ledger.valid()] == [] and await registry.ledger.open_ports() == {}


async def test_a_store_that_cannot_be_written_loses_nothing(
    ledger: Incarnations, registry: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")

    async def full(_changes: Changes) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(registry.ledger, "write", full)
        with pytest.raises(OSError, match="disk full"):
            await ledger.flush()
        ledger.guest_picture(VM, "b1", [], gone=[(812, 4711)])
        with pytest.raises(OSError, match="disk full"):
            await ledger.flush()
    await ledger.flush()
    assert [life.why for life in await registry.ledger.processes()] == [EndReason.EXITED]


async def test_pruning_forgets_empty_machines(ledger: Incarnations) -> None:
    ledger.guest_picture(VM, "b1", [SSHD])
    ledger.vm_stopped(VM)
    assert await ledger.prune(time.time()) == 0
    assert await ledger.prune(time.time() + 31 * 86400.0) == 1
    assert await ledger.processes(None, None, history=True) == []


# -- hosts


def sample(*vms: Any, **more: Any) -> RawSample:
    return BASE._replace(vms=vms, **more)


async def test_qemu_processes_of_hosts_are_lives(ledger: Incarnations) -> None:
    ledger.host_sample(link(), sample(vm("u1", pid=10)))
    (life,) = await ledger.processes(HOST, None)
    assert (life.program, life.version, life.command) == ("qemu", "7.2.0", "-name guest=web1 -uuid u1")
    assert str(life.gpid).startswith("10.0.0.1:0:")
    ledger.host_sample(link(), sample(vm("u2", pid=11, start=9)))
    ended, began = (await ledger.processes(HOST, None, history=True))[::-1]
    assert (ended.pid, ended.why, began.pid) == (10, EndReason.EXITED, 11)
    ledger.host_sample(link(), sample(boot_id="boot-2"))
    assert {life.why for life in await ledger.processes(HOST, None, history=True)} == {
        EndReason.EXITED,
        EndReason.HOST_REBOOTED,
    }


async def test_a_host_is_pictured_now_and_then_and_when_a_qemu_begins(
    ledger: Incarnations, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ledger.host_sample(link(), sample(vm(ticks=0)))
    now += 1.0
    ledger.host_sample(link(), sample(vm(ticks=1000), uptime_s=1001.0))
    assert [life.cpu for life in await ledger.processes(HOST, None)] == [0.0], "too early"
    now += HOST_EVERY_S
    cpu = BASE.cpu._replace(user=BASE.cpu.user + 2200, idle=BASE.cpu.idle + 2200)
    ledger.host_sample(link(), sample(vm(ticks=1650), uptime_s=1011.0, cpu=cpu))
    assert [life.cpu for life in await ledger.processes(HOST, None)] == [1.5]
    now += 1.0
    ledger.host_sample(link(), sample(uptime_s=1012.0))
    assert await ledger.processes(HOST, None) == []


async def test_daemons_of_hosts_are_lives(ledger: Incarnations, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was restarted is another one, at once; what its log-ins begin is none of it."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lockd = Daemon(10, 500, "virtlockd", 1, 1000, 4000, 2)
    ledger.host_sample(link(), sample(daemons=(lockd,)))
    now += HOST_EVERY_S
    cpu = BASE.cpu._replace(user=BASE.cpu.user + 2200, idle=BASE.cpu.idle + 2200)
    ledger.host_sample(link(), sample(daemons=(lockd._replace(cpu_ticks=1500),), uptime_s=1010.0, cpu=cpu))
    (life,) = await ledger.processes(HOST, "virtlockd")
    assert (life.pid, life.cpu, life.rss_kib, life.threads, life.parent) == (10, 0.5, 4000, 2, 1)
    now += 1.0
    ledger.host_sample(link(), sample(daemons=(lockd._replace(pid=11, start_ticks=101_000),), uptime_s=1011.0))
    ended, began = (await ledger.processes(HOST, None, history=True))[::-1]
    assert (ended.pid, ended.why, began.pid) == (10, EndReason.EXITED, 11)


async def test_what_comes_with_no_sample_is_in_the_next_picture(ledger: Incarnations) -> None:
    run, lockd = ProcessSample(20, 900, program="sh", command="job 1 run 1: x"), Daemon(10, 5, "sshd", 1, 0, 0, 1)
    ledger.host_sample(link(), sample(daemons=(lockd,)))
    assert [one.pid for one in ledger.daemons(link())] == [10]
    ledger.host_besides(link(), Besides("boot-1", (run,), {10: (22,)}))
    ledger.host_sample(link(), sample(daemons=(lockd,)))
    assert {life.pid: life.port for life in await ledger.processes(HOST, None)} == {10: 22, 20: 0}
    ledger.host_sample(link(), sample(daemons=(lockd,), boot_id="boot-2"))
    assert [life.pid for life in await ledger.processes(HOST, None)] == [10], "that was of another boot"
    ledger.host_removed(link())
    assert ledger.daemons(link()) == []


async def test_what_no_picture_showed_is_kept_with_its_end(ledger: Incarnations, registry: Store) -> None:
    run = ProcessSample(20, 900, program="sh", command="job 1 run 1: x")
    await ledger.past(link(), "boot-1", run, 100.0, 101.0)
    await ledger.flush()
    await ledger.past(link(), "boot-1", run, 300.0, 301.0)  # a controller after that looks again
    (life,) = await ledger.processes(HOST, None, history=True)
    assert (life.first_seen, life.ended_at, life.why, life.command) == (100.0, 101.0, EndReason.EXITED, run.command)
    ledger.host_sample(link(), sample())
    ledger.host_besides(link(), Besides("boot-1", (run._replace(pid=21),)))
    ledger.host_sample(link(), sample())
    await ledger.past(link(), "boot-1", run._replace(pid=21), 100.0, 101.0)
    assert [life.pid for life in await ledger.processes(HOST, None)] == [21], "it is there"


async def test_a_host_without_a_number_has_no_lives(ledger: Incarnations) -> None:
    ledger.host_sample(link(""), sample(vm()))
    assert await ledger.processes(None, None) == []


async def test_a_host_that_leaves_takes_its_lives_with_it(ledger: Incarnations) -> None:
    ledger.host_sample(link(), sample(vm()))
    assert [life.why for life in ledger.host_removed(link()).ended] == [EndReason.HOST_REMOVED]


# -- several controllers


@pytest.fixture
async def two(registry: Store) -> tuple[Incarnations, Incarnations]:
    """Two controllers' ledgers in one registry."""
    await registry.add_vm(VMRecord(Spec(VM, "web1", 1, 512), 1.0))
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0, about={"host_uuid": HOST}))
    for life in ("life-1", "life-2"):
        await registry.put(Replica(life, life, life, "0.1", 1.0))
    return _kept_for(registry, "life-1"), _kept_for(registry, "life-2")


def _kept_for(registry: Store, life: str) -> Incarnations:
    made = Incarnations(registry, POLICY)
    made.keeper = life
    return made


async def test_a_machine_goes_from_one_to_the_other_with_every_life(two: tuple[Incarnations, Incarnations]) -> None:
    one, other = two
    assert await one.take([VM.upper()]) == {VM}
    assert await other.take([VM]) == set(), "it is kept already"
    one.guest_picture(VM, "b1", [SSHD, SHELL])
    assert other.guest_picture(VM, "b1", [SSHD]) == Step([], []), "nothing is taken from who does not keep it"
    [busy, shell] = await one.processes(VM, None)
    await one.leave([VM])
    assert one.guest_picture(VM, "b1", [SSHD]) == Step([], [])
    assert await other.take([VM]) == {VM}
    assert {life.uuid for life in await other.processes(VM, None)} == {busy.uuid, shell.uuid}, "young ones, too"
    other.guest_picture(VM, "b1", [SSHD])
    await other.flush()
    again = {life.uuid: life for life in await one.processes(VM, None, history=True)}
    assert again.keys() == {busy.uuid, shell.uuid}, "none was lost or doubled"
    assert again[busy.uuid].ended_at is None and again[shell.uuid].ended_at is not None


async def test_who_cannot_write_what_he_saw_keeps_it(
    two: tuple[Incarnations, Incarnations], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    await one.take([VM])
    one.guest_picture(VM, "b1", [SSHD])
    with monkeypatch.context() as broken:
        broken.setattr(type(one._store.ledger), "write", _takes_nothing)
        with pytest.raises(RegistryUnusable):
            await one.leave([VM])
    assert await other.take([VM]) == set()
    assert await one.take([VM]) == set(), "nor is it taken again before that"
    await one.flush()
    assert await other.take([VM]) == {VM}
    assert [life.program for life in await other.processes(VM, None)] == ["sshd"]


async def _takes_nothing(*_changes: object) -> None:
    raise RegistryUnusable("it takes nothing")


async def test_what_one_that_died_kept_is_gone_on_with(two: tuple[Incarnations, Incarnations], registry: Store) -> None:
    one, other = two
    await one.take([VM, HOST])
    one.guest_picture(VM, "b1", [SSHD])
    one.host_sample(link(), sample(vm("u1", pid=10)))
    await one.flush()
    await registry.end_life("life-1", "killed", 3.0)
    assert await other.take([VM, HOST]) == {VM, HOST}
    other.guest_picture(VM, "b2", [SHELL])
    other.host_sample(link(), sample(vm("u1", pid=10)))
    lives = await other.processes(VM, None, history=True)
    assert [(life.program, life.why) for life in lives] == [("bash", ""), ("sshd", EndReason.VM_REBOOTED)]
    assert len(await other.processes(HOST, None, history=True)) == 1, "it is the same QEMU"


async def test_others_ledgers_are_answered_from_the_store(
    two: tuple[Incarnations, Incarnations], registry: Store
) -> None:
    one, other = two
    await one.take([VM])
    await other.take([HOST])
    one.guest_picture(VM, "b1", [SSHD], ip="10.0.0.7")
    other.host_sample(link(), sample(vm("u1", pid=10)))
    for each in two:
        await each.flush()
    for each in two:
        assert sorted(life.program for life in await each.processes(None, None)) == ["qemu", "sshd"]
        assert [life.program for life in await each.who("10.0.0.7", 22, None)] == ["sshd"]
        assert [life.program for life in await each.processes(VM, None)] == ["sshd"]


async def test_lives_of_a_machine_that_is_gone_end(two: tuple[Incarnations, Incarnations], registry: Store) -> None:
    one, other = two
    await one.take([VM])
    one.guest_picture(VM, "b1", [SSHD])
    await one.flush()
    await registry.end_life("life-1", "killed", 3.0)
    await registry.forget_vm(await registry.vm("web1"))
    await other.end_of_gone()
    [ended] = await other.processes(VM, None, history=True)
    assert ended.why == EndReason.UNSEEN
    assert await registry.all(MachineReader) == []


async def test_a_take_whose_asker_is_gone_is_known(two: tuple[Incarnations, Incarnations]) -> None:
    one, other = two
    asking = asyncio.create_task(one.take([VM]))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await one.leave([VM])
    assert await other.take([VM]) == {VM}


async def test_a_take_that_broke_in_the_middle_is_left_again(
    two: tuple[Incarnations, Incarnations], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    with monkeypatch.context() as broken:
        broken.setattr(type(one._store.ledger), "runs", _takes_nothing)
        with pytest.raises(RegistryUnusable):
            await one.take([VM])
    assert await other.take([VM]) == set()
    await one.flush()
    assert await other.take([VM]) == {VM}
