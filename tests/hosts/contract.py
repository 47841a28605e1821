"""What every hypervisor promises, whatever it is: run against QEMU in the lab, libvirt's own test driver, and our fake.

Each function takes the hypervisor and a maker of domain XML; none leaves anything behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from vmctl.errors import LibvirtError, NotFound
from vmctl.hosts import domainxml
from vmctl.hosts.port import Hypervisor
from vmctl.model.vms import PowerState

UUID = "c0ffee00-2222-3333-4444-555555555555"
NAME = "contract1"
RUNNING, PAUSED, STOPPED = PowerState.RUNNING, PowerState.PAUSED, PowerState.STOPPED
Part = Callable[[Hypervisor, str], Awaitable[None]]


async def what_is_not_there(host: Hypervisor, _xml: str) -> None:
    assert await host.domain(UUID) is None
    with pytest.raises(NotFound):
        await host.power(UUID)
    with pytest.raises(NotFound):
        await host.shown(UUID)
    await host.destroy(UUID)
    await host.undefine(UUID)


async def a_transient_domain(host: Hypervisor, xml: str) -> None:
    await host.create(xml)
    seen = await host.domain(UUID)
    assert seen is not None and (seen.name, seen.power, seen.persistent) == (NAME, RUNNING, False)
    assert (await host.power(UUID))[0] is RUNNING
    assert [(one.uuid, one.power) for one in await host.domains() if one.uuid == UUID] == [(UUID, RUNNING)]
    shown = await host.shown(UUID)
    assert UUID in shown.live and shown.kept == ""
    assert domainxml.read(await host.xml(UUID)).definition.name == NAME
    with pytest.raises(LibvirtError):
        await host.create(xml)
    await host.destroy(UUID)
    assert await host.domain(UUID) is None
    await host.destroy(UUID)


async def a_pause_and_what_ends_it(host: Hypervisor, xml: str) -> None:
    await host.create(xml)
    await host.suspend(UUID)
    assert (await host.power(UUID))[0] is PAUSED
    await host.resume(UUID)
    assert (await host.power(UUID))[0] is RUNNING
    await host.reset(UUID)
    assert (await host.power(UUID))[0] is RUNNING
    await host.destroy(UUID)


async def a_definition(host: Hypervisor, xml: str) -> None:
    await host.define(xml)
    seen = await host.domain(UUID)
    assert seen is not None and (seen.power, seen.persistent) == (STOPPED, True)
    await host.set_autostart(UUID, True)
    shown = await host.shown(UUID)
    assert UUID in shown.kept and shown.live == ""
    await host.start(UUID)
    assert (await host.power(UUID))[0] is RUNNING
    with pytest.raises(LibvirtError):
        await host.start(UUID)
    await host.destroy(UUID)
    seen = await host.domain(UUID)
    assert seen is not None and seen.power is STOPPED, "its definition stays"
    await host.undefine(UUID)
    assert await host.domain(UUID) is None


async def a_volume(host: Hypervisor, _xml: str) -> None:
    await host.ensure_pool("contract", "/contract")
    name, xml = "v1.raw", domainxml.volume("v1.raw", "raw", 1024)
    assert not await host.has_volume("/contract", name)
    assert await host.create_volume("/contract", xml) == "/contract/v1.raw"
    assert await host.has_volume("/contract", name)
    with pytest.raises(LibvirtError):
        await host.create_volume("/contract", xml)
    await host.delete_volume("/contract", name)
    await host.delete_volume("/contract", name)
    assert not await host.has_volume("/contract", name)
    await host.drop_pool("contract")


PARTS: tuple[Part, ...] = (
    what_is_not_there,
    a_transient_domain,
    a_pause_and_what_ends_it,
    a_definition,
    a_volume,
)
