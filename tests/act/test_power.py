"""Start, stop, delete: what nobody has seen to be off is not started, not deleted, and not called stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tests.act.crash import Life, deaths, new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import delete, halt, power, power_action, stop
from vmctl.act.hosts import Hosts
from vmctl.act.reconcile import reconcile
from vmctl.commands.vms import Start
from vmctl.errors import LibvirtError, NoAnswer, NotSent, Refused, RegistryUnusable, Unreachable
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import DomainSeen
from vmctl.model.plans import Placement
from vmctl.model.records import HostRecord, Image, Storage, TaskState, VMRecord
from vmctl.model.rights import Principal
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services
from vmctl.store import patience as store_room
from vmctl.store.sql import SqlStore
from vmctl.tasks import AnyJob, Tasks

RUNNING, PAUSED, STOPPED, UNKNOWN = PowerState.RUNNING, PowerState.PAUSED, PowerState.STOPPED, PowerState.UNKNOWN
Verb = Callable[[Services, AnyJob], Awaitable[dict[str, Any]]]
VERBS: list[tuple[str, Verb]] = [("start", power.start), ("stop", stop.stop), ("delete", delete.delete)]


@pytest.fixture(autouse=True)
def _placed(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    async def kvm2(*_: Any) -> Placement:
        return Placement("web1", "kvm2", (), "kvm2: told so")

    monkeypatch.setattr(power, "choose", kvm2)


@pytest.fixture
async def disk(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> FakeHost:
    """web1 runs on kvm1, with a disk."""
    spec = Spec(UUID, "web1", 1, 512, (Disk("main", "/s/web1.qcow2"),))
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await services.store.change(VMRecord, UUID, spec=spec)
    kvm1.spec = spec
    kvm1.files["/s/web1.qcow2"] = b"disk"
    kvm1.shows(RUNNING)
    return kvm1


async def run(services: Services, kind: str, verb: Verb, **args: Any) -> str:
    return await to_its_end(services, verb, await new_job(services, kind, "web1", vm=UUID, **args))


async def web1(services: Services) -> VMRecord:
    return await services.store.vm(UUID)


async def removed(services: Services, host: FakeHost) -> None:
    """The host is cut off, and then taken out of the pool by force."""
    host.silent()
    hosts = Hosts(services, lambda _record: cast(HostLink, host))
    job = await new_job(services, "host remove", host.name, host=host.name, force=True)
    await hosts.remove(job)
    await services.store.end_task(job.id, state=TaskState.DONE)


@pytest.mark.parametrize(("kind", "verb"), VERBS)
async def test_a_vm_of_a_silent_host_is_left_alone(services: Services, disk: FakeHost, kind: str, verb: Verb) -> None:
    disk.silent()
    said = await run(services, kind, verb)
    assert "does not answer" in said
    vm = await web1(services)
    assert vm.power is not STOPPED and vm.last_host == "kvm1"
    assert "/s/web1.qcow2" in disk.files


@pytest.mark.parametrize(("kind", "verb"), VERBS)
async def test_a_vm_of_a_removed_host_is_left_alone(services: Services, disk: FakeHost, kind: str, verb: Verb) -> None:
    await removed(services, disk)
    for _ in range(2):  # a refusal changes nothing: the second try is refused, too
        assert "web1 may still run on kvm1, which was removed" in await run(services, kind, verb)
    vm = await web1(services)
    assert (vm.power, vm.may_run_on) == (UNKNOWN, {"kvm1": "machine-kvm1"})
    assert "/s/web1.qcow2" in disk.files


@pytest.mark.parametrize(("kind", "verb"), VERBS)
async def test_an_admin_signs_with_the_vms_name(services: Services, disk: FakeHost, kind: str, verb: Verb) -> None:
    await removed(services, disk)
    assert "is 'web2', not 'web1'" in await run(services, kind, verb, i_know_it_is_off="web2")
    assert (await web1(services)).power is UNKNOWN
    assert await run(services, kind, verb, i_know_it_is_off="web1") == "done"
    [event] = [event for event in await services.store.events() if event.kind == "signed"]
    assert event.who == "me" and "may still run on kvm1" in event.text
    vm = await services.store.find_vm(UUID)
    assert (vm.power if vm else "gone") == {"start": RUNNING, "stop": STOPPED, "delete": "gone"}[kind]


async def test_a_signature_does_not_help_where_it_is_seen_running(services: Services, disk: FakeHost) -> None:
    assert "already runs on kvm1" in await run(services, "delete", delete.delete, i_know_it_is_off="web1")
    assert "/s/web1.qcow2" in disk.files


async def test_a_running_vm_is_not_deleted(services: Services, disk: FakeHost) -> None:
    """Also by who does not look first, as the command line does."""
    assert "already runs on kvm1" in await run(services, "delete", delete.delete)
    assert "/s/web1.qcow2" in disk.files


@pytest.mark.parametrize("error", [LibvirtError("the lock is held by another process"), LibvirtError("no")])
async def test_a_refused_start_stops_nothing(
    services: Services, disk: FakeHost, kvm2: FakeHost, error: LibvirtError
) -> None:
    """The admin was wrong, and the lock says so: the VM may still run where it was."""
    await removed(services, disk)
    kvm2.failing["create"] = error
    await run(services, "start", power.start)
    assert (await web1(services)).power is UNKNOWN


async def test_another_machine_of_the_same_name_says_nothing(services: Services, disk: FakeHost) -> None:
    await removed(services, disk)
    newcomer = FakeHost("kvm1", files=disk.files)
    newcomer.record = HostRecord("kvm1", "kvm1", "k", "f", 1.0, about={"host_uuid": "another machine"})
    services.links["kvm1"] = cast(HostLink, newcomer)
    await services.store.put(newcomer.record)
    await reconcile(services, cast(HostLink, newcomer))
    assert (await web1(services)).power is UNKNOWN
    assert "may still run" in await run(services, "delete", delete.delete)


@pytest.mark.parametrize("name", ["kvm1", "kvm7"])
async def test_the_machine_itself_says_that_it_is_off(services: Services, disk: FakeHost, name: str) -> None:
    """It was added again, perhaps under another name, and does not have it."""
    await removed(services, disk)
    again = FakeHost(name, files=disk.files)
    again.record = HostRecord(name, name, "k", "f", 1.0, about={"host_uuid": "machine-kvm1"})
    services.links[name] = cast(HostLink, again)
    await reconcile(services, cast(HostLink, again))
    vm = await web1(services)
    assert (vm.power, vm.may_run_on) == (STOPPED, {})
    assert await run(services, "delete", delete.delete) == "done"
    assert "/s/web1.qcow2" not in disk.files


async def test_a_machine_that_comes_back_with_it_is_its_host_again(services: Services, disk: FakeHost) -> None:
    await removed(services, disk)
    disk.online = True
    services.links["kvm1"] = cast(HostLink, disk)
    await reconcile(services, cast(HostLink, disk))
    vm = await web1(services)
    assert (vm.host, vm.power) == ("kvm1", RUNNING)


async def test_a_stop_waits_for_the_hosts_word(services: Services, disk: FakeHost) -> None:
    assert await run(services, "stop", stop.stop) == "done"
    vm = await web1(services)
    assert (vm.power, vm.host, vm.may_run_on, vm.wanted) == (STOPPED, "", {}, "stopped")


async def test_a_paused_guest_cannot_hear_its_button(services: Services, disk: FakeHost) -> None:
    disk.shows(PAUSED, why="by request")
    assert (
        await run(services, "stop", stop.stop) == "web1 is paused (by request): its guest cannot hear its power button"
    )
    assert await run(services, "stop", stop.stop, force=True) == "done"


async def test_a_disk_that_two_vms_have_is_not_deleted_with_one(services: Services, disk: FakeHost) -> None:
    twin = Spec("2", "twin", 1, 512, (Disk("main", "/s/web1.qcow2"),))
    await services.store.add_vm(VMRecord(twin, 1.0))
    await run(services, "stop", stop.stop)
    assert await run(services, "delete", delete.delete) == "twin needs /s/web1.qcow2, too: it is not deleted"
    assert "/s/web1.qcow2" in disk.files


async def test_what_lies_outside_the_storage_is_left(services: Services, disk: FakeHost) -> None:
    spec = Spec(UUID, "web1", 1, 512, (Disk("main", "/s/web1.qcow2"), Disk("kvm1's own", "/elsewhere/web1.qcow2")))
    await services.store.change(VMRecord, UUID, spec=spec)
    disk.files["/elsewhere/web1.qcow2"] = b"data"
    await run(services, "stop", stop.stop)
    assert await run(services, "delete", delete.delete) == "done"
    assert list(disk.files) == ["/elsewhere/web1.qcow2"]
    assert "left where they are: /elsewhere/web1.qcow2" in (await services.store.events())[-1].text


# -- replies that are lost


@pytest.mark.parametrize(("kind", "after"), [("pause", PAUSED), ("resume", RUNNING)])
async def test_a_lost_reply_is_looked_after(services: Services, kvm1: FakeHost, kind: str, after: PowerState) -> None:
    kvm1.shows(PAUSED if kind == "resume" else RUNNING)
    act = {"pause": "suspend"}.get(kind, kind)

    async def lost(_uuid: str) -> None:
        kvm1.shows(after)
        raise NoAnswer("no word")

    setattr(kvm1, act, lost)
    assert await run(services, kind, power_action.power_action) == "done"
    assert (await web1(services)).power is after


async def test_what_was_not_sent_was_not_done(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(RUNNING)
    kvm1.failing["suspend"] = NotSent("the link was lost")
    assert await run(services, "pause", power_action.power_action) == "nothing was done to web1: the link was lost"


async def test_what_cannot_be_seen_is_not_known(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(RUNNING)
    kvm1.failing["suspend"] = NoAnswer("no word")
    assert (
        await run(services, "pause", power_action.power_action)
        == "whether web1 was paused on kvm1 is not known: no word"
    )


@pytest.mark.parametrize("done", [True, False])
async def test_a_forced_stop_without_an_answer_is_looked_after(
    services: Services, disk: FakeHost, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirtd freezes in the middle: it may still pull the plug, so nobody says that it did not."""
    monkeypatch.setattr(halt, "PLUG_FOR_S", 0.5)
    await services.store.change(VMRecord, UUID, wanted="running")

    async def destroy(_uuid: str) -> None:
        disk.silent()
        if done:
            disk.online = True
            disk.shows(None)
        raise NoAnswer("no word")

    async def domain(_uuid: str) -> DomainSeen | None:
        if not disk.online:
            raise Unreachable("no word")
        return disk.domains.get(UUID)

    monkeypatch.setattr(disk, "domain", domain)
    monkeypatch.setattr(disk, "destroy", destroy)
    disk.online = True
    said = await run(services, "stop", stop.stop, force=True)
    vm = await web1(services)
    assert vm.wanted == "stopped"
    if done:
        assert (said, vm.power) == ("done", STOPPED)
    else:
        assert said == "whether web1 was stopped is not known: kvm1 does not answer"
        assert vm.power is RUNNING and vm.why == "asked to shut down by me: no answer yet"


