"""A host that was never reached since the controller began: nothing is known of it, and nobody else is kept waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.decide.clusters import host, vm
from vmctl.decide import score
from vmctl.decide.capacity import capacity
from vmctl.decide.drain import drain
from vmctl.decide.place import place
from vmctl.decide.rebalance import curve, rebalance
from vmctl.decide.reboots import reboots
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostState
from vmctl.model.plans import Budget, Placement
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Spec

UNREACHED = host("kvm3", state=HostState.UNKNOWN, cpus=0, mem_mib=0, load=None)
CLUSTER = Cluster(
    (host("kvm1"), host("kvm2"), UNREACHED), (vm("a", "kvm1"), vm("b", "kvm1"), vm("c", "kvm3"), vm("d", "kvm2"))
)
QUESTIONS: dict[str, Callable[[Policy], Any]] = {
    "place": lambda p: place(VM(Spec("u9", "new", 1, 128)), CLUSTER, p),
    "rebalance": lambda p: rebalance(CLUSTER, p),
    "coolest": lambda p: rebalance(CLUSTER, p, Budget(coolest=True)),
    "curve": lambda p: curve(CLUSTER, p),
    "drain": lambda p: drain(CLUSTER, "kvm1", p),
    "drain it": lambda p: drain(CLUSTER, "kvm3", p),
    "capacity": lambda p: capacity(CLUSTER, p, ()),
    "reboots": lambda p: reboots(CLUSTER, p),
    "score": lambda p: score.terms(CLUSTER, p),
}


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_its_answer(question: str, spare: bool) -> None:
    assert QUESTIONS[question](Policy(spare_host=spare)) is not None


def test_no_vm_is_placed_there_and_it_counts_nothing() -> None:
    found = QUESTIONS["place"](Policy())
    assert isinstance(found, Placement) and found.host != "kvm3"
    without = Cluster(CLUSTER.hosts[:2], tuple(one for one in CLUSTER.vms if one.host != "kvm3"))
    assert score.terms(CLUSTER, Policy()) == score.terms(without, Policy())
