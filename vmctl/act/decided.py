"""Why a VM is where it is: the newest decision that was carried out, and what was decided since and not done."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.model.records import DecisionRecord, Task, TaskState, VMRecord
from vmctl.ports.store import Store

MOST = 50


@dataclass(frozen=True, slots=True)
class Undone:
    """A decision that its task did not carry out."""

    made_at: float
    kind: str
    why: str
    error: str


async def about(store: Store, vm: VMRecord, at: float | None) -> tuple[DecisionRecord | None, list[Undone]]:
    """(the decision that holds, or held at that time; those made after it and not done, newest first)."""
    found = await store.decisions(vm.uuid, before=at, most=MOST)
    found = found or await store.decisions(vm.name, before=at, most=MOST)  # as earlier versions kept them
    undone: list[Undone] = []
    for one in reversed([each for each in found if each.made_at >= vm.created_at - 1]):
        task = await store.find(Task, one.detail.get("task", 0))
        if task is None or task.state not in (TaskState.FAILED, TaskState.CANCELLED):
            return one, undone
        undone.append(Undone(one.made_at, one.kind, one.why, str(task.error.get("message", task.state))))
    return None, undone
