"""Who watches which host: one at a time; what an earlier watcher says late changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from vmctl.model.records import HostRecord
from vmctl.model.replicas import Replica
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.ports.store import Store

FIRST = Replica("life-1", "a", "home-1", "0.1", 1.0)
NOW = 10.0
OTHER = Replica("life-2", "b", "home-2", "0.1", 2.0)


@pytest.fixture
async def pool(registry: Store) -> Store:
    """Two controllers and two hosts."""
    for name in ("kvm1", "kvm2"):
        await registry.put(HostRecord(name, name, "k", "f", 1.0))
    for one in (FIRST, OTHER):
        await registry.put(one)
    return registry


async def test_each_change_of_hands_has_an_epoch_of_its_own(pool: Store) -> None:
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-2", "gone": "life-1"}, 1.0)
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-1"}, 2.0)
    assert await pool.watched_by("life-1") == [HostWatch("kvm1", "life-1", 1, 1.0), HostWatch("kvm2", "life-1", 2, 2.0)]
    assert await pool.watched_by("life-2") == []
    await pool.share_out({"kvm2": "life-2"}, 3.0)
    assert await pool.watched_by("life-2") == [HostWatch("kvm2", "life-2", 3, 3.0)]


async def test_what_an_earlier_watcher_says_late_changes_nothing(pool: Store) -> None:
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-2"}, 1.0)
    await pool.report(
        "life-1", [HostReport("kvm1", 1, 1, {"cpu": 1}), HostReport("kvm2", 1, 1, {"cpu": "not mine"})], NOW
    )
    assert await pool.reports({}) == [HostReport("kvm1", 1, 1, {"cpu": 1})]
    await pool.share_out({"kvm1": "life-2"}, 2.0)
    await pool.report("life-2", [HostReport("kvm1", 2, 1, {"cpu": 2})], NOW)
    await pool.report("life-1", [HostReport("kvm1", 1, 9, {"cpu": "late"})], NOW)
    await pool.report("life-1", [HostReport("kvm1", 2, 9, {"cpu": "of another's epoch"})], NOW)
    assert await pool.reports({}) == [HostReport("kvm1", 2, 1, {"cpu": 2})]
    await pool.share_out({"kvm1": "life-1"}, 3.0)  # it has it again: what it said then is late all the same
    await pool.report("life-1", [HostReport("kvm1", 1, 10, {"cpu": "late"})], NOW)
    assert [one.epoch for one in await pool.reports({})] == [2]


async def test_only_what_is_new_is_read(pool: Store) -> None:
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-1"}, 1.0)
    first, other = HostReport("kvm1", 1, 1), HostReport("kvm2", 1, 1)
    await pool.report("life-1", [first, other], NOW)
    known = {"kvm1": (1, 1), "kvm2": (1, 1)}
    assert await pool.reports(known) == []
    await pool.report("life-1", [replace(other, number=2)], NOW)
    assert await pool.reports(known) == [replace(other, number=2)]


async def test_how_long_ago_it_was_told_is_known(pool: Store) -> None:
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-1"}, 1.0)
    await pool.report("life-1", [HostReport("kvm1", 1, 1)], NOW)
    await asyncio.sleep(0.2)
    await pool.report("life-1", [HostReport("kvm2", 1, 1)], NOW + 0.2)
    told_s = await pool.told_s(NOW + 0.2)
    assert told_s.keys() == {"kvm1", "kvm2"}
    assert 0.19 <= told_s["kvm1"] < 5.0 and told_s["kvm2"] <= told_s["kvm1"] - 0.19
    await pool.report("life-1", [HostReport("kvm1", 1, 2)], NOW + 0.2)
    assert (await pool.told_s(NOW + 0.2))["kvm1"] < 0.2, "what is told anew is new"


async def test_nothing_is_left_of_a_host_that_left_the_pool(pool: Store) -> None:
    await pool.share_out({"kvm1": "life-1", "kvm2": "life-1"}, 1.0)
    await pool.report("life-1", [HostReport("kvm1", 1, 1), HostReport("kvm2", 1, 1)], NOW)
    await pool.remove_host("kvm2")
    assert [one.host for one in await pool.all(HostWatch)] == ["kvm1"]
    assert [one.host for one in await pool.all(HostReport)] == ["kvm1"]


async def test_a_ledger_has_one_keeper_until_he_leaves_it_or_ends(pool: Store) -> None:
    many = [f"m{n}" for n in range(1200)]
    assert await pool.take_machines("life-1", many) == sorted(many)
    assert await pool.take_machines("life-2", ["m1", "m2", "new"]) == ["new"]
    await pool.leave_machines("life-2", ["m1"])  # it is not his
    assert await pool.take_machines("life-2", ["m1"]) == []
    await pool.leave_machines("life-1", ["m1"])
    assert await pool.take_machines("life-2", ["m1", "m2"]) == ["m1"]
    await pool.end_life("life-1", "killed", 3.0)
    assert await pool.take_machines("life-2", ["m2"]) == ["m2"]
    assert MachineReader("m2", "life-2") in await pool.all(MachineReader)
