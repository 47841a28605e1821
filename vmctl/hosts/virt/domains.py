"""What a host runs: looking at domains, starting and stopping them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import libvirt

from vmctl.hosts import domainxml
from vmctl.hosts.shown import ASLEEP, POST_COPY_FAILED, About, DomainSeen, Shown
from vmctl.hosts.virt.connection import Connection
from vmctl.model.vms import PowerState

POWER = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
}
PAUSED_WHY = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "by request",
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "migrating",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "I/O error",
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting up",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: "post-copy",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: POST_COPY_FAILED,
}
# What a domain that is undefined leaves behind. libvirt before 8.9, here or on the host, knows no TPM to keep, and
# deletes none; a hypervisor without firmware knows neither, and one that has it refuses the last.
KEEP_NVRAM = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
KEEP_STATE = (KEEP_NVRAM | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_KEEP_TPM", 0), KEEP_NVRAM, 0)


class Domains(Connection):
    """A host's domains."""

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        super().__init__(host, timeout_s, keepalive_s)
        self._net_devices: dict[
            tuple[str, int], tuple[str, ...]
        ] = {}  # (UUID, libvirt's number of this run) -> its devices

    # -- what is there

    async def about(self) -> About:
        """Versions, CPU, machine types, memory."""
        return await self._run(self._about)

    def _about(self) -> About:
        conn = self._connected()
        capabilities = domainxml.read_capabilities(conn.getCapabilities())
        caps = conn.getDomainCapabilities(None, "x86_64", None, capabilities.accel, 0)
        info = conn.getInfo()
        return About(
            libvirt=_version(conn.getLibVersion()),
            qemu=_version(conn.getVersion()),
            accel=capabilities.accel,
            cpu_xml=domainxml.host_model(caps),
            machines=capabilities.machines,
            mem_mib=info[1],
            cpus=info[2],
            host_uuid=capabilities.host_uuid,
            cpu_models=domainxml.cpu_models(caps),
            numa_mib=capabilities.numa_mib,
        )

    async def baseline_cpu(self, accel: str, cpus: list[str]) -> str:
        """The <cpu> that runs on every host whose host-model is in `cpus`."""

        def call() -> str:
            return domainxml.guest_cpu(self._connected().baselineHypervisorCPU(None, "x86_64", None, accel, cpus, 0))

        return await self._run(call)

    async def cpu_fits(self, accel: str, cpu_xml: str) -> bool:
        """Whether this host's hypervisor can give a guest that CPU."""

        def call() -> bool:
            answer = self._connected().compareHypervisorCPU(None, "x86_64", None, accel, cpu_xml, 0)
            return bool(answer >= libvirt.VIR_CPU_COMPARE_IDENTICAL)

        return await self._run(call)

    async def domains(self) -> tuple[DomainSeen, ...]:
        """Every domain that the host knows; whether one has a job is not asked.

        Two calls tell how all are. A third one follows for those that have begun to run since the last time, and one
        for each that runs: an external snapshot sends no event, only its XML tells of it. None of these waits for a
        QEMU, which may hang.
        """

        def call() -> tuple[DomainSeen, ...]:
            conn = self._connected()
            persistent = {d.UUIDString() for d in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)}
            found = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
            seen = [(domain, _listed(domain, stats, domain.UUIDString() in persistent)) for domain, stats in found]
            self._learn_net_devices(conn, [domain for domain, its in seen if its.power is PowerState.RUNNING])
            return tuple(
                replace(its, net_devices=self._net_devices.get((its.uuid, domain.ID()), ()), shape=_shape(domain, its))
                for domain, its in seen
            )

        return await self._run(call)

    def _learn_net_devices(self, conn: Any, running: list[Any]) -> None:
        """Ask for the network devices of those not asked yet: for Open vSwitch's libvirt starts a process each time."""
        keys = {(domain.UUIDString(), domain.ID()): domain for domain in running}
        new = [domain for key, domain in keys.items() if key not in self._net_devices]
        asked = conn.domainListGetStats(new, libvirt.VIR_DOMAIN_STATS_INTERFACE, 0) if new else []
        found = {(domain.UUIDString(), domain.ID()): _net_devices(stats) for domain, stats in asked}
        self._net_devices = {
            key: net_devices for key, net_devices in (self._net_devices | found).items() if key in keys and net_devices
        }

    async def domain(self, uuid: str) -> DomainSeen | None:
        """One domain; None when this host surely does not have it."""

        def call() -> DomainSeen | None:
            try:
                found = self._domain(uuid)
            except libvirt.libvirtError as err:
                if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise
            return _seen_or_gone(found)

        return await self._run(call)

    async def power(self, uuid: str) -> tuple[PowerState, str]:
        """A domain's state and, for a paused one, why; asks nothing of its QEMU, which may hang. Raises NotFound."""
        return await self._run(lambda: _power(*self._domain(uuid).state()), timeout_s=5.0)

    async def use(self, uuid: str) -> tuple[int, ...]:
        """Counters that stand still when a guest does nothing: requests to disks, packets sent. Raises NotFound."""
        kinds = libvirt.VIR_DOMAIN_STATS_BLOCK | libvirt.VIR_DOMAIN_STATS_INTERFACE
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

        def call() -> tuple[int, ...]:
            [(_, stats)] = self._connected().domainListGetStats([self._domain(uuid)], kinds, flags)
            return tuple(value for name, value in sorted(stats.items()) if name.endswith((".reqs", "tx.pkts")))

        return await self._run(call, timeout_s=5.0)

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        """The domain's live XML."""
        flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE if migratable else 0
        return await self._run(lambda: str(self._domain(uuid).XMLDesc(flags)))

    async def shown(self, uuid: str) -> Shown:
        """All that the host keeps of a domain: what runs, what is defined, what hangs on it. Raises NotFound."""
        return await self._run(lambda: _shown(self._domain(uuid)))

    async def volume_path(self, pool: str, volume: str) -> str:
        """Where a volume of one of the host's pools lies; empty where it has no such pool or volume."""

        def call() -> str:
            try:
                return str(self._connected().storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
            except libvirt.libvirtError as err:
                if err.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL):
                    return ""
                raise

        return await self._run(call)

    async def networks(self) -> frozenset[str]:
        """The names of libvirt's own networks that are active there."""
        return await self._run(lambda: frozenset(self._connected().listNetworks()))

    async def set_autostart(self, uuid: str, on: bool) -> None:
        """Whether libvirt starts the (persistent) domain when its host boots."""
        await self._run(lambda: self._domain(uuid).setAutostart(int(on)))

    # -- power

    async def create(self, xml: str) -> None:
        """Start a transient domain; libvirt validates the XML against its schema first."""
        flags = libvirt.VIR_DOMAIN_START_VALIDATE
        await self._run(lambda: self._connected().createXML(xml, flags), timeout_s=60.0)

    async def start(self, uuid: str) -> None:
        """Start a persistent (adopted) domain."""
        await self._run(lambda: self._domain(uuid).create(), timeout_s=60.0)

    async def shutdown(self, uuid: str) -> None:
        """Press the guest's power button."""
        await self._run(lambda: self._domain(uuid).shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))

    async def destroy(self, uuid: str) -> None:
        """Pull the plug; gone already is done."""

        def call() -> None:
            try:
                self._domain(uuid).destroy()
            except libvirt.libvirtError as err:
                if err.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise

        await self._run(call)

    async def undefine(self, uuid: str) -> None:
        """Forget a persistent definition, its NVRAM and its TPM's state kept; gone already is done."""

        def call() -> None:
            for keep in KEEP_STATE:
                try:
                    self._domain(uuid).undefineFlags(keep)
                    return
                except libvirt.libvirtError as err:
                    code = err.get_error_code()
                    if code == libvirt.VIR_ERR_NO_DOMAIN:
                        return
                    if code != libvirt.VIR_ERR_INVALID_ARG or not keep:
                        raise

        await self._run(call)

    async def wake(self, uuid: str) -> None:
        """Wake a guest that put itself to sleep (S3)."""
        await self._run(lambda: self._domain(uuid).pMWakeup(0))

    async def define(self, xml: str) -> None:
        """Keep a persistent definition (only for adopted domains)."""
        await self._run(lambda: self._connected().defineXML(xml))

    async def reset(self, uuid: str) -> None:
        """Press the reset button."""
        await self._run(lambda: self._domain(uuid).reset(0))

    async def suspend(self, uuid: str) -> None:
        """Stop the guest's CPUs."""
        await self._run(lambda: self._domain(uuid).suspend())

    async def resume(self, uuid: str) -> None:
        """Let the guest's CPUs go on."""
        await self._run(lambda: self._domain(uuid).resume())


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _seen_or_gone(domain: Any) -> DomainSeen | None:
    """A listed domain, or None when it went away since it was listed."""
    try:
        return _seen(domain)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _listed(domain: Any, stats: dict[str, Any], persistent: bool) -> DomainSeen:
    power, why = _power(stats.get("state.state", -1), stats.get("state.reason", -1))
    return DomainSeen(domain.UUIDString(), domain.name(), power, why, persistent)


