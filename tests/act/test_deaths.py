"""A controller that dies in what is done with VMs that run, with storages, hosts and plans.

The next one leaves no task open and nothing promised, and every VM is what the registry says it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.act.crash import INTERRUPTED, Life, deaths, job_again, new_job, to_its_end
from tests.act.hosts import UUID, FakeHost, joining, like_the_host
from tests.act.test_coldmove import SPEC
from tests.clock import SetClock
from vmctl.act import conclude, hosts, leases, migrate, power, power_action, storage
from vmctl.act.plans import Plans
from vmctl.act.reconcile import reconcile
from vmctl.decide import asked
from vmctl.errors import HostError, LibvirtError, NoAnswer
from vmctl.hosts.leaseprobe import PROBE
from vmctl.hosts.port import Link
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move, Placement, Plan
from vmctl.model.records import ClusterValue, HostRecord, Storage, Task, TaskState, VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.ports import SYSTEM
from vmctl.services import Services, observe
from vmctl.tasks import AnyJob, Tasks

RUNNING, PAUSED = PowerState.RUNNING, PowerState.PAUSED
ENDED = "the controller ended while it ran"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    async def kvm2(*_: Any) -> Placement:
        return Placement("web1", "kvm2", (), "kvm2: told so")

    async def fits(*_: Any) -> None:
        return

    monkeypatch.setattr(power, "choose", kvm2)
    monkeypatch.setattr(migrate, "check_again", fits)
    monkeypatch.setattr(conclude, "QUIET_S", 0.0)


@pytest.fixture
async def pool(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> tuple[FakeHost, FakeHost]:
    """kvm1 and kvm2 with a storage; what migrates from the one goes to the other."""
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
    kvm1.spec, kvm1.target = SPEC, kvm2
    kvm1.files |= {"/s/web1.qcow2": b"disk"}
    await web1_is(services, RUNNING)
    return kvm1, kvm2


async def web1_is(services: Services, state: PowerState) -> None:
    """web1 is so on kvm1, and the registry says it."""
    for link in services.links.values():
        link.shows(state if link.name == "kvm1" else None)  # type: ignore[attr-defined]
        link.done.clear()  # type: ignore[attr-defined]
    values: dict[str, Any] = {"spec": SPEC, "host": "kvm1", "power": state, "may_run_on": {"kvm1": "machine-kvm1"}}
    await services.store.change(VMRecord, UUID, wanted="running", **values)


async def settled(services: Services) -> VMRecord:
    """web1, which is what its host shows, with nothing of a task left."""
    assert await services.store.open_tasks() == []
    for link in services.links.values():
        assert not link.sockets  # type: ignore[attr-defined]
    vm = await services.store.vm(UUID)
    assert (vm.task, vm.moving_to, vm.copying) == (None, "", False)
    shown = {link.name: link.domains[UUID].power for link in services.links.values() if UUID in link.domains}
    assert shown == {vm.host: vm.power} and set(vm.may_run_on) == {vm.host}
    return vm


async def test_a_controller_that_closes_in_a_copy_takes_its_socket_away(
    services: Services, pool: tuple[FakeHost, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may come after it, and sshd leaves the file."""
    copying = asyncio.Event()

    async def copies(*_: Any, **__: Any) -> None:
        copying.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(pool[0], "migrate", copies)
    job = await new_job(services, "migrate", "web1", vm=UUID)
    running = asyncio.create_task(migrate.migrate(services, job))
    await copying.wait()
    assert pool[0].sockets
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled() and not pool[0].sockets


async def looked(services: Services) -> None:
    """The next controller has looked at every host."""
    for link in services.links.values():
        await reconcile(services, link)


# how a migration leaves its two hosts, and what libvirt says
ENDS: dict[str, tuple[PowerState | None, PowerState | None, HostError | None]] = {
    "it arrives": (None, RUNNING, None),
    "it arrives and nobody says so": (PAUSED, RUNNING, NoAnswer("no word")),
    "it breaks": (RUNNING, PAUSED, LibvirtError("no")),
    "it breaks at its end": (PAUSED, PAUSED, LibvirtError("no")),
    "it does not begin": (RUNNING, None, LibvirtError("no")),
}


