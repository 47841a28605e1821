"""How long after a host is lost do its locks become free? A probe holds a lease there while it is cut off."""

from __future__ import annotations

import asyncio
from typing import Any

from vmctl.act.storage import learn
from vmctl.commands.storages import MeasureStorage
from vmctl.errors import HostError, Refused
from vmctl.hosts.leaseprobe import LeaseProbe
from vmctl.hosts.port import Link
from vmctl.model.records import Storage
from vmctl.services import Services
from vmctl.tasks import AnyJob, Job
from vmctl.tasks.journals import Journal

WAIT_FOR_LOSS_S = 300.0
WAIT_FOR_LOCK_S = 900.0
WAIT_FOR_RETURN_S = 600.0


async def measure(services: Services, job: Job[MeasureStorage, Journal]) -> dict[str, Any]:
    """Task: hold a lease on a host, wait until the admin cuts it off, and try elsewhere until the lease is free."""
    storage = await services.store.get(Storage, job.args.name)
    lost, other = _pair(services, storage, job.args.host)
    probe = LeaseProbe(storage.lockspace)
    try:
        await probe.hold(lost)
        job.say(f"cut {lost.name} off now, while it runs: from the network, as a fault would")
        # From its last answer on, and not from the first silence: the longer time is the safe one to report.
        last_answer = await _until_silent(lost, job)
        job.show(text=f"trying on {other.name} to take what {lost.name} holds")
        took_s = await _until_free(probe, other, last_answer)
        await learn(services, storage.name, lambda _known: {"lock_free_after_s": round(took_s, 1)})
        job.say(f"free after {took_s:.0f} s; mend the network of {lost.name}, so that the probe there can be ended")
        # The probe's QEMU still runs there and can only be ended when the host answers.
        await lost.wait_online(WAIT_FOR_RETURN_S)
    finally:
        await probe.end()
    await services.record_event(
        "storage", storage.name, f"locks on {storage.name} are free {took_s:.0f} s after a host's loss"
    )
    return {"storage": storage.name, "host": lost.name, "lock_free_after_s": round(took_s, 1)}


def _pair(services: Services, storage: Storage, host: str) -> tuple[Link, Link]:
    """The host that will be lost, and one that stays. Raises Refused, Unreachable."""
    if not storage.lockspace:
        raise Refused(f"storage {storage.name} has no lockspace")
    lost = services.online(host)
    others = [link for name, link in sorted(services.links.items()) if link.online and link is not lost]
    others = [link for link in others if link.name in storage.hosts]
    if not others or host not in storage.hosts:
        raise Refused(f"{host} and another host must share {storage.name} and answer", hint="vmctl storage show")
    return lost, others[0]


async def _until_silent(link: Link, job: AnyJob) -> float:
    """When it last answered, monotonic. Raises Refused when it goes on answering."""
    began = last = link.clock.monotonic()
    while link.clock.monotonic() - began < WAIT_FOR_LOSS_S:
        job.show(text=f"waiting until {link.name} is cut off")
        try:
            await link.ssh.run(["true"], timeout_s=3.0)
            last = link.clock.monotonic()
        except HostError:
            return last
        await asyncio.sleep(0.5)
    raise Refused(f"{link.name} was not cut off within {WAIT_FOR_LOSS_S:.0f} s")


async def _until_free(probe: LeaseProbe, other: Link, since: float) -> float:
    while other.clock.monotonic() - since < WAIT_FOR_LOCK_S:
        if await probe.take(other):
            return other.clock.monotonic() - since
        await asyncio.sleep(1.0)
    raise Refused(f"the lease was not free within {WAIT_FOR_LOCK_S:.0f} s: on this storage a lost host keeps its locks")
