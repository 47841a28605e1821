"""Decisions as they are told: for the wire, the registry, and the command line where it decides on a dump. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.model.cluster import Cluster
from vmctl.model.plans import NoPlace, Placement, Verdict


@dataclass(frozen=True, slots=True)
class Input:
    """What a decision looked at of one host. CPU in cores, memory in MiB; `age_s` None: it was not measured."""

    state: str
    cpus: int
    mem_mib: int
    vms: int
    age_s: float | None
    cpu: float | None
    mem_used_mib: int | None
    psi: list[float] | None  # CPU, memory, I/O: shares of time in which something waited


@dataclass(frozen=True, slots=True)
class Placed:
    """A placement, and what it looked at; no host where there is none."""

    vm: str
    host: str
    why: str
    verdicts: tuple[Verdict, ...]
    inputs: dict[str, Input]


@dataclass(frozen=True, slots=True)
class PlacedAgain(Placed):
    """A placement of a VM that runs: where it is, too."""

    now_on: str


def inputs(cluster: Cluster) -> dict[str, Input]:
    """What a decision looked at, per host, with the age of each measurement."""
    rows = {}
    for host in cluster.hosts:
        load = host.load
        rows[host.name] = Input(
            state=str(host.state),
            cpus=host.cpus,
            mem_mib=host.mem_mib,
            vms=len(cluster.on(host.name)),
            age_s=round(load.age_s, 1) if load else None,
            cpu=round(load.cpu, 3) if load else None,
            mem_used_mib=load.mem_used_mib if load else None,
            psi=[round(x, 3) for x in (load.psi_cpu, load.psi_mem, load.psi_io)] if load else None,
        )
    return rows


def placed(found: Placement | NoPlace, cluster: Cluster) -> Placed:
    """A placement as it is told."""
    host = found.host if isinstance(found, Placement) else ""
    return Placed(found.vm, host, found.why, found.verdicts, inputs(cluster))
