"""Which moves of a plan wait for which."""

from __future__ import annotations

from vmctl.act.plans import leave_first
from vmctl.model.plans import Move, Plan


def test_a_move_waits_for_room_and_for_its_own_vm() -> None:
    ways = [("parked", "kvm1", "kvm3"), ("big", "kvm2", "kvm1"), ("parked", "kvm3", "kvm2"), ("other", "kvm4", "kvm5")]
    plan = Plan(tuple(Move(vm, source, target, "") for vm, source, target in ways), "")
    assert [leave_first(plan, number) for number in range(4)] == [[], [0], [0, 1], []]
