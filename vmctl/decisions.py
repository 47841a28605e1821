"""Decisions as plain values: for the wire, the registry, and the command line where it decides on a snapshot. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vmctl.model import Cluster, NoPlace, Placement, Plan


def inputs(cluster: Cluster) -> dict[str, Any]:
    """What a decision looked at, per host, with the age of each measurement."""
    rows = {}
    for host in cluster.hosts:
        load = host.load
        rows[host.name] = {
            "state": str(host.state),
            "cpus": host.cpus,
            "mem_mib": host.mem_mib,
            "vms": len(cluster.on(host.name)),
            "age_s": round(load.age_s, 1) if load else None,
            "cpu": round(load.cpu, 3) if load else None,
            "mem_used_mib": load.mem_used_mib if load else None,
            "psi": [round(x, 3) for x in (load.psi_cpu, load.psi_mem, load.psi_io)] if load else None,
        }
    return rows


def placement_json(found: Placement | NoPlace) -> dict[str, Any]:
    """A placement; no host where there is none."""
    host = found.host if isinstance(found, Placement) else ""
    return {"vm": found.vm, "host": host, "why": found.why, "verdicts": [asdict(v) for v in found.verdicts]}


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan with its moves in order."""
    return asdict(plan)
