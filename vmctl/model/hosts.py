"""What a host has, what it uses, and whether it answers. Pure; units as `vmctl.model` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vmctl.model.jobs import NOTHING, Promised


class HostState(StrEnum):
    """Whether a host answers. UNKNOWN means: its VMs may still run there."""

    ONLINE = "online"
    UNKNOWN = "unknown"
    UNTRUSTED = "untrusted"  # it shows another SSH key than the pinned one: nothing is sent to it


@dataclass(frozen=True, slots=True)
class HostTold:
    """Whether a host answers, by the word of the controller that watches it."""

    state: HostState
    why: str  # it does not


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What a host uses, smoothed over the last minute."""

    cpu: float  # cores busy (user + system + irq), all of the host
    mem_used_mib: int  # MemTotal - MemAvailable
    psi_cpu: float = 0.0  # share of time some task waited (PSI "some" avg60)
    psi_mem: float = 0.0
    psi_io: float = 0.0
    steal: float = 0.0
    age_s: float = 0.0  # how old the newest sample is
    disk: float = 0.0  # share of time in which its disks were busy
    net: float = 0.0  # share of its link in use
    stall_cpu: float | None = None  # in a forecast: the CPU use at which pressure and steal were measured


def own_storage(host: str) -> str:
    """What the storage is called that only this host has: its own disks, of which the registry knows nothing else."""
    return f"{host}'s own"


@dataclass(frozen=True, slots=True)
class Host:
    """A hypervisor host at one moment."""

    name: str
    state: HostState = HostState.ONLINE
    cpus: int = 1
    mem_mib: int = 1024
    load: HostLoad | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False
    storages: frozenset[str] = frozenset()  # storages proven reachable from here, and not lost since
    lost_storages: frozenset[str] = frozenset()  # those that were proven here, and are not mounted now
    bridges: frozenset[str] | None = None  # its bridges, where known
    cpu_models: frozenset[str] | None = None  # CPU models that its QEMU can offer, where known
    numa_mib: tuple[int, ...] = ()  # memory of each NUMA node, where known
    why_not: str = ""  # why it is not ONLINE, in words
    jobs: Promised = NOTHING  # to runs of jobs there
    no_lock: str = ""  # why its lock manager gives no leases, in words; empty: it does
