"""vmctl's side of the tables: a planner is one function, and whatever is to be compared is one more row here."""

from __future__ import annotations

from collections.abc import Callable

from vmctl.decide.place import place
from vmctl.decide.rebalance import rebalance
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Budget, Placement, Plan
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

Planner = Callable[[Cluster, Policy, Budget], Plan]


def plan(cluster: Cluster, policy: Policy, budget: Budget) -> Plan:
    """What `vmctl rebalance --plan` would say."""
    return rebalance(cluster, policy, budget)


def placed(cluster: Cluster, policy: Policy, vm: VM) -> str:
    """The host that `vmctl create --dry-run` would name; empty: none."""
    found = place(vm, cluster, policy)
    return found.host if isinstance(found, Placement) else ""


PLANNERS: dict[str, Planner] = {"vmctl": plan}
