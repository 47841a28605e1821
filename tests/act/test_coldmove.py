"""Cold moves: nothing is stopped that could not be started there, and what cannot be started goes on where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.act.crash import Life, deaths, job_again, new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import migrate, power
from vmctl.errors import LibvirtError, Refused
from vmctl.hosts import domainxml
from vmctl.hosts.shown import Shown
from vmctl.model.plans import Placement
from vmctl.model.records import Storage, Task, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services
from vmctl.tasks import AnyJob

RUNNING, STOPPED = PowerState.RUNNING, PowerState.STOPPED
SPEC = Spec(UUID, "web1", 1, 512, (Disk("main", "/s/web1.qcow2"),), mac="52:54:00:00:00:01")
OWN_XML = domainxml.build(SPEC, domainxml.Site("kvm"))


@pytest.fixture(autouse=True)
def _placed(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    async def kvm2(*_: Any) -> Placement:
        return Placement("web1", "kvm2", (), "kvm2: told so")

    monkeypatch.setattr(power, "choose", kvm2)


@pytest.fixture(params=["ours", "adopted", "transient"])
async def kind(services: Services, kvm1: FakeHost, kvm2: FakeHost, request: pytest.FixtureRequest) -> str:
    """web1 runs on kvm1: made by us, defined there by somebody else, or started there without a definition."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    kvm1.spec = SPEC
    await ready(services, kvm1, kvm2, str(request.param))
    return str(request.param)


async def ready(services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str) -> None:
    kvm1.shows(RUNNING, persistent=kind == "adopted")
    kvm2.shows(None)
    kvm1.kept.clear()
    kvm2.kept.clear()
    if kind == "adopted":
        kvm1.kept[UUID] = Shown(live=OWN_XML, kept=OWN_XML, autostart=True)
    if kind == "transient":
        kvm1.kept[UUID] = Shown(live=OWN_XML, again=OWN_XML)
    values: dict[str, Any] = {
        "adopted": kind != "ours",
        "transient": kind == "transient",
        "definition": OWN_XML if kind != "ours" else "",
    }
    there = {"kvm1": "machine-kvm1"}
    await services.store.change(
        VMRecord, UUID, spec=SPEC, host="kvm1", power=RUNNING, may_run_on=there, wanted="running", **values
    )


async def move(services: Services, **args: Any) -> AnyJob:
    return await new_job(services, "migrate", "web1", vm=UUID, cold=True, **args)


async def run(services: Services, **args: Any) -> str:
    return await to_its_end(services, migrate.migrate, await move(services, **args))


async def web1(services: Services) -> VMRecord:
    return await services.store.vm(UUID)


def runs_on(kvm1: FakeHost, kvm2: FakeHost) -> list[str]:
    return [host.name for host in (kvm1, kvm2) if (d := host.domains.get(UUID)) is not None and d.power is RUNNING]


def defined_on(kvm1: FakeHost, kvm2: FakeHost) -> list[str]:
    return [host.name for host in (kvm1, kvm2) if UUID in host.kept and host.kept[UUID].kept]


async def test_it_stops_here_and_starts_there(services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str) -> None:
    assert await run(services) == "done"
    assert runs_on(kvm1, kvm2) == ["kvm2"]
    assert defined_on(kvm1, kvm2) == (["kvm2"] if kind == "adopted" else [])
    vm = await web1(services)
    assert (vm.host, vm.power, vm.moving_to, vm.may_run_on) == ("kvm2", RUNNING, "", {"kvm2": "machine-kvm2"})
    assert ("autostart True" in kvm2.done) == (kind == "adopted")


async def test_what_cannot_be_started_there_is_started_here(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str
) -> None:
    kvm2.failing["start" if kind == "adopted" else "create"] = LibvirtError("Cannot get interface MTU on 'br-dmz'")
    said = await run(services)
    assert "could not be started on kvm2" in said and "started again on kvm1" in said
    assert runs_on(kvm1, kvm2) == ["kvm1"]
    assert defined_on(kvm1, kvm2) == (["kvm1"] if kind == "adopted" else [])
    vm = await web1(services)
    assert (vm.host, vm.power, vm.wanted) == ("kvm1", RUNNING, "running")


