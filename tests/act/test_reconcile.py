"""What hosts show against what the registry says: the registry follows, and of two copies neither is touched."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.act.crash import new_job, to_its_end
from tests.act.hosts import UUID, FakeHost, domain
from vmctl.act import definitions, power, stop
from vmctl.act.reconcile import reconcile
from vmctl.errors import LibvirtError, Overtaken
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import DomainSeen, Shown
from vmctl.hosts.virt.domains import POWER
from vmctl.model.records import Storage, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services

RUNNING, PAUSED, STOPPED = PowerState.RUNNING, PowerState.PAUSED, PowerState.STOPPED
FIRST = "00000000-2222-3333-4444-555555555555"  # of two it is read first
OTHER = "99999999-2222-3333-4444-555555555555"


async def look(services: Services, host: FakeHost) -> None:
    """The host's domains were read: reconcile."""
    await reconcile(services, cast(HostLink, host))


async def known(services: Services, host: str, power: PowerState, **more: Any) -> None:
    """What the registry says of web1."""
    await services.store.put(replace(await services.store.vm("web1"), host=host, power=power, **more))


async def at(services: Services) -> tuple[str, PowerState]:
    vm = await services.store.vm("web1")
    return vm.host, vm.power


async def told(services: Services) -> list[str]:
    return [event.text for event in await services.store.events()]


