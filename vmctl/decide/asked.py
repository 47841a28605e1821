"""Queries that are answered by deciding alone: on the cluster as it is now, or on one that a file holds. Pure.

One table says how, so that a dump answers as a controller would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from vmctl.commands import cluster as about_cluster
from vmctl.commands.cluster import PlanCurve, PlanRebalance, PlanReboots, Rebalance
from vmctl.commands.hosts import DrainHost, PlanDrain
from vmctl.commands.vms import Create, WhereNow, WhereToCreate
from vmctl.decide.capacity import Capacity, capacity
from vmctl.decide.drain import drain
from vmctl.decide.place import place
from vmctl.decide.rebalance import curve, rebalance
from vmctl.decide.reboots import Reboots, reboots
from vmctl.errors import NotFound, Usage
from vmctl.formats.sizes import parse
from vmctl.model.cluster import Cluster
from vmctl.model.decisions import Placed, PlacedAgain, placed
from vmctl.model.hosts import Host
from vmctl.model.plans import Budget, Plan
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Spec

CAN = "rebalance --plan|--curve, host drain NAME --plan, why NAME, create NAME --dry-run, capacity, reboot-plan"


def decide(cluster: Cluster, policy: Policy, asked: Any) -> Any:
    """The answer to a query, on a dump. Raises Usage for what no dump can tell or do; errors say where they looked."""
    decider = DECIDED.get(type(asked))
    if decider is None:
        raise Usage("this cannot be done on a dump", hint=f"with --dump: {CAN}")
    try:
        return decider(cluster, policy, asked)
    except NotFound as err:
        err.message, err.hint = f"in the dump {err.message}", ""  # the hint is a command for the cluster
        raise


def budget(asked: Rebalance) -> Budget:
    """What a plan may take; where nothing is said, the policy's limits hold."""
    return Budget(**{key: value for key, value in asdict(asked).items() if value is not None})


def spec_of(asked: Create, uuid: str) -> Spec:
    """What is asked for in a new VM, as far as it does not depend on where it will be."""
    known = {field.name for field in fields(Spec)}
    given = {key: value for key, value in asdict(asked).items() if key in known and value}
    return Spec(uuid=uuid, **given)


def check_class(load_class: str, policy: Policy) -> None:
    """Raises Usage for a load class that the policy does not know."""
    known = policy.class_overcommit
    if load_class and load_class not in known:
        hint = f"known: {', '.join(sorted(known)) or 'none; they are in [policy.class_overcommit] of the settings'}"
        raise Usage(f"there is no load class {load_class!r}", hint=hint)


def plan_rebalance(cluster: Cluster, policy: Policy, asked: Rebalance) -> Plan:
    """The plan that evens the cluster out, within the budget that is asked for."""
    return rebalance(cluster, policy, budget(asked))


def _curve(cluster: Cluster, policy: Policy, _asked: PlanCurve) -> list[Plan]:
    return list(curve(cluster, policy))


def plan_drain(cluster: Cluster, policy: Policy, asked: PlanDrain | DrainHost) -> Plan:
    """The plan that empties a host."""
    return drain(cluster, _host(cluster, asked.host).name, policy)


def _capacity(cluster: Cluster, policy: Policy, asked: about_cluster.Capacity) -> Capacity:
    try:
        sizes = parse(asked.size or ())
    except ValueError as err:
        raise Usage(str(err)) from err
    return capacity(cluster, policy, sizes)


def _reboots(cluster: Cluster, policy: Policy, _asked: PlanReboots) -> Reboots:
    return reboots(cluster, policy)


def _again(cluster: Cluster, policy: Policy, asked: WhereNow) -> PlacedAgain:
    """Where it would go if it had to be placed now, its own host among the others."""
    vm = next((vm for vm in cluster.vms if asked.vm in (vm.name, vm.spec.uuid)), None)
    if vm is None:
        raise NotFound(f"there is no VM {asked.vm!r}", hint="vmctl list")
    found = placed(place(replace(vm, host="", moving_to=""), without(cluster, vm), policy), cluster)
    return PlacedAgain(found.vm, found.host, found.why, found.verdicts, found.inputs, vm.host)


def _new(cluster: Cluster, policy: Policy, asked: WhereToCreate) -> Placed:
    """Where a new VM would go. Which storage its image is on is not known here, and not asked for."""
    if any(vm.name == asked.name for vm in cluster.vms):
        raise Usage(f"there is already a VM {asked.name!r}")
    check_class(asked.load_class, policy)
    only = _host(cluster, asked.host).name if asked.host else ""
    return placed(place(VM(spec_of(asked, f"new {asked.name}")), cluster, policy, only), cluster)


def _host(cluster: Cluster, name: str) -> Host:
    found = cluster.host(name)
    if found is None:
        raise NotFound(f"there is no host {name!r}", hint="vmctl host list")
    return found


DECIDED: Mapping[type[Any], Callable[[Cluster, Policy, Any], Any]] = {
    PlanRebalance: plan_rebalance,
    PlanCurve: _curve,
    PlanDrain: plan_drain,
    about_cluster.Capacity: _capacity,
    PlanReboots: _reboots,
    WhereNow: _again,
    WhereToCreate: _new,
}


def without(cluster: Cluster, vm: VM) -> Cluster:
    """The cluster as it would be if the VM were stopped: its host has its load no more."""
    hosts = tuple(_relieved(host, vm) if host.name == vm.host else host for host in cluster.hosts)
    return replace(cluster, hosts=hosts, vms=tuple(other for other in cluster.vms if other.name != vm.name))


def _relieved(host: Host, vm: VM) -> Host:
    load = host.load
    if load is None or vm.load is None:
        return host
    rest = replace(
        load,
        cpu=max(0.0, load.cpu - vm.load.cpu),
        mem_used_mib=max(0, load.mem_used_mib - vm.load.mem_mib),
        disk=max(0.0, load.disk - vm.load.disk),
        net=max(0.0, load.net - vm.load.net),
    )
    return replace(host, load=rest)