async def test_a_plug_that_libvirt_cannot_pull_is_no_stop(services: Services, disk: FakeHost) -> None:
    disk.failing["destroy"] = LibvirtError("Failed to terminate process 4711 with SIGKILL: Device or resource busy")
    assert "web1 was not stopped: Failed to terminate" in await run(services, "stop", stop.stop, force=True)
    assert (await web1(services)).power is RUNNING


async def test_a_pipe_in_a_disks_place_is_seen_before_qemu_waits_for_it(
    services: Services, off: FakeHost, kvm2: FakeHost
) -> None:
    """libvirtd waits for that QEMU, and answers nobody."""
    kvm2.odd = {"/s/web1.qcow2"}
    assert "/s/web1.qcow2 on kvm2 is neither a file nor a disk" in await run(services, "start", power.start)
    assert kvm2.started == [] and (await web1(services)).power is STOPPED


@pytest.mark.parametrize(("kind", "state", "said"), [
    ("pause", PAUSED, "done"),
    ("resume", RUNNING, "done"),
    ("reset", None, "web1 does not run: kvm1 does not have web1 any more"),
])  # fmt: skip
async def test_verbs_keep_one_rule(
    services: Services, kvm1: FakeHost, kind: str, state: PowerState | None, said: str
) -> None:
    kvm1.shows(state)
    assert await run(services, kind, power_action.power_action) == said


