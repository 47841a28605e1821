"""A story: commands and faults, a line each; what comes of them is told, line by line, and held against the truth.

    create web1               wait 5                    kill                      cut kvm1 / heal kvm1
    start web1 [kvm2]         stop web1 [force]         killed at 40              freeze kvm1 / thaw kvm1
    migrate web1 [kvm2|cold]  delete web1               controller                off kvm1 / on kvm1
    reboot web1               pause web1 / resume web1  fate kvm1 create unsent   unmount kvm1 / mount kvm1
    drain kvm1 / undrain kvm1 rebalance                 guest web1 ends|deaf|obeys
    virsh kvm1 destroy web1   call 7 late (the 7th one) cancel                    lawless / stranger kvm1 old1
    move web1 kvm2 (by hand)  lose key web1             full / free (the registry's disk)
    machine kvm4              join kvm4 / leave kvm4 [force]                      check kvm4 (the doctor)
    storage two /two / forget two / recheck two         image big [two] / unimage big
    treat web1 reset          agent web1 well|sick|cursed|hung
    deposed at 40 (from then on another controller acts, while the old one lives)
    commit 7 refused|unanswered (the registry's 7th)    fate registry add unanswered
    controllers 3 (the first line: so many on one registry), and of these, each leader, other, or by its name:
    dies leader / controller  freezes other / thaws     severed leader (from the registry) / joined
    drains leader / undrains

A command is given and not waited for; `then` waits until every task has ended, or the controller has. `killed at N`
begins a controller that dies at its Nth step, or ends the one that lives after so many. In a `lawless` world no lock
guards a disk, so that all rests on what the controller asks first. At the end everything is mended, and what the
registry says must be true.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from tests.sim.cluster import Cluster
from tests.sim.guest import AGENTS
from tests.sim.migration import migrate
from tests.sim.several import Several
from tests.sim.world import Machine
from vmctl.commands import cluster as about_cluster
from vmctl.commands import hosts, storages, tasks, vms
from vmctl.errors import VmctlError
from vmctl.hosts import domainxml
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec

# Once all is mended and every task has ended, what is untrue may still be found out by itself: it is looked at again.
IMAGE = Path(__file__).with_name("image.raw")  # what is uploaded
SOON_S, LATE_S = 15.0, 240.0
LONGEST_S = 3600.0


class Teller:
    """Tells one story in one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.world = cluster, cluster.world
        self.accepted: list[int] = []
        self.asking: list[asyncio.Task[None]] = []

    async def tell(self, lines: list[str]) -> list[str]:
        """Every line, then the mending; what is untrue after that."""
        self.world.peaceful = all(line.split()[0] in PEACEFUL for line in lines)
        await self.cluster.start()
        for line in lines:
            self.world.log(f"> {line}")
            await self.line(line)
        return await self.mend()

    async def line(self, text: str) -> None:
        """One line."""
        verb, *words = text.split()
        if verb in COMMANDS:
            self.give(COMMANDS[verb](*words))
            await asyncio.sleep(0)
            return
        done = getattr(self, f"do_{verb}")(*words)
        if asyncio.iscoroutine(done):
            await done

    # -- commands

    def give(self, asked: Any) -> None:
        """Give a command; who gives it does not wait."""
        self.asking.append(asyncio.create_task(self._give(asked)))

    async def _give(self, asked: Any) -> None:
        accepted = await self.cluster.give(asked)
        if isinstance(getattr(accepted, "id", None), int):
            self.accepted.append(accepted.id)

    async def do_cancel(self) -> None:
        """Cancel what was accepted last."""
        if self.accepted and self.cluster.running:
            self.give(tasks.CancelTask(self.accepted[-1]))

    async def do_then(self) -> None:
        """Wait until all that was accepted has ended, or the controller has."""
        if self.asking:  # but not for ever: somebody's own migration may wait for a host that stands still
            await asyncio.wait(self.asking, timeout=LONGEST_S)
        deadline = self.world.now + LONGEST_S
        while True:
            if not self.cluster.running or not await self.cluster.store.open_tasks() or self.world.now > deadline:
                return
            await asyncio.sleep(0.25)

    async def do_wait(self, seconds: str) -> None:
        """Let time pass."""
        await asyncio.sleep(float(seconds))

    # -- controllers

    async def do_kill(self) -> None:
        """kill -9."""
        await self.cluster.kill()

    async def do_controller(self) -> None:
        """One comes up, where none lives."""
        if not self.cluster.running or isinstance(self.cluster, Several):
            await self.cluster.start()

    async def do_killed(self, _at: str, number: str) -> None:
        """One comes up that dies at a step of its own; where one lives, it dies so many steps from now."""
        if isinstance(self.cluster, Several):
            self.cluster._choose()
        if self.cluster.running and self.cluster.life is not None and self.cluster.life.alive:
            self.cluster.life.after(int(number), self.cluster.life.end)
        else:
            await self.cluster.start(int(number))

    def do_deposed(self, _at: str, number: str) -> None:
        """So many steps from now another controller takes over, and the one that lives does not know."""
        if self.cluster.running:
            self.cluster.deposed_after(int(number))

    # -- of several controllers

    def do_dies(self, which: str) -> None:
        self._several.die(which)

    def do_freezes(self, which: str) -> None:
        self._several.freeze(which)

    def do_thaws(self) -> None:
        self._several.thaw()

    def do_severed(self, which: str) -> None:
        self._several.sever(which)

    def do_drains(self, which: str) -> None:
        self._several.drain(which, on=True)

    def do_undrains(self) -> None:
        self._several.drain("", on=False)

    def do_joined(self) -> None:
        self._several.join()

    @property
    def _several(self) -> Several:
        assert isinstance(self.cluster, Several), "the first line says that there are several"
        return self.cluster

    # -- hosts

    def do_machine(self, host: str) -> None:
        """A new one stands there, and belongs to no pool yet."""
        if host not in self.world.machines:
            self.world.machines[host] = Machine(self.world, host)

    def do_cut(self, host: str) -> None:
        self.world.machines[host].set_cut(True)

    def do_heal(self, host: str) -> None:
        self.world.machines[host].set_cut(False)

    def do_freeze(self, host: str) -> None:
        self.world.machines[host].set_frozen(True)

    def do_thaw(self, host: str) -> None:
        self.world.machines[host].set_frozen(False)

    def do_off(self, host: str) -> None:
        if self.world.machines[host].up:
            self.world.machines[host].power_off()

    def do_on(self, host: str) -> None:
        if not self.world.machines[host].up:
            self.world.machines[host].boot()

    def do_unmount(self, host: str) -> None:
        self.world.machines[host].mounted = False

    def do_mount(self, host: str) -> None:
        self.world.machines[host].mounted = True

    def do_fate(self, host: str, call: str, kind: str) -> None:
        fates = self.cluster.store.fates if host == "registry" else self.cluster.fates
        fates.add(host, call, kind)

    def do_call(self, number: str, kind: str) -> None:
        self.cluster.fates.add_nth(int(number), kind)

    def do_commit(self, number: str, kind: str) -> None:
        self.cluster.store.fates.add_nth(int(number), kind)

    def do_full(self) -> None:
        self.cluster.store.full = True

    def do_free(self) -> None:
        self.cluster.store.full = False

    # -- past us

    async def do_guest(self, name: str, what: str) -> None:
        """Its guest powers itself off, or obeys no button any more, or does again."""
        vm = await self.cluster.store.find_vm(name)
        for machine, domain in self.world.where(vm.uuid) if vm else ():
            if what == "ends" and domain.power is PowerState.RUNNING:
                machine.destroy(domain.uuid)
            elif what != "ends":
                domain.obeys_after_s = None if what == "deaf" else 1.0

    async def do_agent(self, name: str, how: str) -> None:
        """An agent speaks in its guest, which is well, sick, cursed (sick again after each boot), or hung."""
        vm = await self.cluster.store.find_vm(name)
        if vm is not None:
            assert how in AGENTS
            self.world.set_guest(vm.uuid, how)

    async def do_virsh(self, host: str, verb: str, name: str) -> None:
        """Somebody on a host."""
        vm = await self.cluster.store.find_vm(name)
        machine = self.world.machines[host]
        domain = machine.domains.get(vm.uuid) if vm else None
        if domain is not None and machine.up:
            try:
                {"destroy": machine.destroy, "suspend": machine.suspend, "resume": machine.resume}[verb](domain.uuid)
            except VmctlError as err:
                self.world.log(f"  virsh: {err.message}")

    def do_lawless(self) -> None:
        """Locks are taken and refuse nobody."""
        self.world.locks_hold = False

    def do_stranger(self, host: str, name: str) -> None:
        """Somebody starts a VM of his own."""
        machine = self.world.machines[host]
        if machine.up:
            disk = Disk("its own", f"/own/{host}/{name}.qcow2", "qcow2", "vda")
            self.world.files[disk.path] = b""
            xml = domainxml.build(Spec(self.world.new_uuid(), name, 1, 256, disks=(disk,)), domainxml.Site("kvm"))
            try:
                machine.define(re.sub("<metadata>.*</metadata>", "", xml, flags=re.DOTALL))
                machine.start(domainxml.read(xml).uuid)
            except VmctlError as err:
                self.world.log(f"  virsh: {err.message}")

    async def do_lose(self, _key: str, name: str) -> None:
        """Somebody tidies the lockspace up, and takes a VM's key."""
        vm = await self.cluster.store.find_vm(name)
        if vm is not None:
            self.world.files.pop(f"/shared/lockspace/{vm.uuid}", None)

    async def do_move(self, name: str, target: str) -> None:
        """Somebody migrates it with virsh; to a machine of the pool, as nobody looks elsewhere for it."""
        vm = await self.cluster.store.find_vm(name)
        if await self.cluster.store.find(HostRecord, target) is None:
            return
        for source, domain in self.world.where(vm.uuid) if vm else ():
            to = self.world.machines[target]
            if source is not to and domain.power is PowerState.RUNNING and source.reached and to.reached:
                work = migrate(source, to, domain.uuid, lambda: True, "", persistent=bool(domain.kept), by_hand=True)
                self.asking.append(asyncio.create_task(self._by_hand(work)))

    async def _by_hand(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except VmctlError as err:
            self.world.log(f"  virsh: {err.message}")

    # -- the end

    async def mend(self) -> list[str]:
        """Nothing is wrong any more; all comes to its end; what is untrue then."""
        self.cluster.fates.clear()
        self.cluster.store.fates.clear()
        self.do_free()
        self.world.log("> all is mended")
        for machine in self.world.machines.values():
            machine.mounted = True
            if not machine.up:
                machine.boot()
            machine.set_frozen(False)
            machine.set_cut(False)
            for domain in machine.domains.values():
                domain.obeys_after_s = 1.0
        await self.cluster.all_well()
        await asyncio.gather(*self.asking, return_exceptions=True)
        try:
            await self._all_ended()
        except TimeoutError as err:
            return [str(err)]
        await asyncio.sleep(SOON_S)
        await self._start_all()
        if found := await self.cluster.untrue():
            await asyncio.sleep(LATE_S)
            found = await self.cluster.untrue()
        return found

    async def _start_all(self) -> None:
        """Whatever is off can be started, where there is room for it: nothing was left in the way."""
        for vm in await self.cluster.store.all(VMRecord):
            if vm.power is PowerState.STOPPED and not vm.half and not vm.drift and vm.task is None:
                self.world.log(f"> start {vm.name}, to see that it can be")
                accepted = await self.cluster.give(vms.Start(vm.uuid))
                error = (await self.cluster.ended(accepted.id)).error if accepted is not None else {}
                # The controller was first: it starts some by itself.
                by_itself = any(words in error.get("message", "") for words in ("already runs", "is busy: start"))
                if error.get("code") not in (None, "NoHostFits") and not by_itself:
                    self.world.broken.append(f"{vm.name} cannot be started once all is well: {error['message']}")

    async def _all_ended(self) -> None:
        deadline = self.world.now + LONGEST_S
        while open_ := await self.cluster.store.open_tasks():
            if self.world.now > deadline:
                raise TimeoutError(f"still open: {', '.join(f'{t.kind} {t.subject} in {t.step!r}' for t in open_)}")
            await asyncio.sleep(2.0)


def _migrate(name: str, to: str = "") -> vms.Migrate:
    return vms.Migrate(name, cold=True) if to == "cold" else vms.Migrate(name, to)


COMMANDS: dict[str, Callable[..., Any]] = {
    "create": lambda name, mem="1024", host="": vms.Create(name, "tiny", int(mem), host=host),
    "start": lambda name, host="": vms.Start(name, host),
    "stop": lambda name, force="": vms.Stop(name, force=bool(force)),
    "migrate": _migrate,
    "delete": lambda name: vms.Delete(name),
    "reboot": lambda name: vms.Reboot(name),
    "reset": lambda name: vms.Reset(name),
    "pause": lambda name: vms.Pause(name),
    "resume": lambda name: vms.Resume(name),
    "treat": lambda name, level: vms.SetHeal(name, level),
    "join": lambda host: hosts.AddHosts([host]),
    "leave": lambda host, force="": hosts.RemoveHost(host, force=bool(force)),
    "check": lambda host: hosts.CheckHosts([host]),
    "storage": lambda name, path: storages.AddStorage(name, path),
    "recheck": lambda name: storages.CheckStorage(name),
    "forget": lambda name: storages.RemoveStorage(name),
    "image": lambda name, storage="": storages.AddImage(name, str(IMAGE), storage=storage),
    "unimage": lambda name: storages.RemoveImage(name),
    "drain": lambda host: hosts.DrainHost(host),
    "undrain": lambda host: hosts.UndrainHost(host),
    "rebalance": lambda: about_cluster.Rebalance(),
}


PEACEFUL = {*COMMANDS, "wait", "then", "lawless", "machine"} - {"leave"}  # verbs that do no harm


class Telling(NamedTuple):
    """What came of a story."""

    untrue: list[str]  # at the end
    told: list[str]
    lasted_s: float  # in the world
    steps: int  # of all its controllers
    faults: int  # that befell it: by its own lines, and single calls


def tell(lines: list[str], seed: int = 0) -> Telling:
    """Tell a story. The controller's own log is not wanted."""
    several = lines[0].split()[1] if lines and lines[0].startswith("controllers ") else ""
    cluster = Several(seed, int(several)) if several else Cluster(seed)
    logging.disable(logging.CRITICAL)
    try:
        untrue = cluster.run(lambda made: Teller(made).tell(lines[1:] if several else lines))
    finally:
        logging.disable(logging.NOTSET)
    calls = cluster.fates.met + cluster.store.fates.met
    by_line = sum(line.split()[0] not in PEACEFUL for line in lines)
    return Telling(untrue, cluster.world.told, cluster.world.now, cluster.steps, by_line + calls)
