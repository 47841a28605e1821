"""The dump of a running controller, and plans within a budget."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Server
from vmctl.commands.cluster import Rebalance
from vmctl.errors import Usage
from vmctl.formats import dump
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Budget, Plan
from vmctl.model.policy import Policy
from vmctl.model.rights import Principal
from vmctl.services.observe import observe


async def test_the_dump_is_the_cluster_and_the_policy(server: Server) -> None:
    cluster, policy = dump.load(json.dumps(await server.get("dump")))
    seen = await observe(server.controller.services)
    assert (cluster.hosts, cluster.vms, policy) == (seen.hosts, seen.vms, Policy())


@pytest.mark.parametrize(
    ("query", "budget"),
    [({}, Budget()), ({"moves": 3, "minutes": 2.5}, Budget(moves=3, minutes=2.5)), ({"gib": 7}, Budget(gib=7.0))],
)
async def test_a_plan_keeps_to_its_budget(
    server: Server, monkeypatch: pytest.MonkeyPatch, query: dict[str, Any], budget: Budget
) -> None:
    asked: list[Budget | None] = []

    def decided(_cluster: Cluster, _policy: Policy, budget: Budget | None = None) -> Plan:
        asked.append(budget)
        return Plan((), "nothing to do")

    monkeypatch.setattr("vmctl.decide.asked.rebalance", decided)
    assert (await server.get("rebalance", **query))["why"] == "nothing to do"
    task = await server.controller.tasks.submit(Rebalance(**query), Principal("test"), "cluster")
    await server.controller.tasks.wait(task.id)
    assert asked == [budget, budget]


@pytest.mark.parametrize("query", [{"moves": 0}, {"gib": -1}, {"hosts": 3}])
async def test_an_odd_budget_is_refused(server: Server, query: dict[str, Any]) -> None:
    with pytest.raises(Usage, match=next(iter(query))):
        await server.get("rebalance", **query)
