"""Migrate a VM, live or cold, with one known outcome.

Live: peer-to-peer between the two libvirtds. The source's reaches the target's through a socket that we forward over
our two SSH connections, so the hosts need no logins at each other; memory goes directly between their migration
addresses. If we die, the forward dies with us and the source gives up by itself. Whatever libvirt says at the end,
both hosts are read and `decide.outcome` says what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from vmctl.act import power
from vmctl.act.whereabouts import Answer, ask, home
from vmctl.decide import migrate as ladder
from vmctl.decide.fit import refusal
from vmctl.decide.outcome import Act, Sight, settle
from vmctl.errors import HostError, LibvirtError, MigrationFailed, NotFound, Refused, Uncertain, VmctlError
from vmctl.hosts.address import tcp_uri
from vmctl.hosts.link import HostLink
from vmctl.hosts.ssh import Listener
from vmctl.hosts.virt import LEFT_OVER, JobProgress
from vmctl.model import PowerState
from vmctl.observe import observe
from vmctl.records import VMRecord
from vmctl.tasks import Cancelled, Job
from vmctl.world import World

WATCH_S = 0.5
SETTLE_FOR_S = 30.0
ABORT_S = 5.0  # an abort that takes longer waits for a target that hangs
QUIET_S = 15.0  # a host that stays silent this long is taken as silent for this outcome
MIB = 1 << 20
FINAL = (Act.ON_TARGET, Act.ON_SOURCE, Act.NOWHERE, Act.ALARM)


async def migrate(world: World, job: Job) -> dict[str, Any]:
    """Task: move a VM to another host."""
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    if job.journal.get("target"):
        return await _take_over(world, job, vm)
    if job.args.get("cold"):
        return await _cold(world, job, vm)
    source = await home(world, vm)
    if vm.power is not PowerState.RUNNING:
        raise Refused(f"{vm.name} is {vm.power}: only a running VM migrates live", hint=f"vmctl resume {vm.name}")
    target = await _promise(world, job, vm)
    try:
        waiting = lambda why: job.show(text=f"queued: {why}")  # noqa: E731
        async with world.slots.take(job.id, source.name, target.name, waiting, job.check_cancelled) as waited:
            if waited:
                await _check_again(world, vm, target.name)
            return await _live(world, job, vm, source, target)
    finally:
        world.moving.pop(vm.uuid, None)


async def _promise(world: World, job: Job, vm: VMRecord) -> HostLink:
    """Choose the target and promise the VM its place there."""
    wanted = job.args.get("to") or ""
    if wanted == vm.host:
        raise Refused(f"{vm.name} already runs on {wanted}")
    async with world.placing:
        seen = next(v for v in (await observe(world)).vms if v.spec.uuid == vm.uuid)
        found = await power.choose(world, seen, wanted, "migrate", job.task.who)
        world.moving[vm.uuid] = found.host
    why = job.args.get("why")
    job.say(f"{vm.host} -> {found.host}: {why}" if why else f"{vm.host} -> {found.why}")
    return world.online(found.host)


async def _check_again(world: World, vm: VMRecord, target: str) -> None:
    """Ask the rules once more, just before anything moves: a wait for a slot may have changed the answer."""
    cluster = await observe(world)
    seen = next(v for v in cluster.vms if v.spec.uuid == vm.uuid)
    host = cluster.host(target)
    no = refusal(seen, host, cluster, world.policy) if host else None
    if host is None or no is not None:
        raise Refused(f"{vm.name} no longer fits on {target}: {no.why if no else 'the host is gone'}")


# -- live


async def _live(world: World, job: Job, vm: VMRecord, source: HostLink, target: HostLink) -> dict[str, Any]:
    address = target.record.migration_address or target.record.address
    socket = f"/tmp/vmctl-{secrets.token_hex(8)}.sock"
    await job.note("preparing", source=source.name, target=target.name, socket=socket)
    vm = await world.store.lease(vm, source.name, PowerState.MIGRATING, also=(target.name,))
    problem: VmctlError | None = None
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        try:
            storage = await power.storage_of(world, vm)
            offered = await source.ssh.offer(socket, target.socket)
            stack.push_async_callback(_withdraw, offered)  # when all is read: nobody waits for it
            job.stage("copying")
            await _copy(world, job, vm, source, socket, tcp_uri(address), unsafe=storage is not None)
        except (VmctlError, Cancelled) as err:
            problem = err
            job.say(f"libvirt ended it: {err.message}")
        job.stage("reading both hosts")
        return await _conclude(world, job, vm, source.name, target.name, problem, time.monotonic() - began)


async def _withdraw(offered: Listener) -> None:
    with contextlib.suppress(HostError):
        await offered.close()


async def _copy(world: World, job: Job, vm: VMRecord, source: HostLink, socket: str, uri: str, *, unsafe: bool) -> None:
    """Run the migration and watch it until libvirt says how it ended. Raises LibvirtError, Cancelled, HostError."""
    may = world.policy.allow_post_copy
    watch = _Watch(world, job, vm, source, world.moving[vm.uuid])
    await watch.allow(0)  # once it copies, this would wait in line for its monitor
    copying = source.virt.migrate(vm.uuid, socket, uri, unsafe=unsafe, adopted=vm.adopted, post_copy=may)
    running = asyncio.create_task(copying)
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=WATCH_S)
            if not running.done():
                await watch.look()
    except asyncio.CancelledError:
        # This controller is going: the forward ends with it, the source gives up, the next controller reads both.
        running.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise
    try:
        await running
    except LibvirtError as err:
        if watch.aborted:
            raise watch.aborted from err
        raise


@dataclass
class _Watch:
    """What was seen of one migration so far, and the ladder's steps."""

    world: World
    job: Job
    vm: VMRecord
    source: HostLink
    target: str
    rung: int = 0
    rung_at: float = 0.0
    low: float = float("inf")
    low_at: float = 0.0
    bytes_seen: int = -1
    bytes_at: float = 0.0
    tactic: str = "copying"
    aborted: VmctlError | None = None
    aborted_at: float = 0.0
    aborting: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """One reading, and the ladder's answer to it."""
        if not self.source.online:
            return
        if self.aborted and time.monotonic() - self.aborted_at > ABORT_S:
            await self._drop_target()
        try:
            progress = await self.source.virt.job(self.vm.uuid)
        except VmctlError:
            return  # it ends just now, or the host is silent: `running` will tell
        if not progress.active:
            return
        now = time.monotonic()
        if progress.remaining < self.low:
            self.low, self.low_at = progress.remaining, now
        if progress.processed != self.bytes_seen:
            self.bytes_seen, self.bytes_at = progress.processed, now
        self._show(progress)
        await self._step(progress, now)

    async def allow(self, rung: int) -> None:
        """Take a step of the ladder: so long may the guest pause."""
        self.rung, self.rung_at = rung, time.monotonic()
        with contextlib.suppress(LibvirtError):  # it may have ended meanwhile
            await self.source.virt.set_max_downtime(self.vm.uuid, self.world.policy.downtime_ms[rung])

    async def _step(self, progress: JobProgress, now: float) -> None:
        if self.aborted:
            return
        if self.job.cancel_asked.is_set():
            await self._abort(Cancelled("the migration was cancelled, as asked"))
            return
        seen = ladder.Seen(
            elapsed_s=progress.elapsed_ms / 1000,
            remaining_mib=progress.remaining / MIB,
            since_low_s=now - self.low_at,
            since_bytes_s=now - self.bytes_at,
            rung=self.rung,
            since_rung_s=now - self.rung_at,
            post_copy=self.tactic == "post-copy",
        )
        step = ladder.next_step(seen, self.world.policy)
        if isinstance(step, ladder.RaiseDowntime):
            self.tactic = f"allowing a pause of {step.downtime_ms} ms"
            self.job.say(f"{self.tactic}: {step.why}")
            await self.allow(step.rung)
        elif isinstance(step, ladder.PostCopy):
            self.tactic = "post-copy"
            self.job.say(f"switching to post-copy: {step.why}")
            await self.source.virt.start_post_copy(self.vm.uuid)
            self.rung_at = now
        elif isinstance(step, ladder.Abort):
            await self._abort(MigrationFailed(f"the migration was given up: {step.why}"))

    async def _abort(self, why: VmctlError) -> None:
        self.aborted, self.aborted_at, self.tactic = why, time.monotonic(), "cancelling"
        self.aborting = asyncio.create_task(self._ask_abort())  # not waited for: it may hang with the target's QEMU

    async def _ask_abort(self) -> None:
        with contextlib.suppress(HostError):
            await self.source.virt.abort_job(self.vm.uuid)

    async def _drop_target(self) -> None:
        """The abort waits for a target's QEMU that does not answer: take that half-made copy away."""
        self.aborted_at = time.monotonic()
        target = self.world.link(self.target)
        with contextlib.suppress(HostError, NotFound):
            here, there = await self.source.virt.power(self.vm.uuid), await target.virt.power(self.vm.uuid)
            if here[0] is PowerState.RUNNING and there[0] is PowerState.PAUSED and there[1] in LEFT_OVER:
                self.job.say(f"{target.name} does not let go: destroying its half-made copy, {there[1]}")
                await target.virt.destroy(self.vm.uuid)

    def _show(self, p: JobProgress) -> None:
        left = max(0, p.rate_bps - p.dirty_bps)
        if p.dirty_bps:
            self.world.dirty_mib_s[self.vm.uuid] = p.dirty_bps / MIB  # its next move is priced by it
        self.job.show(
            percent=round(100 * (1 - p.remaining / p.total), 1) if p.total else 0.0,
            remaining_mib=round(p.remaining / MIB, 1),
            total_mib=round(p.total / MIB, 1),
            rate_mib_s=round(p.rate_bps / MIB, 1),
            dirty_mib_s=round(p.dirty_bps / MIB, 1),
            downtime_ms=self.world.policy.downtime_ms[self.rung],
            eta_s=round(p.remaining / left, 1) if left else None,
            tactic=self.tactic,
        )