@pytest.mark.parametrize("end", ENDS)
async def test_in_a_live_migration(services: Services, pool: tuple[FakeHost, FakeHost], life: Life, end: str) -> None:
    kvm1, (here, there, error) = pool[0], ENDS[end]
    kvm1.after = here, there

    async def begin() -> AnyJob:
        await web1_is(services, RUNNING)
        kvm1.failing = {} if error is None else {"migrated": error}
        return await new_job(services, "migrate", "web1", vm=UUID)

    outcomes: set[str] = set()
    async for step, said in deaths(life, services, migrate.migrate, begin):
        vm = await settled(services)
        assert (vm.host == "kvm2") == (said == "done"), (step, said)
        assert vm.power is RUNNING, step
        outcomes.add(said.removeprefix("web1 was not migrated and runs on kvm1: "))
    # One that broke by the death alone is tried once more.
    assert outcomes == {"done"} if end.startswith("it arrives") else {"no", ENDED}


@pytest.mark.parametrize(("verb", "before"), [("pause", RUNNING), ("resume", PAUSED), ("reset", RUNNING)])
async def test_in_a_verb(
    services: Services, pool: tuple[FakeHost, FakeHost], life: Life, verb: str, before: PowerState
) -> None:
    """None of them is done twice. The next controller sees what a pause or a resume needs, and not of a reset."""

    async def begin() -> AnyJob:
        await web1_is(services, before)
        return await new_job(services, verb, "web1", vm=UUID)

    seen: set[PowerState] = set()
    async for step, said in deaths(life, services, power_action.power_action, begin):
        assert said in (INTERRUPTED, "done"), step
        assert pool[0].done.count({"pause": "suspend"}.get(verb, verb)) <= 1, step
        await looked(services)
        seen.add((await settled(services)).power)
    assert seen == {RUNNING if verb == "reset" else PAUSED if verb == "pause" else RUNNING}