# -- controllers that die


async def test_a_controller_that_dies_in_a_start(
    services: Services, disk: FakeHost, kvm2: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch)

    async def begin() -> AnyJob:
        disk.shows(None)
        kvm2.shows(None)
        await services.store.change(VMRecord, UUID, power=STOPPED, host="", may_run_on={}, wanted="stopped")
        return await new_job(services, "start", "web1", vm=UUID)

    async for step, said in deaths(life, services, power.start, begin):
        assert said == "done", step
        vm = await web1(services)
        assert (vm.power, vm.host, vm.task) == (RUNNING, "kvm2", None), step
        assert UUID in kvm2.domains, step


async def test_a_controller_that_dies_in_a_stop(
    services: Services, disk: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch)

    async def begin() -> AnyJob:
        disk.shows(RUNNING)
        there = {"kvm1": "machine-kvm1"}
        await services.store.change(VMRecord, UUID, power=RUNNING, host="kvm1", may_run_on=there, wanted="running")
        return await new_job(services, "stop", "web1", vm=UUID)

    async for step, said in deaths(life, services, stop.stop, begin):
        assert said == "done", step
        vm = await web1(services)
        assert (vm.power, vm.host, vm.wanted, vm.may_run_on) == (STOPPED, "", "stopped", {}), step


