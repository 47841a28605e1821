"""What a link believes of domains, in the simulated world: what it lists now counts more than what it heard before."""

from __future__ import annotations

import asyncio

from tests.sim.cluster import Cluster
from tests.sim.story import Teller


def test_a_domain_that_is_here_did_not_move_away() -> None:
    """It may have come back while nobody listened; else its next end would be taken for a move."""

    async def story(cluster: Cluster) -> None:
        teller = Teller(cluster)
        await cluster.start()
        for line in ("create web1", "then"):
            await teller.line(line)
        assert cluster.controller is not None
        link = cluster.controller.services.link("kvm1")
        vm = await cluster.store.vm("web1")
        link.moved_away.add(vm.uuid)
        link.put_out.add(vm.uuid)
        await asyncio.sleep(15.0)
        assert not link.moved_away and not link.put_out

    Cluster(0).run(story)
