"""A simulated cluster: machines, a registry that outlives its controllers, and the real controller on them."""

from __future__ import annotations

import asyncio
import contextvars
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.sim.fates import Fates
from tests.sim.life import WHOSE, Life, Mortal
from tests.sim.loop import VirtualLoop
from tests.sim.shell import SimCollector, SimShell
from tests.sim.virt import SimVirt
from tests.sim.world import EPOCH, Machine, World
from vmctl.cluster.controller import Controller
from vmctl.errors import Refused, RegistryUnusable, Unreachable, VmctlError
from vmctl.hosts.leaseprobe import PROBE
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import LEFT_OVER
from vmctl.hosts.ssh import HostKey
from vmctl.local.config import Settings
from vmctl.model.records import DecisionRecord, Event, HostRecord, Image, Storage, Task, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import PowerState
from vmctl.ports import Parts
from vmctl.services import Services
from vmctl.store.memory import MemoryStore
from vmctl.tasks import AnyJob, Tasks

LOCKSPACE = "/shared/lockspace"
STORE_S = 0.001
# Methods of the registry that write; a lease is among them, and waits for itself
WRITES = frozenset(
    (
        *("put", "insert", "add", "change", "revise", "remove", "add_vm", "claim", "forget_vm", "take_slot"),
        *("add_image", "add_storage", "take_storage", "take_image", "add_host", "remove_host", "end_task"),
        *("accept", "audit"),
        *("add_means", "prune", "_lease"),
    )
)
BROKEN = re.compile(r"\w+(Error|Exception): ")  # how a task ends that met with a bug
# Errors that no command ends in where nothing is wrong with any host
UNHEARD_OF = ("NoAnswer", "NotSent", "Unreachable", "Uncertain", "LibvirtError", "MigrationFailed", "CommandFailed")