async def test_a_controller_that_dies_in_a_reboot(
    services: Services, disk: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch)

    async def begin() -> AnyJob:
        disk.shows(RUNNING)
        there = {"kvm1": "machine-kvm1"}
        await services.store.change(VMRecord, UUID, power=RUNNING, host="kvm1", may_run_on=there, wanted="running")
        return await new_job(services, "reboot", "web1", vm=UUID)

    async for step, said in deaths(life, services, power.reboot, begin):
        assert said == "done", step
        vm = await web1(services)
        assert (vm.power, vm.host) == (RUNNING, "kvm1") and UUID in disk.domains, step


async def test_a_host_whose_vms_a_task_holds_stays(services: Services, disk: FakeHost) -> None:
    job = await new_job(services, "migrate", "web1", vm=UUID)
    await services.store.claim(await web1(services), job.id)
    hosts = Hosts(services, lambda _record: cast(HostLink, disk))
    said = await to_its_end(
        services,
        lambda _services, j: hosts.remove(j),
        await new_job(services, "host remove", "kvm1", host="kvm1", force=True),
    )
    assert said == f"tasks hold VMs of kvm1: web1 (task {job.id})"
    assert await services.store.find(HostRecord, "kvm1") is not None


async def test_an_unreachable_host_keeps_its_exit_code(services: Services, disk: FakeHost) -> None:
    disk.silent()
    with pytest.raises(Unreachable) as caught:
        await stop.stop(services, await new_job(services, "stop", "web1", vm=UUID))
    assert "--i-know-it-is-off" in caught.value.lines[0]


# -- what lies beside a disk, and what is built on it


@pytest.fixture
async def off(services: Services, disk: FakeHost, kvm2: FakeHost) -> FakeHost:
    """web1 ended by itself; it was last read whole at 1000."""
    disk.shows(None)
    await services.store.change(VMRecord, UUID, power=STOPPED, host="", may_run_on={}, wanted="running", read_at=1000.0)
    return disk


