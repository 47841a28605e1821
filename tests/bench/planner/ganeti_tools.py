"""Ganeti's htools as installed (Debian: ganeti-htools), each pinned to one core and timed by its own rusage."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import meter
from tests.bench.planner import clusters
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

CORE = 0
DISK_MIB = 1024  # of a new VM; htools want one
HAIL = "/usr/lib/ganeti/iallocators/hail"
MOVE = re.compile(r"^\s*\d+\. (\S+)\s+(\S+)\s*=>\s*(\S+)\s+([0-9.]+) a=", re.MULTILINE)
START = re.compile(r"Initial score: ([0-9.]+)")


@dataclass(frozen=True)
class Balanced:
    """What hbal did: its moves with its score after each, and its CPU seconds. `late`: it was stopped at its limit."""

    start: float
    moves: tuple[Move, ...]
    cpu_s: float
    late: bool = False


def hbal(cluster: Cluster, policy: Policy, most: int | None = None, limit_s: float = 3600.0) -> Balanced:
    """hbal's whole plan, or its first `most` moves."""
    with tempfile.TemporaryDirectory() as folder:
        data, loads = clusters.files(cluster, policy, Path(folder))
        limit = () if most is None else ("-l", str(most))
        ran = meter.child(("hbal", "-t", str(data), "-U", str(loads), *limit), limit_s, CORE)
    start = START.search(ran.out)
    if start is None and "already balanced" not in ran.out:
        raise RuntimeError(f"hbal failed: {ran.out[-500:]}{ran.error[-500:]}")
    sizes = {vm.name: vm.spec.mem_mib for vm in cluster.vms}
    moves = tuple(
        Move(vm, source, target, "hbal", mem_mib=sizes[vm], score=float(score))
        for vm, source, target, score in MOVE.findall(ran.out)
    )
    return Balanced(float(start[1]) if start else 0.0, moves, ran.cpu_s, ran.late)


@dataclass(frozen=True)
class Placed:
    """The host that hail chose; empty when it chose none or was stopped."""

    host: str
    cpu_s: float
    late: bool = False


def hail(cluster: Cluster, policy: Policy, vm: VM, spare_host: bool = False, limit_s: float = 180.0) -> Placed:
    """Where hail would place a new VM; with `spare_host`, keeping room for the VMs of any one host (its default)."""
    request = {
        "type": "allocate",
        "name": vm.name,
        "memory": vm.spec.mem_mib,
        "vcpus": vm.spec.cpus,
        "disk_template": "ext",
        "disks": [{"size": DISK_MIB, "mode": "w"}],
        "disk_space_total": DISK_MIB,
        "nics": [],
        "tags": [],
        "required_nodes": 1,
        "spindle_use": 1,
        "os": "any",
        "hypervisor": "kvm",
    }
    # what of the cluster would stand here is taken from the data file instead
    nothing: dict[str, Any] = {"cluster_tags": [], "nodegroups": {}, "nodes": {}, "instances": {}, "ipolicy": {}}
    message = nothing | {"version": 2, "cluster_name": "bench", "enabled_hypervisors": ["kvm"], "request": request}
    with tempfile.TemporaryDirectory() as folder:
        data, _ = clusters.files(cluster, policy, Path(folder))
        asked = Path(folder) / "request.json"
        asked.write_text(json.dumps(message))
        more = () if spare_host else ("--no-capacity-checks",)
        ran = meter.child((HAIL, "-t", str(data), "--ignore-dynu", *more, str(asked)), limit_s, CORE)
    if ran.late:
        return Placed("", ran.cpu_s, True)
    answer = json.loads(ran.out)
    return Placed(answer["result"][0] if answer["success"] else "", ran.cpu_s)


def hspace(hosts: int, cpus: int, mem_mib: int, limit_s: float = 120.0) -> tuple[int | None, float]:
    """How many VMs of one size hspace finds room for on empty hosts (None: it was stopped), and its CPU seconds.

    It runs on hosts that it simulates: with a data file it would first try every size that the file's policy allows.
    """
    empty = f"--simulate=preferred,{hosts},{1 << 30},{clusters.MEM_MIB},{clusters.CPUS}"
    size = f"--standard-alloc={DISK_MIB},{mem_mib},{cpus}"
    ran = meter.child(("hspace", empty, "--disk-template=ext", size, "--machine-readable"), limit_s, CORE)
    found = re.search(r"^HTS_ALLOC_INSTANCES=(\d+)", ran.out, re.MULTILINE)
    if found is None and not ran.late:
        raise RuntimeError(f"hspace failed: {ran.out[-500:]}{ran.error[-500:]}")
    return int(found[1]) if found else None, ran.cpu_s
