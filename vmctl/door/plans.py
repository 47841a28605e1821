"""Answers: what would be decided now. Nothing is recorded: who only looks changes nothing."""

from __future__ import annotations

from typing import Any

from vmctl import dump as files
from vmctl.act import power
from vmctl.commands import cluster, hosts
from vmctl.deciding import DECIDED
from vmctl.door import answers
from vmctl.door.services import Services


async def decided(services: Services, asked: Any) -> Any:
    """The answer to a query that only deciding answers, on the cluster as it is measured now."""
    measured = await power.measured(services.world)
    # in a thread: a large cluster takes seconds, and nobody else may wait for them
    return await services.world.threads.run(DECIDED[type(asked)], measured, services.world.policy, asked)


async def plan_rebalance(services: Services, asked: cluster.PlanRebalance) -> answers.Plan:
    """What a rebalance would do."""
    found: answers.Plan = await decided(services, asked)
    return found


async def plan_curve(services: Services, asked: cluster.PlanCurve) -> list[answers.Plan]:
    """What each budget of moves buys."""
    found: list[answers.Plan] = await decided(services, asked)
    return found


async def plan_drain(services: Services, asked: hosts.PlanDrain) -> answers.Plan:
    """What a drain would do."""
    found: answers.Plan = await decided(services, asked)
    return found


async def capacity(services: Services, asked: cluster.Capacity) -> answers.Capacity:
    """What more fits."""
    found: answers.Capacity = await decided(services, asked)
    return found


async def plan_reboots(services: Services, asked: cluster.PlanReboots) -> answers.Reboots:
    """Which hosts can be rebooted at once."""
    found: answers.Reboots = await decided(services, asked)
    return found


async def dump(services: Services, _asked: cluster.Dump) -> answers.Document:
    """The cluster as a file."""
    return answers.Document(files.save(await power.measured(services.world), services.world.policy))
