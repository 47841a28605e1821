"""A task that another controller took over: from that moment it changes nothing more, whatever it was about to do.

At each call to a host and each write of each handler, the claim is lost once before it and once after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.act.crash import new_job
from tests.act.hosts import UUID, FakeHost, joining, like_the_host
from tests.act.test_coldmove import OWN_XML, SPEC
from vmctl.act import (
    create,
    delete,
    dropped,
    fetch,
    finish,
    halt,
    leases,
    lockfree,
    migrate,
    power,
    power_action,
    run,
    stop,
    storage,
)
from vmctl.act.hosts import Hosts
from vmctl.act.plans import Plans
from vmctl.commands import catalogue
from vmctl.commands.vms import Migrate, Stop
from vmctl.decide import asked
from vmctl.errors import Refused
from vmctl.hosts.link import HostLink
from vmctl.hosts.port import Link
from vmctl.hosts.shown import Shown
from vmctl.local.config import Settings
from vmctl.model.plans import Move, Placement, Plan
from vmctl.model.records import HostRecord, Image, Storage, Task, TaskState, VMRecord
from vmctl.model.rights import LOCAL_USER, Principal, Thing
from vmctl.model.uploads import Upload, UploadState
from vmctl.model.urls import place
from vmctl.model.vms import PowerState
from vmctl.ports.store import Store
from vmctl.services import Services, observe
from vmctl.services.claims import Claim, Deposed, handle
from vmctl.store.memory import MemoryStore
from vmctl.tasks import AnyJob, Tasks
from vmctl.tasks import job as jobs

MIB = 1 << 20
SENT = bytes(510) + b"\x55\xaa" + b"x" * 3584  # a disk image
RUNNING, STOPPED, PAUSED = PowerState.RUNNING, PowerState.STOPPED, PowerState.PAUSED
Scene = tuple[Callable[[Services, AnyJob], Awaitable[Any]], str, dict[str, Any]]


class LostAt(Claim):
    """Lost at the `step`th time that it is looked at; the picture of everything at that moment is kept."""

    def __init__(self, step: int, picture: Callable[[], str], what: str) -> None:
        super().__init__(what)
        self._left, self._picture = step, picture
        self.then = ""

    def check(self) -> None:
        self._left -= 1
        if self._left < 0 and not self.lost:
            self.then = self._picture()
            self.lose()
        super().check()


class Pool:
    """Two hosts, a storage, an image, web1: made anew for each step."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.services = Services(self.store, Settings(), folder, ())
        self.kvm1 = FakeHost("kvm1")
        self.kvm2 = FakeHost("kvm2", files=self.kvm1.files)
        self.kvm3 = joining(self.services, self.kvm1.files)
        for host in (self.kvm1, self.kvm2):
            self.services.links[host.name] = cast(HostLink, host)

    async def fill(self, power_now: PowerState, *, adopted: bool = False) -> None:
        """web1 as the scene wants it."""
        for host in (self.kvm1, self.kvm2):
            await self.store.put(host.record)
        await self.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
        await self.store.put(Storage("spare", "/spare", 1.0, "", ["kvm1"]))
        await self.store.put(Image("tiny", "main", "/s/image-tiny-00.qcow2", 1.0, size_bytes=MIB))
        size, sent = len(SENT), Upload("whole", "sent", "main", 1.0, 1.0, {"file": len(SENT)}, maker="kvm1")
        await self.store.put(replace(sent, done={"file": size}, state=UploadState.OPEN, made=[sent.volume("file")]))
        self.kvm1.files[f"/s/{sent.volume('file')}"] = SENT
        self.kvm1.files |= {"/s/image-tiny-00.qcow2": b"image", "/s/web1.qcow2": b"disk"}
        runs = power_now is not STOPPED
        there = {"kvm1": "machine-kvm1"} if runs else {}
        vm = VMRecord(SPEC, 1.0, host="kvm1" if runs else "", power=power_now, may_run_on=there, wanted="running")
        self.kvm1.spec, self.kvm1.target = SPEC, self.kvm2
        if runs:
            self.kvm1.shows(power_now, persistent=adopted)
        if adopted:
            here = "kvm1"  # where it is defined
            vm = VMRecord(SPEC, 1.0, here, power_now, adopted=True, definition=OWN_XML, may_run_on=there)
            self.kvm1.shows(power_now, persistent=True)
            self.kvm1.kept[UUID] = Shown(live=OWN_XML if runs else "", kept=OWN_XML, autostart=True)
        await self.store.add_vm(vm)

    def picture(self) -> str:
        """What there is: in the registry, on the hosts, on their storage."""
        every = (self.kvm1, self.kvm2, self.kvm3)
        hosts = [([did for did in host.done if did != "close"], host.domains, host.kept) for host in every]
        return repr((self.store._kept, hosts, self.kvm1.files))


