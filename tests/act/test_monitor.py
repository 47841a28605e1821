"""Watching a migration: an abort that hangs with its target's QEMU ends by that one's end, and only then."""

from __future__ import annotations

from typing import cast

import pytest

from tests.act.crash import new_job
from tests.act.hosts import UUID, FakeHost
from vmctl.act.monitor import ABORT_S, MigrationMonitor
from vmctl.errors import Cancelled
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import LEFT_OVER
from vmctl.model.vms import PowerState
from vmctl.services import Services


@pytest.mark.parametrize(
    ("here", "since_s", "dropped"),
    [
        (PowerState.RUNNING, ABORT_S + 1, True),
        (PowerState.RUNNING, ABORT_S - 1, False),
        (PowerState.PAUSED, ABORT_S + 1, False),  # the copy may have the only whole memory
    ],
)
async def test_an_abort_that_hangs(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, here: PowerState, since_s: float, dropped: bool
) -> None:
    kvm1.shows(here)
    kvm2.shows(PowerState.PAUSED, why=min(LEFT_OVER))
    job, vm = await new_job(services, "migrate", "web1", vm=UUID), await services.store.vm("web1")
    watch = MigrationMonitor(services, job, vm, cast(HostLink, kvm1), "kvm2")
    watch.aborted, watch.aborted_at = Cancelled("as asked"), services.clock.monotonic() - since_s
    await watch.look()
    assert ("destroy" in kvm2.done) == dropped and "destroy" not in kvm1.done
