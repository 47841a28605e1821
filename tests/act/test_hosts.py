"""Checking hosts: one that is odd stops no other, and what was measured is kept."""

from __future__ import annotations

import pytest

from tests.act.crash import new_job
from tests.act.hosts import FakeHost
from vmctl.act.hosts import Hosts
from vmctl.hosts.doctor import Check
from vmctl.model.records import HostRecord
from vmctl.services import Services


async def test_a_host_that_nobody_foresaw_stops_no_other(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def examine(_: Hosts, name: str) -> list[Check]:
        if name == "kvm1":
            raise KeyError("MemTotal")
        return [Check("SSH", "ok", "well")]

    monkeypatch.setattr(Hosts, "_examine", examine)
    hosts = Hosts(services, lambda record: services.links[record.name])
    report = (await hosts.check(await new_job(services, "host check", "all hosts")))["hosts"]
    (broken,), (well,) = report["kvm1"]["checks"], report["kvm2"]["checks"]
    assert broken["verdict"] == "FAIL" and "KeyError: 'MemTotal'" in broken["text"]
    assert well["verdict"] == "ok"


async def test_a_hosts_size_is_kept_for_when_it_is_not_reached(services: Services, kvm1: FakeHost) -> None:
    await services.store.put(HostRecord("kvm1", "10.0.0.1", "key", "f", 1.0, about={"qemu": "7.2.0", "cpus": 1}))
    kvm1.size = (8, 16384)
    await Hosts(services, lambda record: services.links[record.name])._remember_size(services.link("kvm1"))
    assert (await services.store.get(HostRecord, "kvm1")).about == {"qemu": "7.2.0", "cpus": 8, "mem_mib": 16384}
