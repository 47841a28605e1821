"""Migrate a VM, live or cold, with one known outcome.

Live: peer-to-peer between the two libvirtds. The source's reaches the target's through a socket that we forward over
our two SSH connections, so the hosts need no logins at each other; memory goes directly between their migration
addresses. If we die, the forward dies with us and the source gives up by itself. Whatever libvirt says at the end,
both hosts are read and `decide.outcome` says what follows.
"""

from __future__ import annotations

import asyncio
from typing import Any

from vmctl.act import coldmove, definitions
from vmctl.act.coldmove import Moving
from vmctl.act.conclude import QUIET_S, conclude
from vmctl.act.disks import storage_of
from vmctl.act.monitor import MigrationMonitor
from vmctl.act.needs import refuse_lacking, tpm_in_the_way
from vmctl.act.promise import check_again, promise, refuse_stuck
from vmctl.act.whereabouts import require_running
from vmctl.errors import Cancelled, HostError, MigrationFailed, NoAnswer, Refused, Unreachable, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.address import tcp_uri
from vmctl.hosts.port import Link
from vmctl.hosts.ssh import Listener
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services

WATCH_S = 0.5


async def migrate(services: Services, job: Moving) -> dict[str, Any]:
    """Task: move a VM to another host; of one that is stopped and defined on its host only, its definition."""
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    # What the journal says comes first: a successor goes on where its predecessor was, and asks no check that may
    # fail now.
    if job.journal.cold:
        return await coldmove.go_on(services, job, vm)
    if job.journal.target:
        return await _take_over(services, job, vm)
    if vm.power is PowerState.STOPPED and vm.adopted and not vm.transient:
        return await coldmove.definition(services, job, vm)
    source, seen = await require_running(services, vm)
    # Read whole before it is judged: a snapshot of libvirt's own sends no event, and what was written down may be
    # minutes old.
    shown = await source.virt.shown(vm.uuid)
    vm = await definitions.keep(services, source, vm, shown)
    if seen.power is not PowerState.RUNNING:
        power_now = f"{seen.power} ({seen.why})" if seen.why else str(seen.power)
        raise Refused(f"{vm.name} is {power_now}: only a running VM migrates", hint=f"vmctl resume {vm.name}")
    if job.args.cold:
        return await coldmove.cold(services, job, vm, shown)
    refuse_stuck(vm, cold=False)
    target = await promise(services, job, vm)
    # What runs is what arrives there, so the live XML counts and not the registry's specification.
    needs = domainxml.read(shown.live).definition
    await refuse_lacking(services, target, needs, vm.uuid, f"{vm.name} was not migrated")
    for words in await tpm_in_the_way(target, needs, vm.uuid):
        raise Refused(f"{vm.name} was not migrated: {words}", hint=f"vmctl migrate {vm.name} --check")
    waiting = lambda why: job.show(text=f"queued: {why}")  # noqa: E731
    # The place is promised before the slot is waited for: nobody else takes it meanwhile.
    await services.slots.take(vm, target.name, waiting, job.check_cancelled)
    await check_again(services, vm, target.name)
    return await _live(services, job, vm, source, target, autostart=shown.autostart)


# -- live


async def _live(
    services: Services, job: Moving, vm: VMRecord, source: Link, target: Link, *, autostart: bool
) -> dict[str, Any]:
    address = target.record.migration_address or target.record.address
    socket = f"/tmp/vmctl-{services.ids.token()}.sock"
    # In this order: the journal, then the lease for both hosts, then the socket. Wherever the controller dies, a
    # successor knows both hosts, and nobody starts the VM on a third one.
    await job.note("preparing", source=source.name, target=target.name, socket=socket, autostart=autostart)
    vm = await services.store.lease(vm, source.name, PowerState.MIGRATING, also=(target.name,))
    problem: VmctlError | None = None
    offered: Listener | None = None
    withdrawing: asyncio.Task[bool] | None = None
    began = services.clock.monotonic()
    try:
        try:
            storage = await storage_of(services, vm)
            offered = await source.ssh.offer(socket, target.socket)
            job.stage("copying")
            await _copy(services, job, vm, source, socket, tcp_uri(address), unsafe=storage is not None)
        # No error ends the task here: what libvirt says is only what it saw, and both hosts are read in any case.
        except (VmctlError, Cancelled) as err:
            problem = err
            job.say(f"libvirt ended it: {err.message}")
        job.stage("reading both hosts")
        # Beside the reading: nobody needs the socket any more, and nobody waits for its end.
        withdrawing = asyncio.create_task(_withdrawn(offered))
        return await _end(services, job, vm, problem, services.clock.monotonic() - began)
    finally:
        if not await (withdrawing or _withdrawn(offered)):
            await _remove_socket(services, job, source.name, socket)