async def test_what_is_as_known_changes_nothing(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(RUNNING)
    before = await services.store.vm("web1")
    await look(services, kvm1)
    assert await services.store.vm("web1") == before
    assert await told(services) == []


@pytest.mark.parametrize("trouble", ["silent", "not read yet"])
async def test_a_host_that_shows_nothing_proves_nothing(services: Services, kvm1: FakeHost, trouble: str) -> None:
    if trouble == "silent":
        kvm1.silent()
    else:
        kvm1.domains_at = None
    await look(services, kvm1)
    assert await at(services) == ("kvm1", RUNNING)


async def test_a_new_state_is_followed_with_its_reason(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(PAUSED, why="I/O error")
    await look(services, kvm1)
    assert await at(services) == ("kvm1", PAUSED)
    assert (await services.store.vm("web1")).why == "I/O error"
    assert await told(services) == ["web1 on kvm1 is paused (was running)"]


async def test_a_vm_that_is_gone_is_stopped(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    await look(services, kvm2)
    assert await at(services) == ("kvm1", RUNNING), "kvm2 knows nothing of it"
    await look(services, kvm1)
    await look(services, kvm1)
    assert await at(services) == ("", STOPPED)
    assert await told(services) == ["web1 is no longer on kvm1: stopped; it ended by itself, or somebody ended it"]


async def test_a_vm_that_came_since_the_list_was_read_is_not_gone(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(RUNNING)
    await look(services, FakeHost("kvm1"))  # the list from before
    assert await at(services) == ("kvm1", RUNNING)


async def test_an_adopted_vm_keeps_its_host_and_is_forgotten_when_undefined(services: Services, kvm1: FakeHost) -> None:
    await known(services, "kvm1", RUNNING, adopted=True)
    kvm1.shows(STOPPED, persistent=True)
    await look(services, kvm1)
    assert await at(services) == ("kvm1", STOPPED)
    kvm1.shows(None)
    await look(services, kvm1)
    assert await services.store.all(VMRecord) == []
    assert (await told(services))[-1] == "web1 was undefined on kvm1 and is forgotten"


async def test_a_stray_is_followed(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    await look(services, kvm1)
    assert await at(services) == ("kvm2", RUNNING)
    assert await told(services) == ["web1 runs on kvm2, not on kvm1"]


async def test_a_stopped_vm_that_somebody_started_is_followed(services: Services, kvm2: FakeHost) -> None:
    await known(services, "", STOPPED)
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    assert await at(services) == ("kvm2", RUNNING)
    assert await told(services) == ["web1 runs on kvm2, started by somebody else"]


async def test_a_vm_that_runs_elsewhere_while_its_host_is_silent_is_followed(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.silent()
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    assert await at(services) == ("kvm2", RUNNING)


async def test_a_paused_copy_elsewhere_proves_nothing_about_a_silent_host(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.silent()
    kvm2.shows(PAUSED)
    await look(services, kvm2)
    assert (await at(services))[0] == "kvm1", "it may still run there"


async def test_two_copies_raise_one_alarm_and_neither_is_touched(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.shows(RUNNING)
    kvm2.shows(RUNNING)
    for host in (kvm2, kvm1, kvm2, kvm1):
        await look(services, host)
    assert kvm1.done == kvm2.done == []
    assert await at(services) == ("kvm1", RUNNING)
    why = "two copies: on kvm1 and on kvm2"
    assert (await services.store.vm("web1")).why == why
    assert await told(services) == [f"web1 shows {why}; nothing is done to either, look at both hosts"]
    assert (await services.store.vm("web1")).may_run_on.keys() == {"kvm1", "kvm2"}
    kvm2.shows(None)  # a human has ended that one
    await look(services, kvm2)
    vm = await services.store.vm("web1")
    assert (vm.power, vm.why, list(vm.may_run_on)) == (RUNNING, "", ["kvm1"])


async def test_a_stop_ends_one_of_two_copies_and_says_so(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, hurry: None
) -> None:
    """The other one's host is cut off then: nobody may take the VM for stopped, or start a third."""
    kvm1.shows(RUNNING)
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    kvm2.silent()
    uuid = (await services.store.vm("web1")).uuid
    said = await to_its_end(services, stop.stop, await new_job(services, "stop", "web1", vm=uuid, force=True))
    assert said == "web1 was stopped on kvm1, and may still run on kvm2"
    assert (await services.store.vm("web1")).power is PowerState.UNKNOWN
    said = await to_its_end(services, power.start, await new_job(services, "start", "web1", vm=uuid))
    assert said.startswith("web1 may still run on kvm2, which does not answer") and kvm1.started == []
    kvm2.online = True  # and once it answers, the same command ends what is left
    assert await to_its_end(services, stop.stop, await new_job(services, "stop", "web1", vm=uuid, force=True)) == "done"
    assert (await services.store.vm("web1")).power is PowerState.STOPPED and "destroy" in kvm2.done


async def test_two_paused_copies_are_not_touched(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    """The one that is about to run could be the one that is destroyed."""
    kvm1.shows(PAUSED, why="migrating")
    kvm2.shows(PAUSED, why="starting up")
    await look(services, kvm2)
    assert kvm1.done == kvm2.done == []
    assert (await at(services))[0] == "kvm1"


async def test_what_a_migration_left_over_is_dropped(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING)
    kvm2.shows(PAUSED, why="migrating")
    await look(services, kvm2)
    assert (kvm1.done, kvm2.done) == ([], ["destroy"])
    assert await at(services) == ("kvm1", RUNNING)
    kvm1.shows(PAUSED, why="migrating")
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    assert kvm1.done == ["destroy"]
    assert await at(services) == ("kvm2", RUNNING)


@pytest.mark.parametrize("paused", ["kvm1", "kvm2"])
async def test_a_copy_that_somebody_paused_is_no_left_over(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, paused: str
) -> None:
    for host in (kvm1, kvm2):
        host.shows(PAUSED if host.name == paused else RUNNING, why="by request" if host.name == paused else "")
    await look(services, kvm2)
    assert kvm1.done == kvm2.done == []
    assert (await told(services))[-1].startswith("web1 shows two copies")


@pytest.mark.parametrize("busy", ["kvm1", "kvm2"])
async def test_a_migration_by_hand_is_left_alone(services: Services, kvm1: FakeHost, kvm2: FakeHost, busy: str) -> None:
    kvm1.shows(RUNNING, has_job=busy == "kvm1")
    kvm2.shows(PAUSED, why="migrating", has_job=busy == "kvm2")
    await look(services, kvm2)
    assert kvm1.done == kvm2.done == []
    assert await told(services) == []


async def test_a_job_keeps_a_vm_where_it_is_only_as_long_as_it_runs(services: Services, kvm1: FakeHost) -> None:
    """libvirt does not say when a job ends, and a migration that has just ended still looks like one for a moment."""
    kvm1.shows(RUNNING)
    await look(services, kvm1)
    still = await kvm1.shown(UUID)
    for has_job in (True, True, False):
        kvm1.kept[UUID] = replace(still, has_job=has_job)
        kvm1.changed |= {UUID} if has_job else set()
        await look(services, kvm1)
        assert bool((await services.store.vm("web1")).stuck) == has_job
    assert UUID not in kvm1.changed, "and is not read again and again"


async def test_a_vm_that_a_task_holds_is_left_alone(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    await known(services, "kvm1", RUNNING, task=7)
    kvm1.shows(PAUSED)
    kvm2.shows(RUNNING)
    await look(services, kvm1)
    await look(services, kvm2)
    kvm1.shows(None)
    await look(services, kvm1)
    assert await at(services) == ("kvm1", RUNNING)
    assert await told(services) == []


async def test_a_vm_that_moves_is_left_alone(services: Services, kvm2: FakeHost) -> None:
    await services.store.change(VMRecord, UUID, moving_to="kvm2", task=7)
    kvm2.shows(PAUSED)
    await look(services, kvm2)
    assert await at(services) == ("kvm1", RUNNING)


HALFWAY = [PowerState.STARTING, PowerState.STOPPING, PowerState.MIGRATING, PowerState.UNKNOWN, PowerState.CRASHED]


@pytest.mark.parametrize("halfway", HALFWAY)
async def test_what_a_broken_task_left_halfway_is_mended(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, halfway: PowerState
) -> None:
    """No task holds it any more: nobody else will ever say what became of it."""
    await known(services, "kvm1", halfway)
    kvm1.shows(RUNNING)
    await look(services, kvm1)
    assert await at(services) == ("kvm1", RUNNING)
    await known(services, "kvm1", halfway)
    kvm1.shows(None)
    await look(services, kvm1)
    assert await at(services) == ("", STOPPED)
    await known(services, "kvm1", halfway)
    kvm2.shows(RUNNING)
    await look(services, kvm2)
    assert await at(services) == ("kvm2", RUNNING)


# -- domains nobody told us about

FOREIGN = f"""<domain type='kvm'><name>old1</name><uuid>{OTHER}</uuid><memory unit='KiB'>1048576</memory>
<vcpu>2</vcpu><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/shared/old1.qcow2'/><target dev='vda'/></disk>
<disk type='file' device='disk'><source file='/var/old1-data.raw'/><target dev='vdb'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:09'/><source bridge='lan'/></interface></devices></domain>"""


def add(host: FakeHost, name: str, xml: str) -> None:
    """A domain that the registry does not have."""
    host.domains[OTHER] = replace(domain(RUNNING), uuid=OTHER, name=name)
    host.xmls[OTHER] = xml


async def test_a_domain_nobody_told_us_about_is_adopted_as_it_is(services: Services, kvm2: FakeHost) -> None:
    await services.store.put(Storage("main", "/shared/", 1.0))
    add(kvm2, "old1", FOREIGN)
    await look(services, kvm2)
    await look(services, kvm2)
    vm = await services.store.vm("old1")
    assert (vm.host, vm.power, vm.adopted, vm.definition) == ("kvm2", RUNNING, True, FOREIGN)
    assert (vm.spec.uuid, vm.spec.cpus, vm.spec.mem_mib, vm.spec.machine) == (OTHER, 2, 1024, "pc-q35-7.2")
    assert [disk.storage for disk in vm.spec.disks] == ["main", "kvm2's own"]
    assert (vm.spec.mac, vm.spec.bridge) == ("52:54:00:00:00:09", "lan")
    assert await told(services) == ["old1 was found on kvm2 (running) and adopted as it is"]
    assert kvm2.done == []


async def test_an_adopted_domain_on_another_kind_of_network_needs_no_bridge(services: Services, kvm2: FakeHost) -> None:
    add(kvm2, "old1", FOREIGN.replace("<source bridge='lan'/>", ""))
    await look(services, kvm2)
    spec = (await services.store.vm("old1")).spec
    assert (spec.mac, spec.bridge) == ("", "")


async def test_a_domain_of_ours_comes_back_from_its_own_metadata(services: Services, kvm2: FakeHost) -> None:
    spec = Spec(OTHER, "old1", 1, 256, (Disk("main", "/shared/old1.qcow2"),), apart="web", needs={"rack": "a"})
    add(kvm2, "old1", domainxml.build(spec, domainxml.Site("kvm")))
    await look(services, kvm2)
    vm = await services.store.vm("old1")
    assert (vm.spec, vm.adopted, vm.definition) == (spec, False, "")


async def test_metadata_that_claims_another_identity_is_not_believed(services: Services, kvm2: FakeHost) -> None:
    xml = domainxml.build(Spec(UUID, "web1", 1, 256), domainxml.Site("kvm"))
    add(kvm2, "copy", xml.replace(f"<uuid>{UUID}", f"<uuid>{OTHER}").replace("<name>web1", "<name>copy"))
    await look(services, kvm2)
    vm = await services.store.vm("copy")
    assert (vm.uuid, vm.adopted) == (OTHER, True)


async def test_a_name_that_is_taken_gets_an_end_of_its_own(services: Services, kvm2: FakeHost) -> None:
    add(kvm2, "web1", FOREIGN.replace("old1<", "web1<"))
    await look(services, kvm2)
    assert (await services.store.vm(OTHER)).name == "web1-99999999"
    assert await at(services) == ("kvm1", RUNNING)


async def test_the_doctors_probe_is_no_vm(services: Services, kvm2: FakeHost) -> None:
    add(kvm2, "vmctl-probe-1", FOREIGN)
    await look(services, kvm2)
    assert len(await services.store.all(VMRecord)) == 1


async def test_a_probe_that_a_dead_controller_left_is_ended(services: Services, kvm2: FakeHost) -> None:
    """One that measures may be an hour old; of one that an earlier version made nobody knows the age."""
    now = int(time.time())
    names = [f"vmctl-probe-{now - 7200}-0123abcd", f"vmctl-probe-{now - 1800}-0123abcd", "vmctl-probe-01234567"]
    for number, name in enumerate(names):
        uuid = f"{number}" * 8 + OTHER[8:]
        kvm2.domains[uuid] = DomainSeen(uuid, name, RUNNING)
    await look(services, kvm2)
    assert sorted(found.name for found in kvm2.domains.values()) == sorted(names[1:])


@pytest.mark.parametrize("problem", ["gone meanwhile", "damaged"])
async def test_one_domain_that_cannot_be_read_does_not_stop_the_others(
    services: Services, kvm1: FakeHost, problem: str
) -> None:
    kvm1.shows(PAUSED)
    add(kvm1, "odd", "<domain")
    if problem == "gone meanwhile":

        async def gone(uuid: str, *, migratable: bool = False) -> str:
            raise LibvirtError("no such domain")

        kvm1.xml = gone  # type: ignore[method-assign]
    kvm1.domains = dict(reversed(kvm1.domains.items()))  # the odd one first
    await look(services, kvm1)
    assert await at(services) == ("kvm1", PAUSED)
    assert len(await services.store.all(VMRecord)) == 1


async def test_every_host_is_asked_about_the_cpus_of_all_vms(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    vm = await services.store.vm(UUID)
    await services.store.change(VMRecord, UUID, spec=replace(vm.spec, cpu_xml="<cpu/>"))
    await look(services, kvm2)
    assert kvm2.cpus == {}, "nobody has looked at all VMs yet"
    services.cpus = frozenset({"<cpu/>"})
    await look(services, kvm2)
    assert kvm2.cpus == {"<cpu/>": True}
    services.cpus = frozenset()
    await look(services, kvm1)
    assert kvm1.cpus == {"<cpu/>": True}, "about those that it shows at once"
    kvm1.cpus.clear()
    kvm1.compares = False
    kvm1.shows(PAUSED)
    await look(services, kvm1)
    assert kvm1.cpus == {} and await at(services) == ("kvm1", PAUSED)


@pytest.mark.parametrize(("other", "goes_on"), [(None, True), ("silent", False), (PAUSED, False), (RUNNING, False)])
@pytest.mark.parametrize("out", [True, False])
async def test_a_source_that_a_broken_migration_left_paused_goes_on(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, other: Any, goes_on: bool, out: bool
) -> None:
    """Only where the other host says that it is not there, and never a half-made copy that came in."""
    there = {"kvm1": "machine-kvm1", "kvm2": "machine-kvm2"}
    await known(services, "kvm1", PowerState.UNKNOWN, may_run_on=there)
    kvm1.shows(PAUSED, why="migrating")
    kvm1.out = out
    if other == "silent":
        kvm2.silent()
    elif other is not None:
        kvm2.shows(other)
    await look(services, kvm1)
    assert ("resume" in kvm1.done) == (goes_on and out)
    if goes_on and out:
        vm = await services.store.vm("web1")
        assert (vm.power, vm.may_run_on) == (RUNNING, {"kvm1": "machine-kvm1"})


async def test_a_copy_of_our_xml_with_another_vms_disk_is_somebody_elses(services: Services, kvm1: FakeHost) -> None:
    """Otherwise each of the two would keep the other from being deleted, for ever."""
    disk = Disk("main", "/s/web1.qcow2")
    await services.store.change(VMRecord, UUID, spec=Spec(UUID, "web1", 1, 512, (disk,)), power=STOPPED, host="")
    kvm1.domains = {OTHER: replace(domain(RUNNING), uuid=OTHER, name="copy")}
    kvm1.xmls[OTHER] = domainxml.build(Spec(OTHER, "copy", 1, 512, (disk,)), domainxml.Site("kvm"))
    await look(services, kvm1)
    assert (await services.store.vm("copy")).adopted


@pytest.mark.parametrize("shown", sorted(set(POWER.values())))
@pytest.mark.parametrize("written", list(PowerState))
async def test_whatever_a_host_shows_can_be_written(
    services: Services, kvm1: FakeHost, written: PowerState, shown: PowerState
) -> None:
    """It is the truth, whatever was believed before."""
    off = written is STOPPED
    await known(services, "" if off else "kvm1", written, may_run_on={} if off else {"kvm1": "machine-kvm1"})
    kvm1.shows(shown)
    await look(services, kvm1)
    vm = await services.store.vm("web1")
    assert (vm.host, vm.power) == ("kvm1", shown) or (shown is STOPPED and vm.power is STOPPED)
    assert (vm.may_run_on == {}) == (shown is STOPPED)


async def test_a_vm_that_a_task_took_meanwhile_is_not_forgotten(services: Services, kvm1: FakeHost) -> None:
    await known(services, "kvm1", STOPPED, adopted=True, definition="<domain/>")
    vm = await services.store.vm("web1")
    task = await new_job(services, "start", "web1", vm=UUID)
    await services.store.claim(vm, task.id)
    with pytest.raises(Overtaken):
        await services.store.forget_vm(vm)
    assert (await services.store.vm("web1")).task == task.id


async def test_a_list_that_is_older_than_a_start_ends_nothing(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a VM that it does not have, its host is asked again before anything is said."""

    async def now(_uuid: str) -> DomainSeen:
        return domain(RUNNING)

    monkeypatch.setattr(kvm1, "domain", now)
    await look(services, kvm1)
    assert await at(services) == ("kvm1", RUNNING) and await told(services) == []


async def _two(services: Services, kvm1: FakeHost, *, adopted: bool) -> None:
    """Another VM beside web1, which comes before it when both are read."""
    power = PowerState.STOPPED if adopted else PowerState.RUNNING
    runs = {} if adopted else {"kvm1": "machine-kvm1"}
    await services.store.remove(VMRecord, UUID)
    for uuid, name in ((FIRST, "first"), (UUID, "web1")):
        spec = Spec(uuid, name, 1, 512)
        await services.store.add_vm(VMRecord(spec, 1.0, "kvm1", power, adopted=adopted, may_run_on=runs))
        kvm1.domains[uuid] = DomainSeen(uuid, name, power, persistent=adopted)
        kvm1.xmls[uuid] = domainxml.build(spec, domainxml.Site("kvm"))
    await reconcile(services, cast(HostLink, kvm1))
    kvm1.changed |= {FIRST, UUID}


def _meanwhile(kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[object]]) -> None:
    """It happens while the first one is read."""
    shown = kvm1.shown

    async def slow(uuid: str) -> Shown:
        found = await shown(uuid)
        if uuid == FIRST:
            monkeypatch.setattr(kvm1, "shown", shown)
            await work()
        return found

    monkeypatch.setattr(kvm1, "shown", slow)


async def test_what_a_task_has_seen_meanwhile_is_not_taken_for_what_was_known(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's task saw a job, which has ended since."""
    await _two(services, kvm1, adopted=False)

    async def look() -> None:
        shown = replace(await kvm1.shown(UUID), has_job=True)
        await definitions.keep(services, cast(HostLink, kvm1), await services.store.vm("web1"), shown)

    _meanwhile(kvm1, monkeypatch, look)
    await reconcile(services, cast(HostLink, kvm1))
    assert (await services.store.vm("web1")).stuck == []


async def test_what_changes_while_it_is_read_is_read_again(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _two(services, kvm1, adopted=False)

    async def change() -> None:
        kvm1.changed.add(FIRST)

    _meanwhile(kvm1, monkeypatch, change)
    await reconcile(services, cast(HostLink, kvm1))
    assert kvm1.changed == {FIRST}


async def test_what_could_not_be_read_is_read_again(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _two(services, kvm1, adopted=False)

    async def fail(_uuid: str) -> Shown:
        raise LibvirtError("busy")

    with monkeypatch.context() as busy:
        busy.setattr(kvm1, "shown", fail)
        await reconcile(services, cast(HostLink, kvm1))
    assert kvm1.changed == {FIRST, UUID}
    await reconcile(services, cast(HostLink, kvm1))
    assert kvm1.changed == set()


async def test_what_a_task_holds_since_is_left_alone(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _two(services, kvm1, adopted=False)

    async def claim() -> None:
        await services.store.claim(await services.store.vm("web1"), 7)

    _meanwhile(kvm1, monkeypatch, claim)
    await reconcile(services, cast(HostLink, kvm1))
    assert UUID in kvm1.changed, "it is read once the task has ended"


async def test_a_name_that_it_has_already_is_taken_by_nobody_else(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _two(services, kvm1, adopted=True)
    kvm1.xmls[UUID] = domainxml.build(Spec(UUID, "web9", 1, 512), domainxml.Site("kvm"))
    stale = await services.store.vm("web1")

    async def learn() -> None:
        await definitions.learn(services, cast(HostLink, kvm1), await services.store.vm(UUID))

    _meanwhile(kvm1, monkeypatch, learn)
    await reconcile(services, cast(HostLink, kvm1))
    assert (await services.store.vm(UUID)).name == "web9"
    await definitions.learn(services, cast(HostLink, kvm1), stale)
    assert (await services.store.vm(UUID)).name == "web9"
