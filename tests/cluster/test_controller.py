"""The controller works on what it is given: no file, no socket, no lock of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.act.hosts import UUID, FakeHost
from vmctl.cluster import controller as controller_module
from vmctl.cluster.controller import BLIND_FOR_S, Controller
from vmctl.cluster.member import Member
from vmctl.cluster.watcher import Watcher
from vmctl.commands.hosts import ListHosts
from vmctl.commands.vms import Stop
from vmctl.errors import RegistryUnusable
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord, TaskState, VMRecord
from vmctl.model.replicas import Replica
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import PowerState, Spec
from vmctl.ports import SYSTEM
from vmctl.services import Services
from vmctl.services.claims import Deposed
from vmctl.store.memory import MemoryStore


class Link:
    """To a host that tells of its domains as soon as the link begins."""

    on_domains: Any = None

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def start(self) -> None:
        self.on_domains(self)


@pytest.fixture
def host() -> FakeHost:
    made = FakeHost("kvm1")
    made.shows(PowerState.RUNNING)
    return made


@pytest.fixture
async def services(host: FakeHost, tmp_path: Path) -> Services:
    store = MemoryStore()
    await store.put(host.record)
    vm = VMRecord(Spec(UUID, "web1", 1, 512), 1.0, host="kvm1", power=PowerState.UNKNOWN, may_run_on={"kvm1": ""})
    await store.add_vm(vm)

    def link(record: HostRecord, *_: Any) -> Any:
        assert record.name == host.name
        return Link(host)

    return Services(store, Settings(), tmp_path, (), make_link=cast(Any, link))


async def becomes(services: Services, power: PowerState) -> None:
    for _ in range(500):
        if (await services.store.vm("web1")).power is power:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"web1 is not {power}")


@pytest.mark.parametrize("why", [RuntimeError("a bug"), RegistryUnusable("away"), Deposed("life")])
async def test_a_successor_that_cannot_begin_gives_the_lead_up(services: Services, why: BaseException) -> None:
    """Whatever keeps it from that: it would go on to beat, and nobody else would lead."""
    given_up: list[bool] = []
    member = Member(services.store, Replica("life", "kvm1", "home", "0.1", 1.0), SYSTEM)
    member.deposed = lambda: given_up.append(True)
    controller = Controller(services, member=member)

    async def cannot() -> None:
        raise why

    controller._act = cannot  # type: ignore[method-assign]
    with pytest.raises(type(why)):
        await controller._succeed(member)
    assert given_up == [True] and not member.acting


async def test_it_lives_on_what_it_is_given(services: Services) -> None:
    ended: list[bool] = []
    controller = Controller(services, lambda: ended.append(True))
    await controller.start()
    await becomes(services, PowerState.RUNNING)
    answer = await controller.door.ask(ListHosts(), LOCAL_USER)
    assert [one.name for one in answer] == ["kvm1"]
    asked = await controller.door.ask(Stop("web1"), LOCAL_USER)
    assert (await controller.tasks.wait(asked.id)).state is TaskState.DONE
    await becomes(services, PowerState.STOPPED)
    assert ended == []
    await controller.close()
    assert ended == [True]


async def test_a_host_that_is_away_is_looked_at_again_once_at_a_time(
    services: Services, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the registry is away, too, nobody is told of it: each look would lead to as many more as there is news."""
    monkeypatch.setattr(controller_module, "LOST_AFTER_S", 0.05)
    controller = Controller(services)
    await controller.start()
    try:
        link, looks = services.links["kvm1"], list[str]()
        monkeypatch.setattr(host, "online", False)

        async def look(*_: Any) -> None:
            looks.append("look")
            raise RegistryUnusable("away")

        monkeypatch.setattr(controller_module, "follow_host", look)
        for _ in range(40):
            controller._domains_changed(link)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        looks.clear()
        await asyncio.sleep(0.5)
        assert 2 <= len(looks) <= 12, len(looks)
    finally:
        await controller.close()


async def test_hosts_are_asked_about_the_cpus_of_vms_elsewhere(services: Services, host: FakeHost) -> None:
    """They may be about to move there."""
    controller = Controller(services)
    await controller.start()
    try:
        far = Spec("22222222-2222-3333-4444-555555555555", "far", 1, 128, cpu_xml="<cpu/>")
        await services.store.add_vm(VMRecord(far, 1.0, host="kvm9"))
        await controller._look_at_vms()
        for _ in range(100):
            if "<cpu/>" in host.cpus:
                break
            await asyncio.sleep(0.05)
        assert host.cpus["<cpu/>"]
    finally:
        await controller.close()


@pytest.mark.parametrize(
    ("replaceable", "takes_part", "blind_s", "why"),
    [
        (True, True, 0.0, ""),
        (True, False, 0.0, "drained"),
        (True, True, BLIND_FOR_S - 1, ""),
        (True, True, BLIND_FOR_S, "reached no host"),
        (False, False, BLIND_FOR_S, ""),
    ],
)
async def test_why_a_leader_leaves(
    services: Services, replaceable: bool, takes_part: bool, blind_s: float, why: str
) -> None:
    controller = Controller(services)
    me = SimpleNamespace(takes_part=takes_part)
    controller.cluster = cast(Member, SimpleNamespace(replaceable=replaceable, me=me))
    controller.watcher = cast(Watcher, SimpleNamespace(blind_s=blind_s))
    found = controller._why_leave()
    assert why in found and bool(found) is bool(why)


async def test_a_leader_that_cannot_write_its_ledgers_down_goes_on_leading(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, closed = Controller(services), []

    async def away() -> None:
        raise RegistryUnusable("away")

    async def close(why: str) -> None:
        closed.append(why)

    controller.cluster = cast(Member, SimpleNamespace(close=close, deposed=lambda: None))
    monkeypatch.setattr(controller, "_why_leave", lambda: "was drained")
    with monkeypatch.context() as while_away:
        while_away.setattr(services.incarnations, "flush", away)
        with pytest.raises(RegistryUnusable):
            await controller._leave()
    assert not controller._closing and not closed
    await controller._leave()
    assert controller._closing and closed == ["it was drained"]