# -- the end, whatever it was


async def _conclude(
    world: World, job: Job, vm: VMRecord, source: str, target: str, problem: VmctlError | None, took_s: float
) -> dict[str, Any]:
    """Read both hosts until they show one outcome, and make the registry say the same."""
    act, answers = await _settle(world, job, vm, source, target)
    lines = tuple(str(answer) for answer in answers)
    gone = [answer.host for answer in answers if answer.sight is Sight.GONE]
    if act is Act.ON_TARGET:
        await world.store.lease(vm, target, PowerState.RUNNING, gone=gone, moved_at=time.time())
        return await _moved(world, job, vm, source, target, took_s, lines)
    if act is Act.ON_SOURCE:
        await world.store.lease(vm, source, PowerState.RUNNING, gone=gone)
        if isinstance(problem, Cancelled):
            raise Cancelled(f"{problem.message}; {vm.name} runs on {source}", lines=lines)
        why = problem.message if problem else "libvirt reported no error"
        raise MigrationFailed(f"{vm.name} was not migrated and runs on {source}: {why}", lines=lines)
    if act is Act.NOWHERE:
        await world.store.lease(vm, source if vm.adopted else "", PowerState.STOPPED, gone=gone)
        await world.tell("lost", vm.name, f"{vm.name} runs nowhere after its migration {source} -> {target} broke")
        why = problem.message if problem else "it ended meanwhile"
        raise MigrationFailed(f"{vm.name} runs nowhere: {why}", lines=lines, hint=f"vmctl start {vm.name}")
    await world.store.lease(vm, source, PowerState.UNKNOWN, why="; ".join(lines))
    await world.tell("alarm", vm.name, f"{vm.name}: {act}; {'; '.join(lines)}")
    raise Uncertain(f"where {vm.name} runs is not certain ({act})", lines=lines, hint=f"vmctl show {vm.name}")


