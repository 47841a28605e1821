"""What a host shows of its hypervisor and its domains, as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.model.vms import PowerState

POST_COPY_FAILED = "post-copy failed"  # a part of its memory is on another host, or gone
ASLEEP = "asleep: suspended by its guest"  # no request: only waking it helps
LEFT_OVER = ("migrating", "starting up")  # why a migration's half-made copy is paused
# Codes of errors about a file on a storage, as `LibvirtError.code_number` has them
NO_VOLUME, NO_POOL = 50, 49  # VIR_ERR_NO_STORAGE_VOL, VIR_ERR_NO_STORAGE_POOL
GONE = (NO_VOLUME, NO_POOL)  # a file or a folder is not there
DAMAGED = -1  # a directory of which libvirt shows nothing for the sake of one file; libvirt has no code for it


@dataclass(frozen=True, slots=True)
class DomainSeen:
    """One domain as a host shows it."""

    uuid: str
    name: str
    power: PowerState
    why: str = ""  # for a paused one: by request, migrating, I/O error, ...
    persistent: bool = False
    has_job: bool = False
    net_devices: tuple[str, ...] = ()  # its network devices, as the host calls them
    shape: int = 0  # changes with whatever its live XML says of it; 0: not read


@dataclass(frozen=True, slots=True)
class About:
    """What the hypervisor is."""

    libvirt: str
    qemu: str
    accel: str  # "kvm" or "qemu"
    cpu_xml: str  # the host-model <cpu> of the hypervisor
    machines: tuple[str, ...]  # versioned machine types it can run
    mem_mib: int
    cpus: int
    host_uuid: str
    cpu_models: frozenset[str] | None = None  # that it can give guests, where it tells
    numa_mib: tuple[int, ...] = ()  # memory of each NUMA node, where it tells


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a host keeps of one domain."""

    live: str = ""  # the XML of what runs, its disks with all below them; empty: it does not run
    again: str = ""  # of a transient one that runs: the XML to start the same elsewhere
    kept: str = ""  # the XML of its definition; empty: it is transient
    autostart: bool = False
    snapshots: int = 0
    checkpoints: int = 0
    saved: bool = False  # its memory was saved to its host's disk
    has_job: bool = False


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One reading of a running (or just completed) migration. Bytes, milliseconds, bytes per second."""

    active: bool
    total: int = 0
    processed: int = 0
    remaining: int = 0
    rate_bps: int = 0
    dirty_bps: int = 0
    downtime_ms: int = 0  # expected while it runs, measured when completed
    elapsed_ms: int = 0
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something libvirt said about a domain, without being asked."""

    uuid: str
    name: str
    what: str  # one of LIFECYCLE's or STOPPED's words, or "changed"
