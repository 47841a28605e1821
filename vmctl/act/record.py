"""Decisions for the registry: every placement and plan is kept with its inputs and their ages."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from vmctl.model import Cluster, NoPlace, Placement, Plan
from vmctl.records import DecisionRecord
from vmctl.world import World


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
    """A placement for the wire and the registry."""
    host = found.host if isinstance(found, Placement) else ""
    return {"vm": found.vm, "host": host, "why": found.why, "verdicts": [asdict(v) for v in found.verdicts]}


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan for the wire and the registry."""
    return asdict(plan)


async def placement(world: World, kind: str, found: Placement | NoPlace, cluster: Cluster, who: str) -> None:
    """Keep a placement, taken or refused."""
    detail = placement_json(found) | {"inputs": inputs(cluster)}
    host = found.host if isinstance(found, Placement) else ""
    await world.store.add(DecisionRecord(kind, found.vm, found.why, time.time(), None, host, detail, who))


async def plan(world: World, kind: str, subject: str, made: Plan, cluster: Cluster, who: str) -> None:
    """Keep a plan, and for each of its moves a decision about the VM that moves."""
    now = time.time()
    detail = plan_json(made) | {"inputs": inputs(cluster)}
    await world.store.add(DecisionRecord(kind, subject, made.why, now, None, "", detail, who))
