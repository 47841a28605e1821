"""The contract of hypervisors: libvirt's test driver, which is no QEMU, and the fake that others believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.act.hosts import FakeHost
from tests.hosts import contract
from tests.hosts.contract import NAME, PARTS, UUID, Part
from vmctl.hosts.port import Hypervisor
from vmctl.hosts.shown import DomainEvent
from vmctl.hosts.virt import Virt

XML = f"""<domain type="test"><name>{NAME}</name><uuid>{UUID}</uuid><memory unit="MiB">64</memory><vcpu>1</vcpu>
<os><type arch="i686">hvm</type></os></domain>"""


@pytest.fixture
async def driver() -> AsyncIterator[Virt]:
    made = Virt("test", 10.0, 5)
    await made.open_uri("test:///default", lambda _event: None)
    yield made
    await made.close()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
async def test_another_hypervisor(driver: Virt, part: Part) -> None:
    await part(driver, XML)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
async def test_the_fake_that_others_believe(part: Part) -> None:
    await part(cast(Hypervisor, FakeHost("kvm1").virt), XML)


async def test_it_tells_of_what_happens() -> None:
    told: list[DomainEvent] = []
    virt = Virt("test", 10.0, 5)
    await virt.open_uri("test:///default", told.append)
    try:
        await contract.a_transient_domain(virt, XML)
        for _ in range(100):
            if len({event.what for event in told if event.uuid == UUID}) >= 2:
                break
            await asyncio.sleep(0.02)
        assert {event.name for event in told if event.uuid == UUID} == {NAME}
        assert len({event.what for event in told if event.uuid == UUID}) >= 2, "it began, and it was destroyed"
    finally:
        await virt.close()
