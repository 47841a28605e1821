"""A live migration between two simulated machines, peer to peer: what each side shows, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.sim.world import COPY_MIB_S, MOST_IN, MOST_OUT, Domain, Machine
from vmctl.errors import LibvirtError
from vmctl.hosts.shown import JobProgress
from vmctl.model.vms import PowerState

KEEPALIVE_S = 15.0  # a peer that says nothing for so long is lost
STEP_S = 0.05
START_S = 0.25  # until the target's QEMU is ready
LOST_S = 5.0  # until a reply that was lost is missed
KILL_S = 0.2  # libvirt's sleep while the source's QEMU goes


class PeerLost(Exception):
    """The source's libvirtd hears nothing of the target's any more."""


async def migrate(
    source: Machine,
    target: Machine,
    uuid: str,
    standing: Callable[[], bool],
    lose: str,
    *,
    persistent: bool,
    by_hand: bool = False,
) -> None:
    """As the source's libvirtd does it.

    `standing`: whether the socket still leads to the target; `lose`: "finish" loses the target's last reply. Raises
    LibvirtError where libvirt says that it failed, whatever the truth is.
    """
    domain = source.find(uuid)
    if not domain.on or domain.job:
        raise LibvirtError(f"libvirt on {source.name}: domain is not running, or has a job already", code_number=55)
    domain.job = "out"
    try:
        await _peer(source, target, standing)
        copy = _prepare(source, target, domain)
        if not by_hand:
            _count(source, target)
    except PeerLost as err:
        domain.job = ""
        raise LibvirtError(f"libvirt on {source.name}: the connection to the target was lost") from err
    began = source.world.now
    try:
        await _copied(source, target, domain, copy, standing)
        await _switch_over(source, target, domain, copy, standing, lose)
    except PeerLost as err:
        _give_up(source, target, domain, copy)
        raise LibvirtError(
            f"libvirt on {source.name}: operation failed: the connection to the target was lost"
        ) from err
    copy.completed = JobProgress(False, downtime_ms=40, elapsed_ms=round((source.world.now - began) * 1000))
    if persistent:  # its definition goes along
        copy.kept, domain.kept = domain.kept, ""
    await _confirm(source, domain)


def _count(source: Machine, target: Machine) -> None:
    """No host sends or takes more at once than the policy allows."""
    out = sum(one.job == "out" for one in source.domains.values())
    into = sum(one.job == "in" for one in target.domains.values())
    if out > MOST_OUT or into > MOST_IN:
        where = f"{source.name} sends {out}, {target.name} takes {into}"
        source.world.broken.append(f"{source.world.now:.3f}: too many migrations at once: {where}")


def _prepare(source: Machine, target: Machine, domain: Domain) -> Domain:
    there = target.domains.get(domain.uuid)
    if there is not None and there.on:
        domain.job = ""
        raise LibvirtError(f"libvirt on {target.name}: domain '{domain.name}' is already active", code_number=55)
    copy = there or Domain(domain.uuid, domain.name, autostart=domain.autostart, obeys_after_s=domain.obeys_after_s)
    copy.obeys_after_s = domain.obeys_after_s
    try:
        target.refuse_twin(domain.uuid, domain.name)
        target.run(copy, domain.live, incoming=True)
    except LibvirtError:
        domain.job, domain.failed_out = "", True
        raise
    target.domains[domain.uuid] = copy
    return copy


async def _peer(source: Machine, target: Machine, standing: Callable[[], bool]) -> None:
    """One call from libvirtd to libvirtd. A socket that is gone is noticed at once, silence after a while."""
    await asyncio.sleep(0.01)
    silent_since = source.world.now
    while source.frozen:  # it stands still itself
        await asyncio.sleep(STEP_S)
        silent_since = source.world.now
    while target.frozen or not target.reached or not source.reached:
        if not target.up or not source.up or source.world.now - silent_since > KEEPALIVE_S or not standing():
            raise PeerLost
        await asyncio.sleep(STEP_S)
    if not standing():
        raise PeerLost


async def _copied(source: Machine, target: Machine, domain: Domain, copy: Domain, standing: Callable[[], bool]) -> None:
    """The memory goes over."""
    await asyncio.sleep(START_S)
    await _peer(source, target, standing)
    copy.why = "migrating"
    left_s = domain.mem_mib / COPY_MIB_S
    while left_s > 0:
        await asyncio.sleep(min(left_s, STEP_S))
        left_s -= STEP_S
        if source.domains.get(domain.uuid) is not domain or not domain.on:
            if target.domains.get(copy.uuid) is copy and copy.job == "in":
                target.destroy(copy.uuid)
            raise LibvirtError(f"libvirt on {source.name}: operation failed: domain is not running any more")
        if domain.abort.is_set():
            domain.abort.clear()
            _give_up(source, target, domain, copy)
            raise LibvirtError(f"libvirt on {source.name}: operation aborted: migration out job: canceled by client")
        if target.domains.get(copy.uuid) is not copy or not copy.on:
            _give_up(source, target, domain, copy)
            raise LibvirtError(f"libvirt on {source.name}: the target's QEMU is gone")
        await _peer(source, target, standing)


async def _switch_over(
    source: Machine, target: Machine, domain: Domain, copy: Domain, standing: Callable[[], bool], lose: str
) -> None:
    """The guest stops here, its locks are given back, and it goes on there; a paused one stays paused."""
    runs, why = domain.power is PowerState.RUNNING, domain.why
    domain.power, domain.why = PowerState.PAUSED, "migrating"
    source.world.unlock(source, domain)
    await _peer(source, target, standing)
    copy.job, copy.why, copy.booted, copy.boots = "", why, domain.booted, domain.boots
    try:
        if runs:
            target.world.lock(target, copy)
            target.go(copy)
            target.tell(copy, "resumed")
    except LibvirtError:
        copy.job = "in"
        _give_up(source, target, domain, copy)
        raise
    if lose == "finish":
        await asyncio.sleep(LOST_S)
        if source.domains.get(domain.uuid) is not domain or not domain.on:
            raise LibvirtError(f"libvirt on {source.name}: operation failed: domain is not running any more")
        # It runs there, and nobody here knows: with a lock manager the source stays paused.
        domain.job, domain.failed_out = "", True
        raise LibvirtError(f"libvirt on {source.name}: operation failed: no reply from the target")
    source.world.newest[copy.uuid] = copy  # also one that stays paused


def _give_up(source: Machine, target: Machine, domain: Domain, copy: Domain) -> None:
    """It goes on where it was, if its locks are free; what was half made on the target is taken away by that."""
    if target.up and target.domains.get(copy.uuid) is copy and copy.job == "in":
        target.when_able(lambda: _drop(target, copy))
    if source.domains.get(domain.uuid) is not domain or not domain.on:
        return
    domain.job, domain.failed_out = "", True
    if domain.power is PowerState.PAUSED and domain.why == "migrating":
        try:
            source.world.lock(source, domain)
        except LibvirtError:
            return  # it stays paused
        source.go(domain)
        source.tell(domain, "resumed")


def _drop(target: Machine, copy: Domain) -> None:
    if target.domains.get(copy.uuid) is copy and copy.job == "in":
        target.destroy(copy.uuid)


async def _confirm(source: Machine, domain: Domain) -> None:
    await asyncio.sleep(KILL_S)
    if source.domains.get(domain.uuid) is domain and domain.on:
        source.end(domain, "migrated")


def progress(domain: Domain) -> JobProgress:
    """One reading while it copies."""
    total = domain.mem_mib << 20
    return JobProgress(
        active=bool(domain.job), total=total, processed=total // 2, remaining=total // 2, rate_bps=1 << 29
    )