@pytest.mark.parametrize(("name", "changed_at", "starts"), [
    ("/s/web1.nightly", 2000.0, False),  # a layer that nobody told us of
    ("/s/web1.nightly", 900.0, True),  # it was there when the VM was last seen, and not below it
    ("/s/web10.qcow2", 2000.0, True),  # another VM's
    ("/s/web1.json", 2000.0, True),  # its own
])  # fmt: skip
async def test_a_newer_layer_beside_the_disk_is_not_ignored(
    services: Services, off: FakeHost, kvm2: FakeHost, name: str, changed_at: float, starts: bool
) -> None:
    off.files[name], kvm2.changed_at[name] = b"layer", changed_at
    said = await run(services, "start", power.start)
    assert (said == "done") == starts, said
    if not starts:
        assert f"{name} lies beside its disk /s/web1.qcow2" in said and kvm2.started == []
        assert await run(services, "start", power.start, as_registered=True) == "done"


@pytest.mark.parametrize(("ended", "below", "starts"), [
    (["kvm1", 1500.0], "/s/web1.qcow2", False),  # its host died after somebody made a snapshot elsewhere
    (["kvm1", 1500.0], "/s/other.qcow2", True),
    ([], "/s/web1.qcow2", True),  # it was stopped by us, and read whole just before
])  # fmt: skip
async def test_after_an_end_that_was_none_of_ours_a_layer_counts_wherever_it_is(
    services: Services, off: FakeHost, kvm2: FakeHost, ended: list[Any], below: str, starts: bool
) -> None:
    layer = "/s/backups/of-web1"
    kvm2.changed_at, kvm2.below[layer] = {layer: 2000.0, "/s/iso": 2000.0}, [below]
    await services.store.change(VMRecord, UUID, ended=ended)
    said = await run(services, "start", power.start)
    assert (said == "done") == starts, said
    if not starts:
        assert f"{layer} is built on its disk /s/web1.qcow2" in said and kvm2.started == []
        assert await run(services, "start", power.start, as_registered=True) == "done"


async def test_a_storage_that_cannot_be_looked_through_is_not_called_clean(
    services: Services, off: FakeHost, kvm2: FakeHost
) -> None:
    await services.store.change(VMRecord, UUID, ended=["kvm1", 1500.0])
    kvm2.search_ends = "124"
    assert "a newer layer of its disk is not known" in await run(services, "start", power.start)
    assert kvm2.started == []
    kvm2.search_ends = "1"  # some folder may not be read, as always
    assert await run(services, "start", power.start) == "done"