async def _settle(world: World, job: Job, vm: VMRecord, source: str, target: str) -> tuple[Act, tuple[Answer, Answer]]:
    """Look, act on what is certain, look again; give an unclear picture time to become clear."""
    began = time.monotonic()
    while True:
        here, there = await asyncio.gather(ask(world, source, vm.uuid), ask(world, target, vm.uuid))
        act = settle(here.sight, there.sight)
        waited = time.monotonic() - began
        busy = bool(here.domain and here.domain.has_job and here.sight is not Sight.GONE)
        silent = Sight.SILENT in (here.sight, there.sight)
        # Two paused copies: the target may be about to run, so this picture gets time to change by itself.
        hasty = here.sight is Sight.PAUSED and there.sight is Sight.PAUSED and waited < QUIET_S
        clear = act in FINAL and not busy and not (silent and waited < QUIET_S)
        if not busy and not hasty and await _do(world, vm, act, source, target):
            job.say(f"{act}: {here}, {there}")
        elif clear or waited > SETTLE_FOR_S:
            return act, (here, there)
        job.show(text=f"reading both hosts: {here}; {there}")
        await asyncio.sleep(0.2 if waited < 5 else 1.0)


async def _do(world: World, vm: VMRecord, act: Act, source: str, target: str) -> bool:
    """Carry out an act that changes a host; whether there was one and the host said yes."""
    with contextlib.suppress(HostError):  # both hosts are looked at again, and then it is tried again
        if act is Act.DROP_TARGET:
            await world.online(target).virt.destroy(vm.uuid)
        elif act is Act.DROP_SOURCE:
            await world.online(source).virt.destroy(vm.uuid)
        elif act is Act.RESUME_SOURCE:
            await world.online(source).virt.resume(vm.uuid)
        else:
            return False
        return True
    return False