class SimClock:
    """The world's time, as a controller's machine shows it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return EPOCH + self._world.now

    def monotonic(self) -> float:
        return self._world.now


class SimIds:
    """Names drawn by the seed."""

    def __init__(self, world: World) -> None:
        self._world = world

    def uuid(self) -> str:
        return self._world.new_uuid()

    def token(self) -> str:
        return f"{self._world.random.getrandbits(64):016x}"

    def noise(self, size: int) -> bytes:
        return self._world.random.randbytes(size)

    def mac(self) -> str:
        return "52:54:00:" + ":".join(f"{self._world.random.randrange(256):02x}" for _ in range(3))


class InLine:
    """No threads: the work is done at once."""

    async def run(self, work: Callable[..., Any], *args: object) -> Any:
        return work(*args) if work.__name__ != "warm" else None  # whoever needs the search compiles it

    async def wait(self, work: Callable[..., Any], *args: object) -> Any:
        return work(*args)


class SimLink(HostLink):
    """The real link over a simulated connection."""

    def __init__(self, cluster: Cluster, life: Life, record: HostRecord, *given: Any) -> None:
        self._cluster, self._life = cluster, life
        self.machine = cluster.world.machines[record.address]
        super().__init__(record, *given)

    def _new_ssh(self, _target: Any, _keys: Any) -> Any:
        shell = SimShell(self.machine, self._cluster.fates, self._settings.timeouts)
        self._life.at_end.append(lambda: shell._end("its process was killed"))
        self._shell = shell
        return Mortal(shell, self._life)

    def _new_collector(self) -> Any:
        return SimCollector(self._shell)

    def _new_virt(self) -> Any:
        virt = SimVirt(self.machine, self._cluster.fates, self._settings.timeouts.libvirt_s, self._shell)
        self._life.at_end.append(virt.drop)
        return Mortal(virt, self._life)

    async def _forward_libvirt(self) -> None:
        """The simulated connection leads there without a socket."""


class ToldStore(MemoryStore):
    """The registry; what is recorded there is told as it comes."""

    def __init__(self, world: World, clock: SimClock) -> None:
        super().__init__(clock)
        self._world = world
        self.full = False  # its disk is, and it takes nothing
        self.fates = Fates()  # of its commits

    def check(self, name: str) -> RegistryUnusable | None:
        """What a write hears although it is done. Raises RegistryUnusable for one that is not."""
        if name not in WRITES:
            return None
        fate = self.fates.draw("registry", name)
        if self.full or fate == "refused":
            raise RegistryUnusable("the registry's disk is full")
        return RegistryUnusable("the registry gave no answer") if fate == "unanswered" else None

    async def _lease(self, *args: Any, **more: Any) -> VMRecord:
        lost = self.check("_lease")  # `lease` waits for the registry by itself
        done = await super()._lease(*args, **more)
        if lost is not None:
            raise lost
        return done

    def _add(self, record: Any) -> int:
        if isinstance(record, Event):
            self._world.log(f"  {record.kind}: {record.text}")
        if isinstance(record, DecisionRecord) and record.kind == "heal":
            self._world.check_sick(record.subject)
        return super()._add(record)

    async def end_task(self, task: int, **values: Any) -> None:
        found, error = await self.get(Task, task), values.get("error") or {}
        self._world.log(
            f"  task {task} ({found.kind} {found.subject}) {values['state']} {error.get('message', '')}".rstrip()
        )
        self._world.broken += self._lies(found, values)
        await super().end_task(task, **values)

    def _lies(self, task: Task, ending: dict[str, Any]) -> list[str]:
        """In what a task's end is not what happened."""
        state, result, error = ending["state"], ending.get("result") or {}, ending.get("error") or {}
        uuid, host = task.args.get("vm") or result.get("uuid", ""), result.get("host", "")
        there = self._world.where(uuid)
        on = [machine.name for machine, domain in there if domain.why not in LEFT_OVER]
        at = f"{self._world.now:.3f}: {task.kind} {task.subject} is {state}"
        if state == "done" and task.kind in ("start", "reboot", "migrate") and host and on != [host]:
            # It may have ended by itself, but it may not be elsewhere, or twice.
            return [f"{at} on {host}, and it runs on {on}"] if on else []
        if state == "done" and task.kind in ("stop", "delete") and on:
            return [f"{at}, and it runs on {on}"]
        code = error.get("code", "")
        if BROKEN.match(error.get("message", "")) or (self._world.peaceful and code in UNHEARD_OF):
            return [f"{at}: {error}"]
        # Where its guest came up: a copy that somebody moves there by hand is no start.
        begun = any(EPOCH + one.started_at >= task.created_at for _, one in there if one.booted == one.pid)
        other = any(words in error.get("message", "") for words in ("is busy", "already runs"))  # another task's
        since = self._all(Task, lambda one: one.id > task.id and one.vm == uuid and one.kind in ("migrate", "reboot"))
        other = other or bool(since)  # a cold move starts it, too
        if state == "failed" and task.kind == "start" and begun and code != "Uncertain" and not other:
            return [f"{at}, and has started on {on}: {error}"]
        return []

    def _change(self, kind: type[Any], key: Any, values: dict[str, Any]) -> None:
        super()._change(kind, key, values)
        if kind is VMRecord and values.get("power") is PowerState.STOPPED:
            on = [machine.name for machine, domain in self._world.where(key) if domain.job != "in"]
            if on:
                self._world.broken.append(f"{self._world.now:.3f}: {key} is called stopped, and runs on {on}")


def depose(tasks: Tasks) -> None:
    """Take all tasks from a controller that lives on: it follows its hosts, and begins no task any more."""

    async def lost(job: AnyJob) -> dict[str, Any]:
        job.claim.lose()
        job.claim.check()
        raise AssertionError("it acts on")

    async def refused(*_: Any, **__: Any) -> Task:
        raise Refused("another controller begins tasks")

    for job in tasks.jobs():
        job.claim.lose()
    tasks.handlers = dict.fromkeys(tasks.handlers, lost)  # for one whose row is being written
    tasks.submit = refused  # type: ignore[method-assign]