async def test_what_the_target_lacks_is_seen_before_the_stop(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str
) -> None:
    kvm2.lost = {"/s/web1.qcow2"}
    missing = "storage main is not mounted on kvm2: /s/web1.qcow2 is not there"  # nothing of ours is there
    lacks = "web1 was not stopped: /s/web1.qcow2 is not there on kvm2"
    assert await run(services) == (missing if kind == "ours" else lacks)
    assert "shutdown" not in kvm1.done and runs_on(kvm1, kvm2) == ["kvm1"]


NVRAM = "<nvram>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram></os>"
BOUND = [
    (lambda x: x.replace("</os>", NVRAM), {}, "its firmware's variables are on kvm1's own disk"),
    (lambda x: x.replace("</devices>", "<tpm><backend type='emulator'/></tpm></devices>"), {}, "the state of its TPM"),
    (lambda x: x, {"snapshots": 1}, "it has 1 snapshot: on kvm1: virsh snapshot-list web1"),
    (lambda x: x, {"checkpoints": 2}, "it has 2 checkpoints"),
    (lambda x: x, {"saved": True}, "its memory was saved on kvm1"),
    (
        lambda x: x.replace("</devices>", "<shmem name='x'/></devices>"),
        {},
        "it shares memory with programs of the host",
    ),
    (lambda x: x.replace("</devices>", "<novelty/></devices>"), {}, "a device that is not known to move: novelty"),
]


@pytest.mark.parametrize(("change", "more", "why"), BOUND)
async def test_what_is_bound_to_its_host_is_not_stopped(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, change: Any, more: dict[str, Any], why: str
) -> None:
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    xml = change(OWN_XML)
    kvm1.kept[UUID] = Shown(live=xml, kept=xml, **more)
    said = await run(services)
    assert said.startswith("web1 cannot migrate cold: ") and why in said
    assert "shutdown" not in kvm1.done and runs_on(kvm1, kvm2) == ["kvm1"]


@pytest.mark.parametrize("verb", ["cold", "reboot"])
async def test_a_vm_of_ours_on_a_new_layer_is_not_stopped(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, verb: str
) -> None:
    """What was written since the snapshot would be gone from the guest's view, and the layer below it written to."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "ours")
    below = '<backingStore type="file"><source file="/s/web1.qcow2"/></backingStore>'
    source = '<source file="/s/web1.qcow2" />'
    assert source in OWN_XML
    kvm1.kept[UUID] = Shown(live=OWN_XML.replace(source, f'<source file="/s/web1.nightly"/>{below}'))
    kvm2.files["/s/web1.qcow2"] = b""
    job = await new_job(services, "reboot" if verb == "reboot" else "migrate", "web1", vm=UUID, cold=True)
    said = await to_its_end(services, migrate.migrate if verb == "cold" else power.reboot, job)
    assert "disk vda is /s/web1.nightly, /s/web1.qcow2 is written down" in said
    assert "shutdown" not in kvm1.done
    [one] = (await web1(services)).drift
    assert one["mend"] == "virsh blockcommit web1 vda --base /s/web1.qcow2 --active --pivot --wait"
    assert "/s/web1.nightly" in (await services.store.events())[-1].text


async def test_a_changed_vm_that_stopped_is_not_started_as_it_was(services: Services, kvm1: FakeHost) -> None:
    drift = [
        {"what": "it has 4 vCPUs, 2 are written down", "mend": "virsh setvcpus", "mend_off": ""},
        {"what": "disk vda is /s/x, /s/y is written down", "mend": "virsh blockcommit", "mend_off": "qemu-img commit"},
    ]
    await services.store.change(VMRecord, UUID, host="", power=STOPPED, may_run_on={}, drift=drift)
    with pytest.raises(Refused, match="web1 was not started: it has 4 vCPUs") as refused:
        await power.start(services, await new_job(services, "start", "web1", vm=UUID))
    assert kvm1.started == []
    # There is no domain any more of which virsh could commit a layer.
    assert refused.value.hint == ("on a host with its storage: qemu-img commit; then vmctl start web1 --as-registered")
    assert "no data is lost" in refused.value.lines[0] and "blockcommit" not in str(refused.value.lines)


async def test_an_adopted_vms_own_word_is_followed(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    """Somebody gave it a second disk, more memory and another name, in its definition."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    disks = (*SPEC.disks, Disk("main", "/s/data.qcow2", target="vdb"))
    xml = domainxml.build(replace(SPEC, mem_mib=768, disks=disks, name="web9"), domainxml.Site("kvm"))
    kvm1.kept[UUID] = Shown(live=xml, kept=xml)
    assert await run(services) == "done"
    vm = await web1(services)
    assert (vm.name, vm.spec.mem_mib, [disk.path for disk in vm.spec.disks]) == (
        "web9", 768, ["/s/web1.qcow2", "/s/data.qcow2"],
    )  # fmt: skip
    assert "/s/data.qcow2" in kvm2.kept[UUID].kept
    assert any(event.kind == "renamed" for event in await services.store.events())


