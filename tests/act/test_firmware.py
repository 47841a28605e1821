"""What is only on a VM's own host, a TPM or firmware variables, is not ended with it, nor made anew elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.act.crash import new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import power, stop
from vmctl.hosts import domainxml
from vmctl.hosts.shown import Shown
from vmctl.model.plans import Placement
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.services import Services

PLAIN = domainxml.build(Spec(UUID, "web1", 1, 512), domainxml.Site("kvm"))
TPM = "<tpm><backend type='emulator' version='2.0'{}/></tpm></devices>"


@pytest.mark.parametrize("verb", ["stop", "reboot"])
@pytest.mark.parametrize(("transient", "lasts", "refused"), [
    (True, "", True),
    (True, " persistent_state='yes'", False),
    (False, "", False),
])  # fmt: skip
async def test_a_tpm_that_would_end_with_its_domain(
    services: Services, kvm1: FakeHost, hurry: None, verb: str, transient: bool, lasts: str, refused: bool
) -> None:
    xml = PLAIN.replace("</devices>", TPM.format(lasts))
    kvm1.kept[UUID] = Shown(live=xml, again=xml) if transient else Shown(live=xml, kept=xml)
    kvm1.shows(PowerState.RUNNING)
    await services.store.change(VMRecord, UUID, adopted=True, transient=transient, definition=xml)
    handler: Any = {"stop": stop.stop, "reboot": power.reboot}[verb]
    said = await to_its_end(services, handler, await new_job(services, verb, "web1", vm=UUID, timeout_s=1.0))
    assert ("delete its TPM" in said) == refused and ("shutdown" in kvm1.done) != refused


async def test_a_transient_vm_starts_where_its_firmwares_variables_are(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def choose(_services: Services, _job: Any, _vm: Any, host: str, *_: Any) -> Placement:
        return Placement("web1", host or "kvm2", (), "it")

    monkeypatch.setattr(power, "choose", choose)
    own: dict[str, Any] = {"stuck_cold": ["its firmware's variables are on kvm1's own disk"], "definition": PLAIN}
    off: dict[str, Any] = {"power": PowerState.STOPPED, "may_run_on": {}}
    await services.store.change(VMRecord, UUID, adopted=True, transient=True, **own, **off)
    elsewhere = await new_job(services, "start", "web1", vm=UUID, host="kvm2")
    assert "cannot start on kvm2: its firmware's variables" in await to_its_end(services, power.start, elsewhere)
    await to_its_end(services, power.start, await new_job(services, "start", "web1", vm=UUID))
    assert kvm1.started and not kvm2.started
