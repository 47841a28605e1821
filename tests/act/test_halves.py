"""A VM of which only a part may be there is not started; that a delete takes the rest away, tests/stories/ tell."""

from __future__ import annotations

import pytest

from tests.act.crash import new_job
from tests.act.hosts import UUID, FakeHost
from vmctl.act import power
from vmctl.errors import Refused
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services


@pytest.mark.parametrize("why", ["half made: no word", "half deleted: a delete of it has not ended"])
async def test_what_is_half_there_is_not_started(services: Services, kvm1: FakeHost, why: str) -> None:
    kvm1.shows(None)
    await services.store.change(VMRecord, UUID, power=PowerState.STOPPED, host="", may_run_on={}, why=why)
    with pytest.raises(Refused, match="it is half") as caught:
        await power.start(services, await new_job(services, "start", "web1", vm=UUID))
    assert caught.value.hint == "vmctl delete web1" and "--as-registered" in caught.value.lines[0]
    assert not kvm1.started