def _shape(domain: Any, seen: DomainSeen) -> int:
    if seen.power not in (PowerState.RUNNING, PowerState.PAUSED):
        return 0
    try:
        return hash(domain.XMLDesc(0))
    except libvirt.libvirtError:  # it ended just now
        return 0


def _net_devices(stats: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(value) for key, value in stats.items() if key.startswith("net.") and key.endswith(".name"))


def _power(state: int, reason: int) -> tuple[PowerState, str]:
    power = POWER.get(state, PowerState.UNKNOWN)
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return power, ASLEEP
    return power, PAUSED_WHY.get(reason, "") if power is PowerState.PAUSED else ""


def _shown(domain: Any) -> Shown:
    persistent, active = bool(domain.isPersistent()), bool(domain.isActive())
    kept = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
    live = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
    return Shown(
        # Only what was not asked to be migratable has the disks' backing chains.
        live=str(domain.XMLDesc(0)) if active else "",
        again=str(domain.XMLDesc(live)) if active and not persistent else "",
        kept=str(domain.XMLDesc(kept)) if persistent else "",
        autostart=bool(domain.autostart()) if persistent else False,
        snapshots=domain.snapshotNum(0),
        checkpoints=len(domain.listAllCheckpoints(0)) if hasattr(domain, "listAllCheckpoints") else 0,
        saved=bool(domain.hasManagedSaveImage(0)) if persistent else False,
        has_job=active and _has_job(domain),
    )


def _seen(domain: Any) -> DomainSeen:
    power, why = _power(*domain.state())
    job = power in (PowerState.RUNNING, PowerState.PAUSED) and _has_job(domain)
    return DomainSeen(domain.UUIDString(), domain.name(), power, why, bool(domain.isPersistent()), job)


# One that failed, was cancelled or completed may still be shown: it is none any more.
JOBS = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)


def _has_job(domain: Any) -> bool:
    try:
        return bool(domain.jobInfo()[0] in JOBS)
    except libvirt.libvirtError as err:
        # the incoming half of a migration: its statistics are only on the source
        return bool(err.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