async def test_a_layer_on_the_host_where_it_ended_is_found_among_many_files(
    services: Services, off: FakeHost, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    """Its storage is another one than the disk's: the host's own; and every other file is newer, too."""
    layer, many = "/var/lib/libvirt/images/layer.qcow2", {f"/s/{n}": 2000.0 for n in range(300)}
    kvm1.changed_at, kvm1.below[layer] = {f"/var/lib/libvirt/images/{n}": 2000.0 for n in range(300)}, ["/s/web1.qcow2"]
    kvm1.changed_at[layer], kvm2.changed_at = 1990.0, many
    await services.store.change(VMRecord, UUID, ended=["kvm1", 1500.0])
    with pytest.raises(Refused, match=f"{layer} is built on its disk") as refused:
        await power.start(services, await new_job(services, "start", "web1", vm=UUID))
    assert refused.value.hint == f"on kvm1: qemu-img info {layer}"


async def test_in_a_folder_of_its_own_every_file_counts(services: Services, off: FakeHost, kvm2: FakeHost) -> None:
    spec = Spec(UUID, "web1", 1, 512, (Disk("main", f"/s/vm-web1-{UUID}/disk.qcow2"),))
    await services.store.change(VMRecord, UUID, spec=spec)
    for name in ("disk.qcow2", "disk.json", "backup1"):
        off.files[f"/s/vm-web1-{UUID}/{name}"] = b""
        kvm2.changed_at[f"/s/vm-web1-{UUID}/{name}"] = 2000.0
    assert f"/s/vm-web1-{UUID}/backup1 lies beside" in await run(services, "start", power.start)
    assert await run(services, "delete", delete.delete) == "done"
    assert f"left where they are: /s/vm-web1-{UUID}/backup1" in (await services.store.events())[-1].text


async def test_what_a_clone_is_built_on_is_not_deleted(services: Services, disk: FakeHost) -> None:
    """Somebody else's VM has this VM's disk below its own, and an image below another one."""
    below = ["/s/clone.qcow2", "/s/image.qcow2", "/s/web1.qcow2"]
    await services.store.add_vm(VMRecord(Spec("2", "clone", 1, 512), 1.0, adopted=True, files=below))
    await services.store.put(Image("tiny", "main", "/s/image.qcow2", 1.0))
    await run(services, "stop", stop.stop)
    assert await run(services, "delete", delete.delete) == "clone needs /s/web1.qcow2, too: it is not deleted"
    with pytest.raises(Refused, match="disks of clone are built on image tiny"):
        await services.store.take_image("tiny")


@pytest.mark.parametrize("state", [PAUSED, RUNNING])
async def test_a_stop_that_was_refused_changes_nothing_that_is_wanted(
    services: Services, disk: FakeHost, state: PowerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that cannot hear its button, or does not obey."""
    await services.store.change(VMRecord, UUID, wanted="running")
    disk.shows(state)

    async def deaf(_uuid: str) -> None:
        return None

    monkeypatch.setattr(disk, "shutdown", deaf)
    monkeypatch.setattr(halt, "MOST_BRIEF_S", 0.3)
    assert await run(services, "stop", stop.stop, timeout_s=0.2) != "done"
    assert (await web1(services)).wanted == "running"


async def test_a_registry_that_takes_nothing_for_a_while_is_waited_for(
    services: Services, disk: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds it just when the VM has stopped."""
    monkeypatch.setattr(store_room, "TRY_AGAIN_S", 0.0)
    real, left = SqlStore._lease, [3]

    async def held(self: SqlStore, *args: Any, **more: Any) -> VMRecord:
        if left[0]:
            left[0] -= 1
            raise RegistryUnusable("another program holds the registry")
        return await real(self, *args, **more)

    monkeypatch.setattr(SqlStore, "_lease", held)
    assert await run(services, "stop", stop.stop) == "done"
    assert (await web1(services)).power is STOPPED and left == [0]


@pytest.mark.parametrize("written", [UNKNOWN, PowerState.MIGRATING])
async def test_a_reboot_follows_what_its_host_shows(services: Services, disk: FakeHost, written: PowerState) -> None:
    """The registry's word is from before the host came back: the guest is not shut down and then refused a start."""
    await services.store.change(VMRecord, UUID, power=written)
    assert await run(services, "reboot", power.reboot) == "done"
    assert (await web1(services)).power is RUNNING and disk.domains[UUID].power is RUNNING


async def test_a_start_whose_vm_is_forgotten_meanwhile_fails(services: Services, disk: FakeHost) -> None:
    """Nobody else goes on with it: it must come to an end by itself."""
    tasks = Tasks(services.store)

    async def start(job: AnyJob) -> dict[str, Any]:
        held = services.held_by(job.claim, job.id)
        vm = await held.store.claim(await held.store.vm(UUID), job.id)
        await services.store.remove(VMRecord, UUID)
        await held.store.lease(vm, "kvm1", RUNNING)
        return {}

    tasks.handlers["start"] = start
    task = await tasks.submit(Start(UUID), Principal("me"), "web1")
    ended = await tasks.wait(task.id)
    assert ended.state is TaskState.FAILED and "was changed by somebody else" in str(ended.error)
