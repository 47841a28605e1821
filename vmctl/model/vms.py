"""What a VM is to be, and how it is now. Pure; units as `vmctl.model` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

DEFAULT_PROJECT = "default"  # what belongs to no other
GROUPS = ("apart", "together", "prefer_apart", "prefer_together")  # fields of Spec that name a group of VMs


class PowerState(StrEnum):
    """What a VM does, as its host shows it or, where the host is silent, as the registry last knew it."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    MIGRATING = "migrating"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of a VM: a volume of a storage. `format` is always explicit, never probed."""

    storage: str
    path: str
    format: str = "qcow2"
    target: str = "vda"


@dataclass(frozen=True, slots=True)
class Boot:
    """Direct kernel boot: paths on shared storage. Empty `kernel` means: boot from the disk."""

    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a VM should be. The registry's truth; also kept inside the domain's metadata and beside its disks."""

    uuid: str
    name: str
    cpus: int
    mem_mib: int
    disks: tuple[Disk, ...] = ()
    mac: str = ""
    bridge: str = "br0"
    more_bridges: tuple[str, ...] = ()  # of an adopted VM's further network cards
    boot: Boot = Boot()
    image: str = ""
    cpu: str = "baseline"  # "baseline" (runs on every host) or "host" (this host's own, may not migrate)
    cpu_xml: str = ""  # the <cpu> element fixed at create, so that the guest sees one CPU for life
    machine: str = ""  # the versioned machine type fixed at create; empty: the host's default
    agent_port: str = "virtio"  # or "isa": the emulated serial port for guests without virtio
    apart: str = ""  # VMs of one apart group never share a host (or what `apart_by` names)
    apart_by: str = ""  # the key of a host label that names a failure domain, such as "rack"; empty: the host itself
    together: str = ""  # VMs of one together group always share a host
    prefer_apart: str = ""  # as `apart`, as far as it can be had
    prefer_together: str = ""  # as `together`, as far as it can be had
    needs: Mapping[str, str] = field(default_factory=dict)  # labels that its host must carry
    pinned: bool = False  # never moved by rebalancing
    load_class: str = ""  # how far its vCPUs may be promised more than once: a key of Policy.class_overcommit
    one_numa_node: bool = False  # its memory must fit into one NUMA node of its host


@dataclass(frozen=True, slots=True)
class VMLoad:
    """What one VM's QEMU process uses, smoothed."""

    cpu: float  # cores
    mem_mib: int  # resident
    age_s: float = 0.0
    disk: float = 0.0  # share of its host's disk time
    net: float = 0.0  # share of its host's link
    stall: float = 0.0  # share of time in which something inside it waited (its agent's PSI)
    dirty_mib_s: float = 0.0  # memory that it rewrites


@dataclass(frozen=True, slots=True)
class VM:
    """A VM at one moment: what it should be, where it is, what it uses."""

    spec: Spec
    host: str = ""  # where it runs or is promised a place; empty when stopped
    moving_to: str = ""  # a migration is on its way there: a place is promised there too
    power: PowerState = PowerState.STOPPED
    load: VMLoad | None = None
    moved_s_ago: float | None = None  # seconds since its last move; None: never moved
    busy: bool = False  # a task holds it
    job: bool = False  # a run of a job, for which a host is chosen: a guest without disks and without a QEMU
    adopted: bool = False  # ran on a host before vmctl knew it; its XML is not ours
    stuck: tuple[str, ...] = ()  # what was seen to keep it on its host, in words
    defined_on: str = ""  # a stopped one whose definition a host keeps: that host

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name


def in_project(spec: Spec, project: str) -> Spec:
    """The same with its groups' names as they are for all projects: each project has groups of its own."""
    if project == DEFAULT_PROJECT:
        return spec
    named: dict[str, Any] = {kind: f"{project}/{name}" for kind in GROUPS if (name := getattr(spec, kind))}
    return replace(spec, **named)
