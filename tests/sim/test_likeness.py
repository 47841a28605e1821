"""The simulated host against what real ones were seen to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.sim.cluster import Cluster, SimLink
from tests.sim.life import Life
from tests.sim.likeness import FOLDER, FREEZE, LOCKSPACE, OTHER, SEQUENCES, THAW, UUID, Likeness, recorded_of
from vmctl.hosts.port import Link
from vmctl.model.records import HostRecord


def told_by(sequence: str) -> list[str]:
    """What two simulated hosts show."""
    cluster = Cluster(0)
    world = cluster.world

    async def past(link: Link, verb: str) -> None:
        machine, files = world.machines[link.name], world.files
        if verb in (FREEZE, THAW):
            machine.set_frozen(verb == FREEZE)
        elif verb == "files":
            for path in [path for path in files if path.startswith(f"{FOLDER}/")]:
                del files[path]
            for path in (f"{FOLDER}/disk.qcow2", f"{FOLDER}/other.qcow2", *(f"{LOCKSPACE}/{u}" for u in (UUID, OTHER))):
                files[path] = b""
        else:
            files.pop({"nokey": f"{LOCKSPACE}/{UUID}", "nodisk": f"{FOLDER}/disk.qcow2"}[verb], None)
        await asyncio.sleep(0.1)

    async def story(_cluster: Cluster) -> list[str]:
        links = []
        for name in ("kvm1", "kvm2"):
            record = await cluster.store.get(HostRecord, name)
            given = ((), Path("/nonexistent"), cluster.settings, asyncio.Semaphore(2), cluster.parts)
            links.append(SimLink(cluster, Life(), record, *given))
            await links[-1].connect()
        return await Likeness(links[0], links[1], past).run(sequence)

    found: list[str] = cluster.run(story)
    return found


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_simulated_host_answers_as_a_real_one(sequence: str) -> None:
    assert told_by(sequence) == recorded_of(sequence)
