"""A VM that fits nowhere: the hint is the command that changes it, where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.decide.clusters import cluster, host, vm
from vmctl.act.power import no_host
from vmctl.decide.place import place
from vmctl.model.hosts import HostState
from vmctl.model.plans import NoPlace
from vmctl.model.policy import Policy

FULL = host("kvm1", mem_mib=256)
DRAINING = replace(host("kvm2"), draining=True)
SILENT = replace(host("kvm3"), state=HostState.UNKNOWN)


@pytest.mark.parametrize(
    ("hosts", "hint"),
    [
        ((FULL,), "vmctl top"),
        ((FULL, DRAINING), "vmctl host undrain kvm2"),
        ((FULL, SILENT), "vmctl host check kvm3"),
        ((SILENT, DRAINING), "vmctl host undrain kvm2"),
    ],
)
def test_the_hint_is_what_makes_room(hosts: tuple[object, ...], hint: str) -> None:
    found = place(vm("new", mem_mib=1024), cluster(*hosts), Policy())  # type: ignore[arg-type]
    assert isinstance(found, NoPlace)
    assert no_host(found).hint == hint and len(no_host(found).lines) == len(hosts)
