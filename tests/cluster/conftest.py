"""Three controllers and four hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.watchers import HOSTS, Clock, Replicas
from vmctl.model.records import HostRecord
from vmctl.ports.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def three(registry: Store, clock: Clock, tmp_path: Path) -> Replicas:
    """Three controllers and four hosts, which are shared out."""
    for name in HOSTS:
        about = {"host_uuid": f"machine-{name}"}
        await registry.put(HostRecord(name, name, "k", "f", 1.0, about=about))
    made = Replicas(registry, clock, tmp_path)
    for name in ("a", "b", "c"):
        await made.begin(name)
    await made.all["a"].act()
    await made.look()
    return made
