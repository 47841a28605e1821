"""Answers: what would be decided now. Nothing is recorded: who only looks changes nothing."""

from __future__ import annotations

from typing import Any

from vmctl.commands import cluster, hosts
from vmctl.decide.asked import DECIDED
from vmctl.door import answers
from vmctl.door.parts import ControllerParts
from vmctl.formats import dump as files
from vmctl.services.observe import measured


async def decided(parts: ControllerParts, asked: Any) -> Any:
    """The answer to a query that only deciding answers, on the cluster as it is measured now."""
    now = await measured(parts.services)
    # in a thread: a large cluster takes seconds, and nobody else may wait for them
    return await parts.services.threads.run(DECIDED[type(asked)], now, parts.services.policy, asked)


async def plan_rebalance(parts: ControllerParts, asked: cluster.PlanRebalance) -> answers.Plan:
    """What a rebalance would do."""
    found: answers.Plan = await decided(parts, asked)
    return found


async def plan_curve(parts: ControllerParts, asked: cluster.PlanCurve) -> list[answers.Plan]:
    """What each budget of moves buys."""
    found: list[answers.Plan] = await decided(parts, asked)
    return found


async def plan_drain(parts: ControllerParts, asked: hosts.PlanDrain) -> answers.Plan:
    """What a drain would do."""
    found: answers.Plan = await decided(parts, asked)
    return found


async def capacity(parts: ControllerParts, asked: cluster.Capacity) -> answers.Capacity:
    """What more fits."""
    found: answers.Capacity = await decided(parts, asked)
    return found


async def plan_reboots(parts: ControllerParts, asked: cluster.PlanReboots) -> answers.Reboots:
    """Which hosts can be rebooted at once."""
    found: answers.Reboots = await decided(parts, asked)
    return found


async def dump(parts: ControllerParts, _asked: cluster.Dump) -> answers.Document:
    """The cluster as a file."""
    return answers.Document(files.save(await measured(parts.services), parts.services.policy))
