"""A controller of which every series has something to tell: hosts with loads, VMs, guests, tasks, migrations."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.api.peers import LOCAL, by
from tests.hosts.test_devices import moving
from tests.hosts.test_load import vm as qemu
from vmctl.act.health import HealthHistory
from vmctl.api.app import make_app
from vmctl.cluster.controller import Controller
from vmctl.commands.cluster import Rebalance
from vmctl.decide.health import Health, HealthStatus
from vmctl.hosts.facts import Pressure
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.local.config import Settings
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord, Task, TaskState, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import PowerState, Spec
from vmctl.ports.store import Store
from vmctl.services import Services
from vmctl.store.memory import MemoryStore

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
        await store.put(VMRecord(spec, 1.0, host=f"kvm{host}", power=PowerState.RUNNING))


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


async def happened(controller: Controller) -> None:
    """Something of everything that is counted or told has happened; one task goes on."""
    monitor, services, tasks = controller.health_monitor, controller.services, controller.tasks
    sick = (HealthStatus.HUNG, HealthStatus.DEGRADED)
    monitor._kept = {uuid(number): HealthHistory(Health(status, "so"), 1.0) for number, status in enumerate(sick)}
    services.unmounted["kvm0"] = {"main"}
    services.no_lock["kvm0"] = "virtlockd is gone"
    tasks.handlers["rebalance"] = _never
    await tasks.submit(Rebalance(), LOCAL_USER, "cluster")
    ended = Task(7, "migrate", "vm0", 10.0, state=TaskState.DONE, result={"downtime_ms": 40}, ended_at=12.0)
    controller.meters.task_ended(ended)
    controller.meters.lagged(0.002)


async def _never(_job: Any) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


class Quiet:
    """What the application serves: a controller that does nothing by itself."""

    def __init__(self, controller: Controller) -> None:
        self.controller, self.door, self.cluster = controller, controller.door, None

    async def start(self) -> None:
        """Know who there is, and attach the hosts."""
        for record in await self.controller.services.store.all(HostRecord):
            self.controller.attach(record)

    async def close(self) -> None:
        """Let tasks go."""
        await self.controller.tasks.close()


@asynccontextmanager
async def serving(controller: Controller) -> AsyncIterator[httpx.AsyncClient]:
    """Its API, asked by its local user."""
    app = make_app(Quiet(controller))
    transport = httpx.ASGITransport(by(LOCAL, app))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://vmctl") as http,
    ):
        yield http


async def full(folder: Path, vms: int = 4, settings: Settings | None = None) -> Controller:
    """A controller of two hosts, not started."""
    controller = made(MemoryStore(), folder, settings)
    await fill(controller, 2, vms)
    return controller


def samples(text: str) -> list[Sample]:
    """What a scrape says."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample's value; None where there is no such sample."""
    found = [sample.value for sample in samples(text) if sample.name == name and sample.labels == labels]
    assert len(found) <= 1
    return found[0] if found else None