class Cluster:
    """Everything of one run. `told` of its world says what happened."""

    def __init__(self, seed: int, hosts: int = 3) -> None:
        self.loop = VirtualLoop()
        self.world, self.fates, self.seed = World(self.loop, seed), Fates(), seed
        self.clock = SimClock(self.world)
        self.parts = Parts(self.clock, SimIds(self.world), InLine())
        self.store: Any = ToldStore(self.world, self.clock)
        self.life: Life | None = None  # of the newest controller
        self.lives: list[Life] = []
        self.steps = 0  # of the lives that are over
        self.taking_over: asyncio.Task[None] | None = None
        self.controller: Controller | None = None
        for number in range(1, hosts + 1):
            machine = Machine(self.world, f"kvm{number}")
            self.world.machines[machine.name] = machine
        self.settings = Settings()

    def run(self, story: Callable[[Cluster], Awaitable[Any]]) -> Any:
        """Run a story to its end."""
        random.seed(self.seed)  # the pauses between attempts to connect
        asyncio.set_event_loop(self.loop)
        try:
            return self.loop.run_until_complete(self._told(story))
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    async def _told(self, story: Callable[[Cluster], Awaitable[Any]]) -> Any:
        await self._register()
        try:
            return await story(self)
        finally:
            await self.kill()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

    async def _register(self) -> None:
        """Three hosts that share a storage, with an image on it."""
        for name, machine in self.world.machines.items():
            about = {
                "host_uuid": machine.uuid,
                "lockspace": LOCKSPACE,
                "cpus": machine.cpus,
                "mem_mib": machine.mem_mib,
            }
            await self.store.put(HostRecord(name, name, "key", "fingerprint", EPOCH, about=about))
        names = sorted(self.world.machines)
        await self.store.put(Storage("shared", "/shared", EPOCH, LOCKSPACE, names))
        path = "/shared/image-tiny-0000/disk.qcow2"
        self.world.files[path] = b"tiny"
        await self.store.put(Image("tiny", "shared", path, EPOCH, size_bytes=1 << 20))
        self.world.files[f"{LOCKSPACE}/.there"] = b""
        self.world.files["/two/.there"] = b""  # another storage, which is not registered
        self.world.files[LOCKSPACE] = b""  # as a path that is there

    # -- controllers

    async def start(self, killed_at: int | None = None) -> None:
        """A controller comes up; `killed_at`: the step at which it is killed."""
        self.life = life = Life()
        self.lives.append(life)
        if killed_at is not None:
            life.after(killed_at, life.end)
        token = WHOSE.set(life)
        try:
            await asyncio.create_task(self._begin(life))
        except asyncio.CancelledError:
            if life.alive:
                raise
            self.world.log("the controller was killed while it started")
        finally:
            WHOSE.reset(token)

    async def _begin(self, life: Life) -> None:
        services = Services(
            Mortal(self.store, life, STORE_S, self.store.check),
            self.settings,
            Path("/nonexistent"),
            (),
            parts=self.parts,
            make_link=lambda record, *given: SimLink(self, life, record, *given),
            read_key=self._read_key,
        )
        self.controller = controller = Controller(services)
        await controller.start()

    async def _read_key(self, address: str, _port: int, timeout_s: float) -> HostKey:
        machine = self.world.machines.get(address)
        await asyncio.sleep(STORE_S if machine is not None and machine.reached else timeout_s)
        if machine is None or not machine.reached:
            raise Unreachable(f"{address} port 22 cannot be reached: no answer within {timeout_s:g} s")
        return HostKey(f"ssh-ed25519 {machine.uuid}", f"SHA256:{machine.uuid}")

    def deposed_after(self, steps: int) -> None:
        """So many steps from now another controller takes its tasks over, while it lives on and does not know."""
        assert self.life is not None
        self.life.after(steps, self._depose)

    def _depose(self) -> None:
        self.world.log("another controller takes over")
        if self.controller is None:
            return  # it is still coming up
        depose(self.controller.tasks)
        self.controller = None
        self.taking_over = self.loop.create_task(self.start(), context=contextvars.Context())

    async def kill(self) -> None:
        """kill -9 of every controller."""
        if self.taking_over is not None:
            self.taking_over.cancel()
        for life in self.lives:
            self.steps += life.steps
            life.end()
        self.lives.clear()
        self.controller = None
        for _ in range(10):  # what it had begun unwinds
            await asyncio.sleep(0)

    async def all_well(self) -> None:
        """Nothing befalls the controller any more, and one lives."""
        if self.life is not None:
            self.life.befalls.clear()
        if not self.running:
            await self.start()

    @property
    def running(self) -> bool:
        """Whether a controller lives."""
        return self.life is not None and self.life.alive

    async def give(self, asked: Any) -> Any:
        """What a client hears at the door; None, and a line that says why, where it hears no yes."""
        if self.taking_over is not None:
            await asyncio.wait({self.taking_over})
        if self.controller is None or self.life is None or not self.life.alive:
            self.world.log("  no controller answers")
            return None
        token = WHOSE.set(self.life)
        try:
            work = asyncio.create_task(self.controller.door.ask(asked, LOCAL_USER))
        finally:
            WHOSE.reset(token)
        await asyncio.wait({work})
        if work.cancelled():
            self.world.log("  the controller died before it said yes or no")
            return None
        try:
            return work.result()
        except VmctlError as err:
            self.world.log(f"  not accepted: {err.message}")
            return None

    async def ended(self, task: int, limit_s: float = 600.0) -> Task:
        """A task once it has ended, however many controllers that takes. Raises TimeoutError."""
        deadline = self.world.now + limit_s
        while True:
            found = await self.store.get(Task, task)
            if found.state.ended:
                return found
            if self.world.now > deadline:
                raise TimeoutError(f"task {task} ({found.kind} {found.subject}) is still in step {found.step!r}")
            await asyncio.sleep(0.25)

    # -- the truth

    async def untrue(self) -> list[str]:
        """In what the registry differs from what is, once nothing is wrong any more and nothing happens."""
        found = list(self.world.broken)
        known = {vm.uuid: vm for vm in await self.store.all(VMRecord)}
        hosts = {host.name for host in await self.store.all(HostRecord)}
        for vm in known.values():
            found += self._untrue_of(vm, hosts)
        for machine in [self.world.machines[name] for name in sorted(hosts)]:
            for domain in machine.domains.values():
                if domain.uuid not in known and not domain.name.startswith(PROBE):
                    found.append(f"{machine.name} has {domain.name}, of which the registry knows nothing")
        for task in await self.store.open_tasks():
            found.append(f"task {task.id} ({task.kind} {task.subject}) is open, in step {task.step!r}")
        tasks = await self.store.all(Task)
        told = "".join(event.text for event in await self.store.all(Event))
        mine = {name.split("/")[2] for name in self.world.files if name.startswith("/shared/vm-")}
        for folder in sorted(mine):
            if not any(vm.uuid in folder for vm in known.values()) and folder not in told:
                found.append(f"/shared/{folder} belongs to no VM")
        images = {image.path.split("/")[2] for image in await self.store.all(Image)}
        made = {name.split("/")[2] for name in self.world.files if name.startswith("/shared/image-")}
        said = "".join(str(task.log) for task in tasks)
        found += [f"/shared/{folder} belongs to no image" for folder in sorted(made - images) if folder not in said]
        for machine in self.world.machines.values():
            left = [path for path in machine.sockets if not any(path in str(task.log) for task in tasks)]
            found += [f"{path} is left on {machine.name}, and nobody says so" for path in left]
        return found

    def _untrue_of(self, vm: VMRecord, hosts: set[str]) -> list[str]:
        there = self.world.where(vm.uuid)
        on, left = {machine.name for machine, _ in there}, vm.may_run_on.keys() - hosts
        away = on and not on & hosts  # somebody moved it out of the pool
        if vm.power is PowerState.UNKNOWN and (away or (left and on <= vm.may_run_on.keys())):
            return []  # of a host that is none of ours nothing more can be said
        shown = ", ".join(f"{domain.power} on {machine.name}" for machine, domain in there) or "nowhere"
        found = []
        if vm.task is not None or vm.moving_to or vm.copying:
            found.append(f"{vm.name} is held by task {vm.task}, promised to {vm.moving_to!r}, copying {vm.copying}")
        right = (
            not there
            if vm.power is PowerState.STOPPED
            else len(there) == 1 and there[0][0].name == vm.host and there[0][1].power is vm.power
        )
        if not right:
            found.append(f"{vm.name} is {vm.power} on {vm.host or 'no host'} in the registry, and {shown} in truth")
        for machine, domain in there:
            holder = self.world.locks.get(domain.key)
            if domain.power is PowerState.RUNNING and domain.key and holder != (machine.name, domain.uuid):
                found.append(f"{vm.name} runs on {machine.name}, and its lease is {holder}")
        for disk in vm.spec.disks if not vm.half else ():
            if disk.path not in self.world.files:
                found.append(f"{vm.name}'s disk {disk.path} is not there")
        return found
