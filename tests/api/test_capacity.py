"""Capacity and reboot plans of a running controller."""

from __future__ import annotations

import pytest

from tests.api.conftest import Server
from vmctl.errors import Usage


async def test_capacity_of_no_hosts(server: Server) -> None:
    found = await server.get("capacity")
    assert [(fit["cpus"], fit["mem_mib"], fit["count"]) for fit in found["sizes"]] == [
        (1, 1024, 0),
        (2, 4096, 0),
        (4, 16384, 0),
    ]
    asked = await server.get("capacity", size=["2c/4G", "1c/512M,1c/1T"])
    assert [(fit["cpus"], fit["mem_mib"]) for fit in asked["sizes"]] == [(2, 4096), (1, 512), (1, 1 << 20)]


async def test_a_bad_size_is_malformed(server: Server) -> None:
    with pytest.raises(Usage, match="write 2c/4G"):
        await server.get("capacity", size="4G")


async def test_reboots_of_no_hosts(server: Server) -> None:
    assert await server.get("reboot-plan") == {"groups": [], "stuck": [], "why": "0 hosts in 0 groups, with 0 moves"}
