"""A lease of its own, held by a VM of 1 MiB that does nothing: it shows what the hosts' lock managers do.

Its VMs and its key have their time in their names, so those that a killed controller left are known, and taken away.
"""

from __future__ import annotations

import logging
import re

from vmctl.errors import LibvirtError, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.port import Link

log = logging.getLogger("vmctl.leaseprobe")
PROBE = "vmctl-probe-"  # what its domains and keys are called; then when it began, UTC seconds
NAME = re.compile(rf"{PROBE}(\d{{9,}})-")
STALE_S = 3600.0  # no measurement takes so long
LOCKED = ("busy", "held", "acquire", "in use", "is locked", "another process")


def refused_by_lock(message: str) -> bool:
    """Whether a start failed because somebody else holds the lease, and for no other reason."""
    text = message.lower()
    return "lock" in text and any(word in text for word in LOCKED)


def is_stale(name: str, now: float) -> bool:
    """Whether a probe's VM or key of that name is a dead controller's. Earlier versions wrote no time: nobody knows."""
    began = NAME.match(name)
    return began is not None and now - int(began[1]) > STALE_S


async def end_probes(link: Link) -> None:
    """End every probe's VM on a host that leaves, whoever began it: nothing of ours stays there."""
    for domain in list(link.domains.values()):
        if NAME.match(domain.name):
            try:
                await link.virt.destroy(domain.uuid)
            except VmctlError as err:
                log.warning("%s: probe %s: %s", link.name, domain.name, err.message)


class LeaseProbe:
    """One key in a lockspace, and the VMs that hold it or tried to."""

    def __init__(self, lockspace: str) -> None:
        self._lockspace = lockspace
        self._key = ""
        self._maker: Link | None = None
        self._vms: list[tuple[Link, str]] = []

    async def hold(self, link: Link) -> None:
        """Make the key and take the lease. Raises HostError where that host gives none."""
        self._maker, self._key = link, f"{PROBE}{int(link.clock.now())}-{link.ids.uuid()}"
        await link.virt.create_volume(self._lockspace, domainxml.volume(self._key, "raw", 0))
        await self._start(link)

    async def take(self, link: Link) -> bool:
        """Try to take it, and let go. False when it is held elsewhere; HostError when that was not the cause."""
        try:
            await link.virt.destroy(await self._start(link))
        except LibvirtError as err:
            if not refused_by_lock(err.message):
                raise
            return False
        return True

    async def _start(self, link: Link) -> str:
        number = link.ids.uuid()
        self._vms.append((link, number))
        accel = link.about.accel if link.about else "kvm"
        name = f"{PROBE}{int(link.clock.now())}-{number[:8]}"
        await link.virt.create(domainxml.probe(number, name, accel, self._lockspace, self._key))
        return number

    async def end(self) -> None:
        """Take everything away again; what a host does not answer for is logged."""
        for link, number in self._vms:
            try:
                await link.virt.destroy(number)
            except VmctlError as err:
                log.debug("%s: probe %s: %s", link.name, number, err.message)
        # Whichever link works: one of a host on its way into the pool is not called online yet.
        for link in [one for one in (self._maker, *(link for link, _ in self._vms)) if one is not None]:
            try:
                await link.virt.delete_volume(self._lockspace, self._key)
                return
            except VmctlError as err:
                log.info("%s: the probe's key is left: %s", link.name, err.message)
