"""`migrate --check` says of each host what a migration there would be refused for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.act.hosts import FakeHost
from vmctl.act import checks
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.policy import Policy
from vmctl.model.records import VMRecord
from vmctl.model.vms import VM, PowerState, Spec
from vmctl.services import Services

MIB = 1000


def host(name: str, mem_mib: int) -> Host:
    return Host(name, HostState.ONLINE, cpus=8, mem_mib=mem_mib, load=HostLoad(0.0, 0))


@pytest.mark.parametrize("spare", [False, True])
async def test_n_plus_one_is_told_as_well(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, monkeypatch: pytest.MonkeyPatch, spare: bool
) -> None:
    """On kvm2 both VMs would be lost with it: nobody else has room for the two."""
    specs = [Spec(f"u{n}", f"web{n}", 1, MIB) for n in (1, 2)]
    seen = tuple(
        VM(spec, host=name, power=PowerState.RUNNING) for spec, name in zip(specs, ("kvm1", "kvm2"), strict=True)
    )
    cluster = Cluster((host("kvm1", 1500), host("kvm2", 4 * MIB)), seen, 1.0)

    async def now(_services: Services) -> Cluster:
        return cluster

    monkeypatch.setattr(checks, "observe", now)
    services.settings = replace(services.settings, policy=Policy(spare_host=spare))
    found = await checks.check_migration(services, VMRecord(specs[0], 1.0, host="kvm1", power=PowerState.RUNNING))
    (row,) = found.hosts
    told = [why for why in row.blockers if "would have no place left if kvm2 died" in why]
    assert (row.host, len(told)) == ("kvm2", int(spare)), row