async def test_what_an_adopted_vm_would_lose_is_refused(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    """A disk that is attached to what runs, and not in the definition."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    disks = (*SPEC.disks, Disk("main", "/s/data.qcow2", target="vdb"))
    live = domainxml.build(replace(SPEC, disks=disks), domainxml.Site("kvm"))
    kvm1.kept[UUID] = Shown(live=live, kept=OWN_XML)
    assert await run(services) == "web1 was not moved: disk vdb (/s/data.qcow2) is not written down"
    assert runs_on(kvm1, kvm2) == ["kvm1"]


async def test_a_definition_on_the_target_is_not_overwritten(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    kvm2.shows(STOPPED, persistent=True)
    assert "kvm2 has a definition of web1 already" in await run(services)
    assert "shutdown" not in kvm1.done and "define" not in kvm2.done


async def test_the_definition_of_a_stopped_vm_moves(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    kvm1.shows(STOPPED, persistent=True)
    kvm1.kept[UUID] = Shown(kept=OWN_XML)
    await services.store.change(VMRecord, UUID, power=STOPPED, may_run_on={})
    assert await to_its_end(services, migrate.migrate, await new_job(services, "migrate", "web1", vm=UUID)) == "done"
    assert defined_on(kvm1, kvm2) == ["kvm2"]
    vm = await web1(services)
    assert (vm.host, vm.power) == ("kvm2", STOPPED)


async def test_what_a_definition_was_changed_to_counts(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    """Nobody has read it since: what is moved is what is there now."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "adopted")
    kvm1.shows(STOPPED, persistent=True)
    kvm1.kept[UUID] = Shown(kept=OWN_XML.replace("</devices>", "<shmem name='x'/></devices>"))
    await services.store.change(VMRecord, UUID, power=STOPPED, may_run_on={})
    said = await to_its_end(services, migrate.migrate, await new_job(services, "migrate", "web1", vm=UUID))
    assert "it shares memory with programs of the host" in said and "define" not in kvm2.done


@pytest.mark.parametrize("fails", [False, True])
async def test_a_controller_that_dies_in_a_cold_move(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever step: the next one brings it to the target, or, where that cannot start it, back to the source."""
    life = Life(monkeypatch)
    if fails:

        async def no(_what: str) -> None:
            raise LibvirtError("no")

        monkeypatch.setattr(kvm2, "start" if kind == "adopted" else "create", no)

    async def begin() -> AnyJob:
        await ready(services, kvm1, kvm2, kind)
        return await move(services)

    home = "kvm1" if fails else "kvm2"
    # Each kind dies at other steps, so that together they die at all of them.
    first = ("ours", "adopted", "transient").index(kind)
    async for step, said in deaths(life, services, migrate.migrate, begin, first=first, every=3):
        assert ("started again on kvm1" in said) if fails else (said == "done"), (step, said)
        assert runs_on(kvm1, kvm2) == [home], step
        assert defined_on(kvm1, kvm2) == ([home] if kind == "adopted" else []), step
        vm = await web1(services)
        assert (vm.host, vm.power, vm.task, vm.moving_to) == (home, RUNNING, None, ""), step


async def test_a_silent_target_that_may_have_started_it_is_not_doubled(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "ours")
    kvm1.shows(None)
    kvm2.silent()
    number = (await move(services)).id
    journal = {"cold": True, "source": "kvm1", "target": "kvm2", "starting": "kvm2"}
    await services.store.change(Task, number, journal=journal)
    again = await job_again(services, number)
    assert await to_its_end(services, migrate.migrate, again) == "where web1 runs is not certain"
    vm = await web1(services)
    assert vm.power is PowerState.UNKNOWN and set(vm.may_run_on) == {"kvm1", "kvm2"}
    assert kvm1.started == []


async def test_a_host_that_nobody_asked_is_not_taken_for_gone(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    """It may have run on a third host, which is silent since: that is still so after the move."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    kvm1.spec = SPEC
    await ready(services, kvm1, kvm2, "ours")
    await services.store.change(VMRecord, UUID, may_run_on={"kvm1": "machine-kvm1", "kvm9": "machine-kvm9"})
    assert await run(services) == "done"
    assert (await web1(services)).may_run_on == {"kvm2": "machine-kvm2", "kvm9": "machine-kvm9"}


async def test_a_target_that_falls_silent_before_the_stop_ends_the_move(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    """The next controller finds the guest running, and the target gone: nothing is stopped, nothing is doubted."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "ours")
    kvm2.silent()
    number = (await move(services)).id
    await services.store.change(Task, number, journal={"cold": True, "source": "kvm1", "target": "kvm2"})
    again = await job_again(services, number)
    assert await to_its_end(services, migrate.migrate, again) == "web1 was not moved and runs on kvm1"
    vm = await web1(services)
    assert (vm.power, vm.host) == (RUNNING, "kvm1") and kvm1.done == [] and kvm1.started == []


async def test_what_a_predecessor_did_not_know_is_looked_at_again(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    """It wrote that it is not certain where the VM runs, and died: nobody starts what may run on a third host."""
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await ready(services, kvm1, kvm2, "ours")
    kvm1.shows(None)
    journal = {"cold": True, "source": "kvm1", "target": "kvm2", "starting": "kvm2"}
    for third, said in (({}, "done"), ({"kvm9": "machine-kvm9"}, "web1 was not started: it may still run on kvm9")):
        kvm2.shows(None)
        may = {"kvm1": "machine-kvm1", "kvm2": "machine-kvm2"} | third
        await services.store.change(VMRecord, UUID, power=PowerState.UNKNOWN, may_run_on=may, host="kvm1")
        number = (await move(services)).id
        await services.store.change(Task, number, journal=journal)
        assert await to_its_end(services, migrate.migrate, await job_again(services, number)) == said
    assert kvm2.done.count("create") == 1


async def test_it_goes_back_although_a_third_host_is_in_doubt(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, kind: str
) -> None:
    """An old move left a doubt about a host that is silent since: that is none about where it ran a moment ago."""
    there = {"kvm1": "machine-kvm1", "kvm9": "machine-kvm9"}
    await services.store.change(VMRecord, UUID, may_run_on=there)
    kvm2.failing["start" if kind == "adopted" else "create"] = LibvirtError("Cannot get interface MTU on 'br-dmz'")
    assert "started again on kvm1" in await run(services)
    assert runs_on(kvm1, kvm2) == ["kvm1"]
    assert (await web1(services)).may_run_on == there
