"""What the controller would decide about a cluster that is only a snapshot: the same questions, the same answers. Pure.

Questions are asked as of the API, so that a command need not know whom it asks. Only what is decided can be asked:
a snapshot has no tasks, and nothing in it can be changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vmctl.decide.capacity import capacity
from vmctl.decide.drain import drain
from vmctl.decide.place import place
from vmctl.decide.rebalance import curve, rebalance
from vmctl.decide.reboots import reboots
from vmctl.decisions import inputs, placement_json, plan_json
from vmctl.errors import NotFound, Usage
from vmctl.model import VM, Budget, Cluster, Host, Policy, Spec
from vmctl.sizes import parse

CAN = "rebalance --plan|--curve, host drain NAME --plan, why NAME, create NAME --dry-run, capacity, reboot-plan"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at one moment and the policy to decide by."""

    cluster: Cluster
    policy: Policy

    def answer(self, method: str, parts: tuple[str, ...], body: dict[str, Any], query: dict[str, Any]) -> Any:
        """What GET or POST of that path would answer now. Raises Usage for what no snapshot can tell or do."""
        match (method, *parts):
            case ("GET", "rebalance"):
                budget = Budget(**{key: value for key, value in query.items() if value is not None})
                return plan_json(rebalance(self.cluster, self.policy, budget))
            case ("GET", "rebalance", "curve"):
                return [plan_json(plan) for plan in curve(self.cluster, self.policy)]
            case ("GET", "capacity"):
                return self._capacity(query.get("size"))
            case ("GET", "reboot-plan"):
                return asdict(reboots(self.cluster, self.policy))
            case ("GET", "hosts", name, "drain"):
                return plan_json(drain(self.cluster, self._host(name).name, self.policy))
            case ("GET", "vms", name, "why") if query.get("at") is None:
                return self._again(self._vm(name))
            case ("POST", "vms", "dry-run"):
                return self._new(body)
        raise Usage("this cannot be done on a snapshot", hint=f"with --snapshot: {CAN}")

    def _capacity(self, sizes: str | None) -> dict[str, Any]:
        try:
            return asdict(capacity(self.cluster, self.policy, parse([sizes] if sizes else [])))
        except ValueError as err:
            raise Usage(str(err)) from err

    def _host(self, name: str) -> Host:
        found = self.cluster.host(name)
        if found is None:
            raise NotFound(f"there is no host {name!r} in the snapshot")
        return found

    def _vm(self, name: str) -> VM:
        found = next((vm for vm in self.cluster.vms if vm.name == name), None)
        if found is None:
            raise NotFound(f"there is no VM {name!r} in the snapshot")
        return found

    def _again(self, vm: VM) -> dict[str, Any]:
        """Where it would go if it had to be placed now, its own host among the others."""
        found = place(replace(vm, host="", moving_to=""), without(self.cluster, vm), self.policy)
        return placement_json(found) | {"inputs": inputs(self.cluster), "now_on": vm.host}

    def _new(self, body: dict[str, Any]) -> dict[str, Any]:
        """Where a new VM would go. Which storage its image is on is not known here, and not asked for."""
        if any(vm.name == body["name"] for vm in self.cluster.vms):
            raise Usage(f"there is a VM {body['name']!r} in the snapshot already")
        only = self._host(body["host"]).name if body.get("host") else ""
        found = place(VM(self.spec(body)), self.cluster, self.policy, only)
        return placement_json(found) | {"inputs": inputs(self.cluster)}

    def spec(self, body: dict[str, Any]) -> Spec:
        """What is asked for in a new VM: all of it that a specification has. Raises Usage."""
        known, asked = self.policy.class_overcommit, body.get("load_class")
        if asked and asked not in known:
            raise Usage(f"there is no load class {asked!r}", hint=f"known: {', '.join(sorted(known)) or 'none'}")
        given = {field.name: body[field.name] for field in fields(Spec) if body.get(field.name)}
        return Spec(uuid=f"new {body['name']}", **given)


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
