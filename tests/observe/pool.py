"""A controller of which every series has something to tell: hosts with loads, VMs, guests, tasks, migrations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.hosts.test_devices import moving
from tests.hosts.test_load import vm as qemu
from vmctl.act.health import HealthHistory
from vmctl.cluster.controller import Controller
from vmctl.decide.health import Health, HealthStatus
from vmctl.hosts.facts import Pressure
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.local.config import Settings
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord, Task, TaskState, VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.ports.store import Store
from vmctl.services import Services

STALLED = Pressure(0.1, 0.2, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Shown:
    """A link, as far as it is looked at when nobody asks a host anything. Whatever asks one is not there."""

    name: str
    state: HostState = HostState.ONLINE
    domains: dict[str, DomainSeen] = field(default_factory=dict)
    domains_at: float | None = 0.0
    why: str = ""
    about: Any = None
    on_sample: Any = None
    on_domains: Any = None

    @property
    def online(self) -> bool:
        return self.state is HostState.ONLINE

    def start(self) -> None:
        """It is up."""

    async def wait_online(self, limit_s: float) -> bool:
        return self.online

    async def close(self) -> None:
        """It was never open."""


def made(store: Store, folder: Path, settings: Settings | None = None) -> Controller:
    """A controller whose links are such."""
    controller = Controller(Services(store, settings or Settings(), folder, ()))
    controller.services.make_link = lambda record, *_: cast(Any, Shown(record.name))
    return controller


def uuid(number: int) -> str:
    """Of a VM."""
    return f"{number:08d}-2222-4333-8444-555555555555"


async def fill(controller: Controller, hosts: int, vms: int) -> None:
    """So many hosts, and VMs that run on them by turns."""
    store, numbers = controller.services.store, itertools.cycle(range(hosts))
    for number in range(hosts):
        name = f"kvm{number}"
        await store.put(HostRecord(name, "127.0.0.1", "key", "print", 1.0))
    for number, host in zip(range(vms), numbers, strict=False):
        spec = Spec(uuid(number), f"vm{number}", 1, 512)
        await store.add_vm(VMRecord(spec, 1.0, host=f"kvm{host}", power=PowerState.RUNNING))


async def measure(controller: Controller) -> None:
    """Each host is measured twice, and the registry read, as within the first seconds of a controller's life."""
    services = controller.services
    records = await services.store.all(VMRecord)
    on: dict[str, list[VMRecord]] = {}
    for record in records:
        on.setdefault(record.host, []).append(record)
    for name, link in services.links.items():
        _sample(controller, link, on.get(name, ()))
    monitor = controller.health_monitor
    monitor._records = {record.uuid: record for record in records}
    monitor._records_at = services.clock.monotonic()


def _sample(controller: Controller, link: Link, vms: Iterable[VMRecord]) -> None:
    shown = {vm.uuid: DomainSeen(vm.uuid, vm.name, PowerState.RUNNING) for vm in vms}
    cast(Shown, link).domains = shown
    for second in (0, 10):
        qemus = tuple(qemu(one, 100 + number, 7, 100 + second) for number, one in enumerate(shown))
        sample = moving(second)._replace(vms=qemus, psi_cpu=STALLED, psi_mem=STALLED, psi_io=STALLED)
        controller.services.loads.add(link, sample)


async def live(controller: Controller) -> None:
    """Something of everything that is counted has happened."""
    monitor, services = controller.health_monitor, controller.services
    monitor._kept = {uuid(0): HealthHistory(Health(HealthStatus.HUNG, "it says nothing"), 1.0)}
    services.unmounted["kvm0"] = {"main"}
    services.no_lock["kvm0"] = "virtlockd is gone"
    ended = Task(7, "migrate", "vm0", 10.0, state=TaskState.DONE, result={"downtime_ms": 40}, ended_at=12.0)
    controller.meters.task_ended(ended)
    controller.meters.lagged(0.002)
