"""The tables of states, who keeps to them, and how they are drawn."""

from __future__ import annotations

import pytest

from tests import diagrams
from vmctl.errors import VmctlError
from vmctl.model.hosts import HostState
from vmctl.model.records import TaskState, VMRecord
from vmctl.model.states import LINK, MACHINES, POWER, TASK, Machine
from vmctl.model.vms import PowerState, Spec
from vmctl.ports.store import Store


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.of)
def test_every_state_is_in_its_table(machine: Machine) -> None:
    kind = type(machine.transitions[0].target)
    reached = {one.target for one in machine.transitions} | {TaskState.QUEUED}
    assert set(kind) <= reached, "a state that nothing leads to"
    rows = {(one.target, one.if_seen_gone) for one in machine.transitions}
    assert len(rows) == len(machine.transitions), "one row for each state"


@pytest.mark.parametrize(("machine", "before", "after"), [
    (TASK, TaskState.DONE, TaskState.RUNNING),
    (TASK, TaskState.FAILED, TaskState.DONE),
    (TASK, TaskState.QUEUED, TaskState.DONE),
    (POWER, PowerState.STOPPED, PowerState.MIGRATING),
    (POWER, PowerState.UNKNOWN, PowerState.STARTING),
    (POWER, PowerState.MIGRATING, PowerState.STARTING),
])  # fmt: skip
def test_what_follows_nothing_is_refused(machine: Machine, before: TaskState, after: TaskState) -> None:
    with pytest.raises(VmctlError, match=f"that is {before} cannot become {after}"):
        machine.check(before, after)


def test_a_state_may_be_written_again() -> None:
    for machine in MACHINES:
        for one in machine.transitions:
            machine.check(one.target, one.target)
    LINK.check(HostState.UNKNOWN, HostState.ONLINE)


async def test_a_lease_keeps_to_the_table(registry: Store) -> None:
    """What may run on a silent host is not started: the registry itself refuses."""
    vm = VMRecord(Spec("u1", "web1", 1, 64), 1.0, host="kvm1", power=PowerState.UNKNOWN, may_run_on={"kvm1": ""})
    await registry.add_vm(vm)
    with pytest.raises(VmctlError, match="a VM that is unknown cannot become starting"):
        await registry.lease(vm, "kvm2", PowerState.STARTING)
    assert (await registry.vm("web1")).power is PowerState.UNKNOWN
    seen_gone = await registry.lease(vm, "kvm1", PowerState.STARTING, gone=("kvm1",))
    assert seen_gone.power is PowerState.STARTING


def test_the_page_has_the_tables_as_they_are() -> None:
    text = diagrams.PAGE.read_text()
    assert diagrams.page(text) == text, "python -m tests.diagrams"
