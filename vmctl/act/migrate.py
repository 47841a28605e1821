"""Migrate a VM, live or cold, with one known outcome.

Live: peer-to-peer between the two libvirtds. The source's reaches the target's through a socket that we forward over
our two SSH connections, so the hosts need no logins at each other; memory goes directly between their migration
addresses. If we die, the forward dies with us and the source gives up by itself. Whatever libvirt says at the end,
both hosts are read and `decide.outcome` says what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from vmctl.act import coldmove, definitions
from vmctl.act.coldmove import Moving
from vmctl.act.conclude import QUIET_S, conclude
from vmctl.act.disks import storage_of
from vmctl.act.needs import refuse_lacking, tpm_in_the_way
from vmctl.act.promise import check_again, promise, refuse_stuck
from vmctl.act.whereabouts import home
from vmctl.decide import migrate as ladder
from vmctl.errors import Cancelled, HostError, LibvirtError, MigrationFailed, NotFound, Refused, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.address import tcp_uri
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER, JobProgress
from vmctl.hosts.ssh import Listener
from vmctl.model import PowerState
from vmctl.records import VMRecord
from vmctl.world import World

WATCH_S = 0.5
ABORT_S = 5.0  # an abort that takes longer waits for a target that hangs
MIB = 1 << 20


async def migrate(world: World, job: Moving) -> dict[str, Any]:
    """Task: move a VM to another host; of one that is stopped and defined on its host only, its definition."""
    vm = await world.store.claim(await world.store.vm(job.args.vm), job.id)
    if job.journal.cold:
        return await coldmove.go_on(world, job, vm)
    if job.journal.target:
        return await _take_over(world, job, vm)
    if vm.power is PowerState.STOPPED and vm.adopted and not vm.transient:
        return await coldmove.definition(world, job, vm)
    source = await home(world, vm)
    shown = await source.virt.shown(vm.uuid)
    vm = await definitions.keep(world, source, vm, shown)
    seen = await source.virt.domain(vm.uuid)
    if seen is None or seen.power is not PowerState.RUNNING:
        power_now = f"{seen.power} ({seen.why})" if seen and seen.why else str(seen.power if seen else "not there")
        raise Refused(f"{vm.name} is {power_now}: only a running VM migrates", hint=f"vmctl resume {vm.name}")
    if job.args.cold:
        return await coldmove.cold(world, job, vm, shown)
    refuse_stuck(vm, cold=False)
    target = await promise(world, job, vm)
    needs = domainxml.read(shown.live).definition
    await refuse_lacking(world, target, needs, vm.uuid, f"{vm.name} was not migrated")
    for words in await tpm_in_the_way(target, needs, vm.uuid):
        raise Refused(f"{vm.name} was not migrated: {words}", hint=f"vmctl migrate {vm.name} --check")
    waiting = lambda why: job.show(text=f"queued: {why}")  # noqa: E731
    await world.slots.take(vm, target.name, waiting, job.check_cancelled)
    await check_again(world, vm, target.name)
    return await _live(world, job, vm, source, target, autostart=shown.autostart)


# -- live


async def _live(
    world: World, job: Moving, vm: VMRecord, source: Link, target: Link, *, autostart: bool
) -> dict[str, Any]:
    address = target.record.migration_address or target.record.address
    socket = f"/tmp/vmctl-{world.ids.token()}.sock"
    await job.note("preparing", source=source.name, target=target.name, socket=socket, autostart=autostart)
    vm = await world.store.lease(vm, source.name, PowerState.MIGRATING, also=(target.name,))
    problem: VmctlError | None = None
    began = world.clock.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        try:
            storage = await storage_of(world, vm)
            offered = await source.ssh.offer(socket, target.socket)
            stack.push_async_callback(_withdraw, offered)  # when all is read: nobody waits for it
            job.stage("copying")
            await _copy(world, job, vm, source, socket, tcp_uri(address), unsafe=storage is not None)
        except (VmctlError, Cancelled) as err:
            problem = err
            job.say(f"libvirt ended it: {err.message}")
        job.stage("reading both hosts")
        return await _end(world, job, vm, problem, world.clock.monotonic() - began)


async def _end(world: World, job: Moving, vm: VMRecord, problem: VmctlError | None, took_s: float) -> dict[str, Any]:
    """Conclude; what its old host had noted of it beside its definition goes along."""
    source, target = job.journal.source, job.journal.target
    result = await conclude(world, job, vm, source, target, problem, took_s)
    if job.journal.autostart:
        await coldmove.carry_autostart(world, job, vm, target)
    return result


async def _withdraw(offered: Listener) -> None:
    with contextlib.suppress(HostError):
        await offered.close()


async def _copy(world: World, job: Moving, vm: VMRecord, source: Link, socket: str, uri: str, *, unsafe: bool) -> None:
    """Run the migration and watch it until libvirt says how it ended. Raises LibvirtError, Cancelled, HostError."""
    may = world.policy.allow_post_copy
    watch = _Watch(world, job, vm, source, job.journal.target)
    await watch.allow(0)  # once it copies, this would wait in line for its monitor
    persistent = vm.adopted and not vm.transient
    copying = source.virt.migrate(vm.uuid, socket, uri, unsafe=unsafe, persistent=persistent, post_copy=may)
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
    except HostError as err:
        if watch.aborted:
            raise watch.aborted from err
        raise
    finally:
        if watch.dirty_mib_s:  # its next move is priced by it
            await world.store.change(VMRecord, vm.uuid, dirty_mib_s=watch.dirty_mib_s)


@dataclass
class _Watch:
    """What was seen of one migration so far, and the ladder's steps."""

    world: World
    job: Moving
    vm: VMRecord
    source: Link
    target: str
    rung: int = 0
    rung_at: float = 0.0
    low: float = float("inf")
    low_at: float = 0.0
    bytes_seen: int = -1
    bytes_at: float = 0.0
    tactic: str = "copying"
    dirty_mib_s: float = 0.0
    aborted: VmctlError | None = None
    aborted_at: float = 0.0
    aborting: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """One reading, and the ladder's answer to it."""
        if not self.source.online:
            return
        if self.aborted and self.world.clock.monotonic() - self.aborted_at > ABORT_S:
            await self._drop_target()
        try:
            progress = await self.source.virt.job(self.vm.uuid)
        except VmctlError:
            return  # it ends just now, or the host is silent: `running` will tell
        if not progress.active:
            return
        now = self.world.clock.monotonic()
        if not progress.total:  # the target prepares: what is left, and for how long, counts from its first byte
            self.low_at = self.rung_at = now
        elif progress.remaining < self.low:
            self.low, self.low_at = progress.remaining, now
        if progress.processed != self.bytes_seen:
            self.bytes_seen, self.bytes_at = progress.processed, now
        self._show(progress)
        await self._step(progress, now)

    async def allow(self, rung: int) -> None:
        """Take a step of the ladder: so long may the guest pause."""
        self.rung, self.rung_at = rung, self.world.clock.monotonic()
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
            both_online=self.source.online and self.world.link(self.target).online,
            begun=progress.total > 0,
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
        self.aborted, self.aborted_at, self.tactic = why, self.world.clock.monotonic(), "cancelling"
        self.aborting = asyncio.create_task(self._ask_abort())  # not waited for: it may hang with the target's QEMU

    async def _ask_abort(self) -> None:
        with contextlib.suppress(HostError):
            await self.source.virt.abort_job(self.vm.uuid)

    async def _drop_target(self) -> None:
        """The abort waits for a target's QEMU that does not answer: take that half-made copy away."""
        self.aborted_at = self.world.clock.monotonic()
        target = self.world.link(self.target)
        with contextlib.suppress(HostError, NotFound):
            here, there = await self.source.virt.power(self.vm.uuid), await target.virt.power(self.vm.uuid)
            if here[0] is PowerState.RUNNING and there[0] is PowerState.PAUSED and there[1] in LEFT_OVER:
                self.job.say(f"{target.name} does not let go: destroying its half-made copy, {there[1]}")
                await target.virt.destroy(self.vm.uuid)

    def _show(self, p: JobProgress) -> None:
        left = max(0, p.rate_bps - p.dirty_bps)
        if p.dirty_bps:
            self.dirty_mib_s = p.dirty_bps / MIB
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


# -- after a controller died


async def _take_over(world: World, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Adopt a migration that another controller began: wait for its end, then read both hosts as usual."""
    source, target = job.journal.source, job.journal.target
    job.say("taken over after the controller's restart")
    await asyncio.gather(*(link.wait_online(QUIET_S) for name in (source, target) if (link := world.links.get(name))))
    if vm.power is not PowerState.STOPPED:  # else its end was written already
        vm = await world.store.lease(vm, source, PowerState.MIGRATING, also=(target,))
    interrupted = MigrationFailed("the controller ended while it ran")
    try:
        return await _end(world, job, vm, interrupted, world.clock.now() - job.task.created_at)
    finally:
        await _remove_socket(world, source, job.journal.socket)


async def _remove_socket(world: World, host: str, path: str) -> None:
    """Take away the socket that sshd made for the dead controller; its name was drawn at random for this task."""
    link = world.links.get(host)
    if link is not None and link.online:
        with contextlib.suppress(VmctlError):
            await link.ssh.run(("rm", "-f", "--", path))
