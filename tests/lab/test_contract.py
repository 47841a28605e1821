"""The contract of hypervisors on a host's real libvirtd and QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.contract import NAME, PARTS, UUID, Part
from tests.lab.pool import Pool, without
from vmctl.hosts import domainxml
from vmctl.hosts.virt import Virt
from vmctl.lab import host as lab_host
from vmctl.lab import names
from vmctl.model.vms import Spec

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def host(pool: Pool) -> Iterator[str]:
    """A host outside the pool: its controller would take over what the contract makes, as it carries our metadata."""
    with without(pool, pool.hosts[2]):
        yield pool.hosts[2]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
async def test_qemu(pool: Pool, host: str, part: Part) -> None:
    pool.ssh(host, "mkdir -p /contract")
    first = lab_host.pid(names.current().find(host))
    virt = Virt(host, 20.0, 5)
    await virt.open(Path(f"/proc/{first}/root/run/libvirt/libvirt-sock"), lambda _event: None)
    try:
        accel = (await virt.about()).accel
        await part(virt, domainxml.build(Spec(UUID, NAME, 1, 64), domainxml.Site(accel)))
    finally:
        await virt.close()