async def _moved(
    world: World, job: Job, vm: VMRecord, source: str, target: str, took_s: float, lines: tuple[str, ...]
) -> dict[str, Any]:
    """The happy end: the pause as libvirt measured it, checked on both hosts."""
    stats, _, _ = await asyncio.gather(_completed(world, vm, target), _look(world, source), _look(world, target))
    text = f"{vm.name} moved {source} -> {target}, paused {stats.downtime_ms} ms"
    await world.tell("migrated", vm.name, text)
    return {
        "vm": vm.name,
        "source": source,
        "host": target,
        "downtime_ms": stats.downtime_ms,
        "libvirt_ms": stats.elapsed_ms,
        "seconds": round(took_s, 3),
        "checked": list(lines),
    }


async def _completed(world: World, vm: VMRecord, target: str) -> JobProgress:
    try:
        return await world.online(target).virt.job(vm.uuid, completed=True)
    except VmctlError:
        return JobProgress(False)


async def _look(world: World, host: str) -> None:
    """So that what the API shows is true at once."""
    link = world.links.get(host)
    if link is not None and link.online:
        with contextlib.suppress(VmctlError):
            await link.refresh_domains()


# -- after a controller died


async def _take_over(world: World, job: Job, vm: VMRecord) -> dict[str, Any]:
    """Adopt a migration that another controller began: wait for its end, then read both hosts as usual."""
    source, target = job.journal["source"], job.journal["target"]
    job.say("taken over after the controller's restart")
    if job.journal.get("cold"):
        return await _finish_cold(world, job, vm, source, target)
    for name in (source, target):
        link = world.links.get(name)
        if link is not None:
            await link.wait_online(QUIET_S)
    vm = await world.store.lease(vm, source, PowerState.MIGRATING, also=(target,))
    interrupted = MigrationFailed("the controller ended while it ran")
    return await _conclude(world, job, vm, source, target, interrupted, time.time() - job.task.created_at)


# -- cold


async def _cold(world: World, job: Job, vm: VMRecord) -> dict[str, Any]:
    """Stop in the guest, start on the other host: same disks, same identity, nothing copied."""
    source = await home(world, vm)
    target = await _promise(world, job, vm)
    began = time.monotonic()
    try:
        await job.note("stopping", source=source.name, target=target.name, cold=True)
        vm = await world.store.lease(vm, source.name, PowerState.STOPPING)
        try:
            await power.halt(source, vm, job, force=False, limit_s=world.settings.timeouts.shutdown_s)
        except VmctlError:
            await world.store.lease(vm, source.name, PowerState.RUNNING)
            raise
        return await _start_there(world, job, vm, source.name, target.name, time.monotonic() - began)
    finally:
        world.moving.pop(vm.uuid, None)


async def _start_there(
    world: World, job: Job, vm: VMRecord, source: str, target: str, stopped_s: float
) -> dict[str, Any]:
    if vm.adopted:
        await world.online(target).virt.define(vm.definition)
        await world.online(source).virt.undefine(vm.uuid)
    vm = await world.store.lease(vm, target, PowerState.STARTING, moved_at=time.time())
    vm = await power.launch(world, job, vm, target)
    text = f"{vm.name} moved {source} -> {target} cold; its guest took {stopped_s:.1f} s to stop"
    await world.tell("migrated", vm.name, text)
    return {"vm": vm.name, "source": source, "host": target, "cold": True, "stop_seconds": round(stopped_s, 3)}


async def _finish_cold(world: World, job: Job, vm: VMRecord, source: str, target: str) -> dict[str, Any]:
    """A controller died in a cold migration: a VM that runs stays where it is, one that stopped is started there."""
    act, _ = await _settle(world, job, vm, source, target)
    if act is Act.NOWHERE:
        return await _start_there(world, job, vm, source, target, 0.0)
    problem = MigrationFailed("the controller ended while it ran")
    return await _conclude(world, job, vm, source, target, problem, 0.0)
