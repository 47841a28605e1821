"""Two hosts, a real registry with one VM in it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.act.crash import Life
from tests.act.hosts import UUID, FakeHost
from tests.act.jobpool import pool as pool  # a fixture
from vmctl.act import power, power_action
from vmctl.hosts.link import HostLink
from vmctl.local.config import Settings
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.ports.store import Store
from vmctl.services import Services


@pytest.fixture
async def services(registry: Store, tmp_path: Path) -> Services:
    for name in ("kvm1", "kvm2"):
        await registry.put(FakeHost(name).record)
    there = {"kvm1": "machine-kvm1"}
    vm = VMRecord(Spec(UUID, "web1", 1, 512), 1.0, host="kvm1", power=PowerState.RUNNING, may_run_on=there)
    await registry.add_vm(vm)
    return Services(registry, Settings(), tmp_path, ())


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host shows is believed at the first look."""
    monkeypatch.setattr(power, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(power, "LOOK_FOR_S", 0.0)
    monkeypatch.setattr(power_action, "LOOK_FOR_S", 0.0)


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Life:
    """A controller that can be told to die at a step."""
    return Life(monkeypatch)


@pytest.fixture
def kvm1(services: Services) -> FakeHost:
    return _host(services, "kvm1")


@pytest.fixture
def kvm2(services: Services) -> FakeHost:
    return _host(services, "kvm2")


def _host(services: Services, name: str) -> FakeHost:
    others = cast(list[FakeHost], list(services.links.values()))
    made = FakeHost(name, files=others[0].files if others else None)
    services.links[name] = cast(HostLink, made)
    return made