async def _end(
    services: Services, job: Moving, vm: VMRecord, problem: VmctlError | None, took_s: float
) -> dict[str, Any]:
    """Conclude; what its old host had noted of it beside its definition goes along."""
    source, target = job.journal.source, job.journal.target
    result = await conclude(services, job, vm, source, target, problem, took_s)
    if job.journal.autostart:
        await coldmove.carry_autostart(services, job, vm, target)
    return result


async def _withdrawn(offered: Listener | None) -> bool:
    """Take the socket away; whether it is surely gone. Of an offer without an answer nobody knows."""
    if offered is None:
        return False
    try:
        await offered.close()
        return True
    except HostError:
        return False


async def _copy(
    services: Services, job: Moving, vm: VMRecord, source: Link, socket: str, uri: str, *, unsafe: bool
) -> None:
    """Run the migration and watch it until libvirt says how it ended. Raises Cancelled, HostError."""
    may = services.policy.allow_post_copy
    watch = MigrationMonitor(services, job, vm, source, job.journal.target)
    await watch.allow(0)  # once it copies, this would wait in line for its monitor
    persistent = vm.adopted and not vm.transient
    copying = source.virt.migrate(vm.uuid, socket, uri, unsafe=unsafe, persistent=persistent, post_copy=may)
    # A task of its own: it is watched, and may be aborted, while libvirt's call waits for its end.
    running = asyncio.create_task(copying)
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=WATCH_S)
            if not running.done():
                await watch.look()
                watch.check_it_goes_on()
    except (asyncio.CancelledError, NoAnswer):
        # This controller is going: the forward ends with it, the source gives up, the next controller reads both.
        # Its result is fetched and dropped: asyncio would log an exception that nobody retrieved.
        running.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise
    try:
        await running
    except HostError as err:
        if watch.aborted:
            # libvirt only says that the job was aborted; why we aborted it is the answer.
            raise watch.aborted from err
        raise
    finally:
        if watch.dirty_mib_s:  # its next move is priced by it
            await services.store.change(VMRecord, vm.uuid, dirty_mib_s=watch.dirty_mib_s)


# -- after a controller died


async def _take_over(services: Services, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Adopt a migration that another controller began. One that broke by that one's death is tried once more."""
    source = job.journal.source
    try:
        return await _conclude_theirs(services, job, vm)
    except MigrationFailed:
        vm = await services.store.vm(vm.uuid)
        stayed = vm.host == source and vm.power is PowerState.RUNNING
        if not stayed or job.journal.again:
            raise
    if job.cancel_asked.is_set():
        raise Cancelled(f"task {job.id} was cancelled; {vm.name} runs on {source}")
    job.say("it broke when its controller ended, and is tried once more")
    await job.note("trying again", source="", target="", socket="", autostart=False, again=True)
    return await migrate(services, job)


async def _conclude_theirs(services: Services, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Wait for its end, then read both hosts as usual."""
    source, target = job.journal.source, job.journal.target
    job.say("taken over after the controller's restart")
    await asyncio.gather(
        # A controller that has just started has no links yet: silence now would say nothing of the hosts.
        *(link.wait_online(QUIET_S) for name in (source, target) if (link := services.links.get(name)))
    )
    if vm.power is not PowerState.STOPPED:  # else its end was written already
        vm = await services.store.lease(vm, source, PowerState.MIGRATING, also=(target,))
    # The cause that is told if it stayed on its source; if it arrived, the migration has succeeded all the same.
    interrupted = MigrationFailed("the controller ended while it ran")
    try:
        return await _end(services, job, vm, interrupted, services.clock.now() - job.task.created_at)
    finally:
        await _remove_socket(services, job, source, job.journal.socket)


async def _remove_socket(services: Services, job: Moving, host: str, path: str) -> None:
    """Take away the socket that sshd made, and leaves when its connection ends; its name was drawn for this task."""
    link = services.links.get(host)
    try:
        if link is None or not link.online:
            raise Unreachable(f"{host} does not answer")
        await link.ssh.run(("rm", "-f", "--", path))
    except HostError as err:
        job.say(f"a dead socket may be left on {host}: {path} ({err.message})")