async def test_in_taking_a_lease_again(
    services: Services, pool: tuple[FakeHost, FakeHost], life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never left paused."""

    async def missing(_services: Services, link: Any, vms: list[VMRecord]) -> list[VMRecord]:
        return [] if "resume" in link.done else vms

    monkeypatch.setattr(leases, "missing", missing)

    async def begin() -> AnyJob:
        await web1_is(services, RUNNING)
        pool[0].files.pop(f"/s/lockspace/{UUID}", None)
        return await new_job(services, "renew lease", "web1", vm=UUID)

    paused = 0
    async for step, said in deaths(life, services, leases.renew, begin):
        assert said in ("done", "web1 still runs without its lease on kvm1"), step
        assert (await settled(services)).power is RUNNING, step
        assert f"/s/lockspace/{UUID}" in pool[0].files, step
        paused += "suspend" in pool[0].done
    assert paused


# -- storages and hosts


@pytest.fixture
def clock(services: Services, pool: tuple[FakeHost, FakeHost]) -> SetClock:
    """For the controller and every host."""
    later = SetClock()
    services.parts = replace(SYSTEM, clock=later)
    for host in pool:
        host.clock = later
    return later


def probes(*pool: FakeHost) -> list[str]:
    """What of probes is on hosts and on their storages."""
    running = [found.name for host in pool for found in host.domains.values() if found.name.startswith(PROBE)]
    return running + [path for path in pool[0].files if "vmctl-probe" in path]


async def two_hours_later(services: Services, clock: SetClock, name: str) -> None:
    """Every host was looked at, and a storage checked."""
    clock.by_s += 7200.0
    await looked(services)
    job = await new_job(services, "storage check", name, name=name)
    assert await to_its_end(services, storage.check, job) == "done"


async def proof_of(services: Services, name: str) -> set[str]:
    """The settings that belong to a storage."""
    return {kept.name for kept in await services.store.all(ClusterValue) if name in kept.name}


async def test_in_adding_a_storage(
    services: Services, pool: tuple[FakeHost, FakeHost], life: Life, clock: SetClock
) -> None:
    wanted = {"name": "extra", "path": "/extra", "lockspace": "/s/lockspace"}

    async def begin() -> AnyJob:
        await services.store.take_storage("extra")
        return await new_job(services, "storage add", "extra", **wanted)

    left: set[str] = set()
    added = 0
    async for step, said in deaths(life, services, storage.add, begin):
        assert said == "done", step
        left |= {name.rpartition("/")[0] for name in probes(*pool)}
        assert (await services.store.get(Storage, "extra")).hosts == ["kvm1", "kvm2"], step
        added += 1
        again = await to_its_end(services, storage.add, await new_job(services, "storage add", "extra", **wanted))
        assert again == "there is already a storage 'extra'", step
        await two_hours_later(services, clock, "extra")
        assert probes(*pool) == [], step
        await settled(services)
    assert added and {"", "/s/lockspace"} < left, "it died with each kind of probe"


async def test_in_forgetting_a_storage(services: Services, pool: tuple[FakeHost, FakeHost], life: Life) -> None:
    """Whoever takes over finishes it, on every host."""

    async def begin() -> AnyJob:
        await services.store.put(Storage("extra", "/extra", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
        await services.store.put(ClusterValue("proof/extra", "{}"))
        for host in pool:
            host.done.clear()
        return await new_job(services, "storage remove", "extra", name="extra")

    async for step, said in deaths(life, services, storage.remove, begin):
        assert said == "done", step
        assert await services.store.find(Storage, "extra") is None and not await proof_of(services, "extra"), step
        assert all("drop_pools_below" in host.done for host in pool), step
        await settled(services)


@pytest.mark.parametrize("call", ["drop_pool", "drop_pools_below"])
async def test_a_host_that_does_not_let_go_of_a_storage_stops_nothing(
    services: Services, pool: tuple[FakeHost, FakeHost], call: str
) -> None:
    await services.store.put(Storage("extra", "/extra", 1.0, "", ["kvm1", "kvm2"]))
    pool[0].failing[call] = NoAnswer("libvirt on kvm1 did not answer")
    job = await new_job(services, "storage remove", "extra", name="extra")
    assert await to_its_end(services, storage.remove, job) == "done"
    assert "drop_pools_below" in pool[1].done
    [(_, said)] = job.log
    assert said == "kvm1: whether our pools over /extra are gone is not known: libvirt on kvm1 did not answer"


async def test_a_host_that_does_not_let_go_of_its_pools_is_let_go(
    services: Services, pool: tuple[FakeHost, FakeHost]
) -> None:
    pool[1].failing["drop_pool"] = LibvirtError("it is stuck")
    job = await new_job(services, "host remove", "kvm2", host="kvm2")
    assert await to_its_end(services, lambda _, job: at(services).remove(job), job) == "done"
    [(_, said)] = job.log
    assert said == "kvm2: whether our pools over /s are gone is not known: it is stuck"
    assert "kvm2" not in services.links and await services.store.find(HostRecord, "kvm2") is None


async def test_whoever_takes_over_leaves_a_storage_that_was_added_since(
    services: Services, pool: tuple[FakeHost, FakeHost]
) -> None:
    await services.store.put(Storage("extra", "/extra", 2.0))
    job = await new_job(services, "storage remove", "extra", name="extra")
    await job.note("forgetting it", storage=asdict(Storage("extra", "/extra", 1.0)))
    assert await to_its_end(services, storage.remove, await job_again(services, job.id)) == "done"
    assert (await services.store.get(Storage, "extra")).added_at == 2.0


async def test_a_new_storage_has_no_proof_of_an_earlier_one(
    services: Services, pool: tuple[FakeHost, FakeHost]
) -> None:
    """A check of that one that ended when it was forgotten already wrote it down once more."""
    await storage.learn(services, "extra", lambda _known: {"lock_free_after_s": 30.0})
    job = await new_job(services, "storage add", "extra", name="extra", path="/extra")
    assert await to_its_end(services, storage.add, job) == "done"
    assert "lock_free_after_s" not in await storage.proven(services, "extra")


@pytest.fixture
def kvm3(
    services: Services, pool: tuple[FakeHost, FakeHost], clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> FakeHost:
    """A host that may join: the doctor likes it, and it shares the storage."""
    like_the_host(monkeypatch)
    made = joining(services, pool[0].files)
    made.clock = clock
    return made


def at(services: Services) -> hosts.Hosts:
    """The tasks about hosts."""

    def attach(record: HostRecord) -> Link:
        return services.links.setdefault(record.name, services.new_link(record, services.runtime))

    return hosts.Hosts(services, attach)


async def test_in_adding_a_host(
    services: Services, pool: tuple[FakeHost, FakeHost], life: Life, clock: SetClock, kvm3: FakeHost
) -> None:
    """It is in the pool or it is not; in it, no VM is given a CPU that it may lack."""

    async def begin() -> AnyJob:
        services.links.pop("kvm3", None)
        await services.store.remove_host("kvm3")
        await services.store.put(ClusterValue("cpu-baseline", "<cpu/>"))
        return await new_job(services, "host add", "kvm3", hosts=["kvm3"])

    added, left = 0, 0
    async for step, said in deaths(life, services, lambda _, job: at(services).add(job), begin):
        assert said in (INTERRUPTED, "done"), step
        known = await services.store.find(HostRecord, "kvm3")
        kept = await services.store.find(ClusterValue, "cpu-baseline")
        assert (known is None) == (kept is not None), step
        added, left = added + (known is not None), left + bool(probes(*pool, kvm3))
        services.links["kvm3"] = kvm3  # type: ignore[assignment]  # so that what is left there is seen, too
        await two_hours_later(services, clock, "main")
        assert probes(*pool, kvm3) == [], step
        if known is None:
            del services.links["kvm3"]
        await settled(services)
    assert added and left


async def test_in_removing_a_host(services: Services, pool: tuple[FakeHost, FakeHost], life: Life) -> None:
    """A VM that ran there may still run there, and whoever has read the registry knows it."""
    kvm1 = pool[0]

    async def begin() -> AnyJob:
        services.links["kvm1"] = kvm1  # type: ignore[assignment]
        await services.store.put(kvm1.record)
        await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
        await web1_is(services, RUNNING)
        await services.store.change(VMRecord, UUID, why="")
        return await new_job(services, "host remove", "kvm1", host="kvm1", force=True)

    removed = 0
    async for step, said in deaths(life, services, lambda _, job: at(services).remove(job), begin):
        assert said in (INTERRUPTED, "done"), step
        assert await services.store.open_tasks() == [], step
        known = {record.name for record in await services.store.all(HostRecord)}
        vm, main = await services.store.vm(UUID), await services.store.get(Storage, "main")
        assert set(main.hosts) == known, step
        assert vm.may_run_on == {"kvm1": "machine-kvm1"} and vm.task is None, step
        assert (vm.host, vm.power) == (("kvm1", RUNNING) if "kvm1" in known else ("", PowerState.UNKNOWN)), step
        removed += "kvm1" not in known
    assert removed


# -- plans


def engine(services: Services) -> Tasks:
    """A controller's tasks: a move is one lease."""
    tasks = Tasks(services.store)
    plans = Plans(services, tasks)

    async def move(job: AnyJob) -> dict[str, Any]:
        vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
        if vm.host != job.args.to:
            await services.store.lease(vm, job.args.to, RUNNING, gone=(vm.host,))
        return {"host": job.args.to}

    tasks.handlers |= {"drain": plans.drain, "rebalance": plans.rebalance, "migrate": move}
    return tasks


async def ended(services: Services, life: Life, tasks: Tasks) -> bool:
    """Whether all of a controller's tasks come to their end before it dies."""
    async with asyncio.timeout(30):
        while not life.dead and (tasks.jobs() or await services.store.open_tasks()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    dead = life.dead
    await tasks.close()
    life.left = None
    return not dead


@pytest.mark.parametrize("kind", ["drain", "rebalance"])
async def test_in_a_plan(
    services: Services, pool: tuple[FakeHost, FakeHost], life: Life, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each VM moves once. A drain goes on until nothing is left; a rebalance is not begun again, its moves end."""

    def all_of_kvm1(cluster: Cluster, *_: Any) -> Plan:
        there = [vm.spec for vm in cluster.vms if vm.host == "kvm1"]
        return Plan(tuple(Move(spec.name, "kvm1", "kvm2", "told so", uuid=spec.uuid) for spec in there), "told so")

    for planner in ("plan_drain", "plan_rebalance"):
        monkeypatch.setattr(asked, planner, all_of_kvm1)
    monkeypatch.setattr(observe, "FIRST_LOAD_S", 0.0)
    await services.store.add_vm(VMRecord(Spec("u2", "db1", 1, 512), 1.0))
    left: dict[str, Any] = {"host": "kvm1", "power": RUNNING, "may_run_on": {"kvm1": "machine-kvm1"}}
    interrupted = 0
    for step in range(200):
        for uuid in (UUID, "u2"):
            await services.store.change(VMRecord, uuid, epoch=0, **left)
        await services.store.change(HostRecord, "kvm1", draining=False)
        job = await new_job(services, kind, "kvm1", **({"host": "kvm1"} if kind == "drain" else {}))
        tasks = engine(services)
        tasks.resume(job.task)
        life.left = step
        if await ended(services, life, tasks):
            break
        after = engine(services)
        for task in await services.store.open_tasks():
            after.resume(task)
        assert await ended(services, life, after), step
        task = await services.store.get(Task, job.id)
        left_open = ENDED in task.error.get("message", "")
        assert left_open or task.state is TaskState.DONE, (step, task.error)
        interrupted += left_open
        vms = await services.store.all(VMRecord)
        assert all(vm.epoch == (vm.host == "kvm2") for vm in vms), step
        assert kind == "rebalance" or {vm.host for vm in vms} == {"kvm2"}, step
        assert all((vm.task, vm.moving_to, set(vm.may_run_on)) == (None, "", {vm.host}) for vm in vms), step
        assert (await services.store.get(HostRecord, "kvm1")).draining == (kind == "drain"), step
    else:
        raise AssertionError("it never comes to its end")
    assert step > 10 and bool(interrupted) == (kind == "rebalance")