def _hosts(services: Services) -> Hosts:
    def attach(record: HostRecord) -> Link:
        return services.links.setdefault(record.name, services.new_link(record, services.runtime))

    return Hosts(services, attach)


async def _measure(services: Services, job: AnyJob) -> Any:
    services.links["kvm1"].cut = True  # type: ignore[attr-defined]  # once it holds the lease
    return await lockfree.measure(services, job)


class MovedAtOnce:
    """Tasks whose moves are over when they are accepted: each has a claim of its own, and is another scene."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(self, asked: Migrate, _who: Principal, subject: str, thing: Thing) -> Task:
        task = Task(0, "migrate", subject, 1.0, vm=thing.vm, state=TaskState.DONE, result={"host": asked.to})
        return replace(task, id=await self._store.add(task))

    async def wait(self, number: int) -> Task:
        return await self._store.get(Task, number)


async def _planned(services: Services, job: AnyJob) -> Any:
    plans = Plans(services, handle(cast(Tasks, MovedAtOnce(services.store)), job.claim))
    return await (plans.drain(job) if job.task.kind == "drain" else plans.rebalance(job))


class Fetched:
    """A file of another server, here already."""

    size_bytes, at, busy = len(SENT), place("https://images.example.org/twin"), False

    def __init__(self, *_: object) -> None:
        self._left = SENT

    def begin(self) -> None:
        return

    def some(self, most: int) -> bytes:
        found, self._left = self._left[:most], self._left[most:]
        return found

    def end(self) -> None:
        return


VM = {"vm": UUID}
WEB = {"name": "twin", "url": "https://images.example.org/twin", "storage": "main"}
HOST = {"host": "kvm1"}
PICTURE = {"name": "twin", "file": "PICTURE", "storage": "main"}
EXTRA = {"name": "extra", "path": "/extra", "lockspace": "/s/lockspace"}
SCENES: dict[str, tuple[PowerState, bool, Scene]] = {
    "create": (RUNNING, False, (create.create, "create", {"name": "book", "image": "tiny", "mem_mib": 64})),
    "start": (STOPPED, False, (power.start, "start", VM)),
    "start an adopted one": (STOPPED, True, (power.start, "start", VM)),
    "stop": (RUNNING, False, (stop.stop, "stop", VM)),
    "stop by force": (RUNNING, False, (stop.stop, "stop", VM | {"force": True})),
    "reboot": (RUNNING, False, (power.reboot, "reboot", VM)),
    "reset": (RUNNING, False, (power_action.power_action, "reset", VM)),
    "pause": (RUNNING, False, (power_action.power_action, "pause", VM)),
    "resume": (PAUSED, False, (power_action.power_action, "resume", VM)),
    "delete": (STOPPED, False, (delete.delete, "delete", VM)),
    "migrate": (RUNNING, False, (migrate.migrate, "migrate", VM)),
    "cold move": (RUNNING, False, (migrate.migrate, "migrate", VM | {"cold": True})),
    "cold move of an adopted one": (RUNNING, True, (migrate.migrate, "migrate", VM | {"cold": True})),
    "move a definition": (STOPPED, True, (migrate.migrate, "migrate", VM)),
    "renew a lease": (RUNNING, False, (leases.renew, "renew lease", VM)),
    "image add": (STOPPED, False, (storage.image_add, "image add", PICTURE)),
    "image remove": (STOPPED, False, (storage.image_remove, "image remove", {"name": "tiny"})),
    "image finish": (STOPPED, False, (finish.finish, "image finish", {"upload": "whole"})),
    "image drop": (STOPPED, False, (dropped.drop, "image drop", {"upload": "whole"})),
    "image fetch": (STOPPED, False, (fetch.fetch, "image fetch", WEB)),
    "run": (RUNNING, False, (run.run, "run", {"words": ["true"], "hosts": ["kvm1"]})),
    "storage add": (STOPPED, False, (storage.add, "storage add", EXTRA)),
    "storage measure": (STOPPED, False, (_measure, "storage measure", {"name": "main", "host": "kvm1"})),
    "storage check": (STOPPED, False, (storage.check, "storage check", {"name": "main"})),
    "storage remove": (STOPPED, False, (storage.remove, "storage remove", {"name": "spare"})),
    "host add": (RUNNING, False, (lambda s, job: _hosts(s).add(job), "host add", {"hosts": ["kvm3"]})),
    "host check": (RUNNING, False, (lambda s, job: _hosts(s).check(job), "host check", {"hosts": ["kvm1"]})),
    "host remove": (RUNNING, False, (lambda s, job: _hosts(s).remove(job), "host remove", HOST | {"force": True})),
    "drain": (RUNNING, False, (_planned, "drain", HOST)),
    "rebalance": (RUNNING, False, (_planned, "rebalance", {})),
}


def test_each_command_that_is_a_task_has_a_scene() -> None:
    assert {kind for _, _, (_, kind, _) in SCENES.values()} == set(catalogue.tasks())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    """Placement says kvm2, or kvm1 for what is new; a lease is missing until its VM was resumed."""

    async def choose(_services: Services, _job: AnyJob, vm: Any, only: str, *_: Any) -> Placement:
        host = only or ("kvm1" if vm.name == "book" else "kvm2")
        return Placement(vm.name, host, (), f"{host}: told so")

    async def missing(_services: Services, link: Any, vms: list[VMRecord]) -> list[VMRecord]:
        return [] if "resume" in link.done else vms

    async def fits(*_: Any) -> None:
        return

    def one_move(*_: Any) -> Plan:
        return Plan((Move("web1", "kvm1", "kvm2", "told so", uuid=UUID),), "told so")

    for planner in ("plan_drain", "plan_rebalance"):
        monkeypatch.setattr(asked, planner, one_move)
    like_the_host(monkeypatch)
    monkeypatch.setattr(power, "choose", choose)
    monkeypatch.setattr(observe, "FIRST_LOAD_S", 0.0)
    monkeypatch.setattr(halt, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(leases, "missing", missing)
    monkeypatch.setattr(migrate, "check_again", fits)


@pytest.mark.parametrize("scene", SCENES)
async def test_who_is_deposed_changes_nothing_more(scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power_now, adopted, (action, kind, args) = SCENES[scene]
    picture = tmp_path / "twin.raw"
    picture.write_bytes(SENT)
    monkeypatch.setattr(fetch, "Download", Fetched)
    steps = 0
    for step in range(500):
        pool = Pool(tmp_path)
        await pool.fill(power_now, adopted=adopted)
        claims = [partial(LostAt, step, pool.picture)]  # of this task, and not of what it submits
        monkeypatch.setattr(jobs, "Claim", lambda what: claims.pop()(what) if claims else Claim(what))  # noqa: B023
        given = {key: str(picture) if value == "PICTURE" else value for key, value in args.items()}
        job = await new_job(pool.services, kind, "web1", **given)
        claim = cast(LostAt, job.claim)
        try:
            await action(pool.services.held_by(claim, job.id), job)
        except Deposed:
            assert claim.lost
        else:
            if not claim.lost:
                break  # all its steps were tried
        assert pool.picture() == claim.then, (scene, step)
        steps += 1
    assert steps > 2, "it was lost at hardly any of its steps"


async def test_a_vm_that_somebody_else_took_deposes_its_task(tmp_path: Path) -> None:
    """A lost epoch is no refusal: an undo would delete the disk of what the other one goes on with."""
    pool = Pool(tmp_path)
    await pool.fill(RUNNING)
    job = await new_job(pool.services, "stop", "web1", vm=UUID)
    held = pool.services.held_by(job.claim, job.id)
    vm = await held.store.claim(await held.store.vm(UUID), job.id)
    await pool.store.change(VMRecord, UUID, epoch=vm.epoch + 1)  # a fault of our own, as the task holds it still
    with pytest.raises(Refused, match="somebody else"):
        await held.store.lease(vm, "kvm1", STOPPED)
    await pool.store.change(VMRecord, UUID, task=job.id + 1)
    with pytest.raises(Deposed):
        await held.store.lease(vm, "kvm1", STOPPED)
    with pytest.raises(Deposed):
        await job.note("more")
    with pytest.raises(Deposed):
        await held.links["kvm1"].virt.destroy(UUID)
    assert "destroy" not in pool.kvm1.done


async def test_a_deposed_task_is_left_as_it_is(tmp_path: Path) -> None:
    """Its row is the other controller's: it is not ended here, and who waits for it here is let go."""
    pool = Pool(tmp_path)
    await pool.fill(RUNNING)
    tasks = Tasks(pool.store)

    async def deposed(job: AnyJob) -> dict[str, Any]:
        job.claim.lose()
        return {"host": "kvm1"}

    tasks.handlers["stop"] = deposed
    task = await tasks.submit(Stop(UUID), LOCAL_USER, "web1")
    assert not (await tasks.wait(task.id)).state.ended and tasks.jobs() == []


async def test_hosts_come_and_go_through_handles(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    await pool.store.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0))
    claim = Claim("a test")
    held = pool.services.held_by(claim, 1)
    assert held.links["kvm1"] is held.links["kvm1"] and sorted(held.links) == ["kvm1", "kvm2"]
    assert held.links["kvm1"].online
    gone, comes = held.links.pop("kvm1"), held.new_link(pool.kvm3.record, tmp_path)
    await comes.connect()
    assert "kvm1" not in pool.services.links and gone.name == "kvm1"
    claim.lose()
    with pytest.raises(Deposed):
        held.links.pop("kvm2")
    assert "kvm2" in pool.services.links
    with pytest.raises(Deposed):
        await comes.virt.destroy(UUID)
    await comes.close()
    assert pool.kvm3.done == ["connect", "close"], "a connection is let go of by whoever has it"
