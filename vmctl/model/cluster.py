"""The cluster at one moment: all that a decision may look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vmctl.model.hosts import Host
from vmctl.model.vms import GROUPS, VM


@dataclass(frozen=True)
class Cluster:
    """Everything a decision may look at, at one moment."""

    hosts: tuple[Host, ...]
    vms: tuple[VM, ...]
    taken_at: float = 0.0  # UTC seconds, for display only

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    @cached_property
    def _on(self) -> dict[str, tuple[VM, ...]]:
        found: dict[str, list[VM]] = {}
        for vm in self.vms:
            for host in {vm.host, vm.moving_to} - {""}:
                found.setdefault(host, []).append(vm)
        return {host: tuple(vms) for host, vms in found.items()}

    @cached_property
    def _groups(self) -> dict[tuple[str, str], tuple[VM, ...]]:
        found: dict[tuple[str, str], list[VM]] = {}
        for vm in self.vms:
            for kind in GROUPS:
                if name := getattr(vm.spec, kind):
                    found.setdefault((kind, name), []).append(vm)
        return {group: tuple(vms) for group, vms in found.items()}

    def on(self, host: str) -> tuple[VM, ...]:
        """The VMs that run on a host or are promised a place there."""
        return self._on.get(host, ())

    def host(self, name: str) -> Host | None:
        """The host of that name."""
        return self._hosts.get(name)

    def group(self, kind: str, name: str) -> tuple[VM, ...]:
        """The VMs of a group; `kind` is one of GROUPS."""
        return self._groups.get((kind, name), ()) if name else ()

    def groups(self, kind: str) -> tuple[str, ...]:
        """The names of all groups of one kind, sorted."""
        return tuple(sorted(name for which, name in self._groups if which == kind))
