"""The life of a cluster: load changes, hosts drain, VMs come, plans are carried out or interrupted; what must hold."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.decide.clusters import EAGER, broken_pairs, clusters, named, refused, total, vm
from vmctl.decide import fit, score
from vmctl.decide.drain import drain
from vmctl.decide.place import place
from vmctl.decide.rebalance import rebalance
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move, Placement
from vmctl.model.policy import Policy
from vmctl.model.vms import PowerState, VMLoad

POLICY: Policy = replace(EAGER, cooldown_s=600.0, effort=0.1)
DRAINED = "drained"


def opened(found: Cluster, name: str, draining: bool) -> Cluster:
    """The cluster with one host draining, or not."""
    hosts = tuple(replace(host, draining=draining) if host.name == name else host for host in found.hosts)
    return replace(found, hosts=hosts)


class Life(RuleBasedStateMachine):
    """What a plan says comes true: loads go where their VMs go, and nothing else changes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Cluster((), ())
        self.born = 0
        self.broken: set[tuple[str, str, str]] = set()  # pairs that were not as they should be from the start
        self.full: set[str] = set()  # hosts that were promised more than they have from the start

    @initialize(found=clusters(most_hosts=4, most_vms=6))
    def begin(self, found: Cluster) -> None:
        """Any cluster."""
        self.now = found
        self.broken, self.full = broken_pairs(found), self.overfull()

    def overfull(self) -> set[str]:
        """Hosts that are promised more memory than they may be."""
        return {
            host.name
            for host in self.now.hosts
            if fit.promised_mib(self.now.on(host.name), POLICY)
            > fit.limit_mib(host, POLICY) - fit.beside_mib(host, self.now)
        }

    def carry_out(self, moves: tuple[Move, ...]) -> None:
        """The moves are done, and the VMs rest. One that a plan parks goes on in the same plan: it is one journey."""
        assert refused(self.now, moves, POLICY) == []
        before, began = self.now, [move.vm for move in moves]
        for number, move in enumerate(moves):
            guest, host = named(self.now, move.vm), self.now.host(move.source)
            if move.why != DRAINED:
                rested = named(before, move.vm).moved_s_ago
                assert rested is None or rested >= POLICY.cooldown_s
                assert began[:number].count(move.vm) <= 1, "parked more than once"
                assert move.target != named(before, move.vm).host, "parked for nothing"
                assert not (guest.busy or guest.spec.pinned) and host is not None and not host.draining
            moved = score.moved(self.now, guest, move.target, POLICY)
            guests = tuple(replace(one, moved_s_ago=0.0) if one.name == move.vm else one for one in moved.vms)
            self.now = replace(moved, vms=guests)

    @rule(cpu=st.floats(0, 4), data=st.data())
    def a_load_changes(self, cpu: float, data: st.DataObject) -> None:
        """A VM uses more, or less, and so does its host."""
        guest = data.draw(st.sampled_from(self.now.vms))
        host = self.now.host(guest.host)
        if guest.load is None or host is None or host.load is None:
            return
        more = cpu - guest.load.cpu
        guests = tuple(
            replace(one, load=replace(guest.load, cpu=cpu)) if one.name == guest.name else one for one in self.now.vms
        )
        load = replace(host.load, cpu=max(0.0, host.load.cpu + more))
        hosts = tuple(replace(one, load=load) if one.name == host.name else one for one in self.now.hosts)
        self.now = replace(self.now, hosts=hosts, vms=guests)

    @rule(seconds=st.sampled_from((10.0, 300.0, 700.0)))
    def time_passes(self, seconds: float) -> None:
        """VMs have rested for longer."""
        guests = tuple(
            one if one.moved_s_ago is None else replace(one, moved_s_ago=one.moved_s_ago + seconds)
            for one in self.now.vms
        )
        self.now = replace(self.now, vms=guests)

    @rule(mem_mib=st.sampled_from((128, 512, 2048)))
    @precondition(lambda self: self.born < 4)
    def a_vm_comes(self, mem_mib: int) -> None:
        """It is placed where all rules let it, and measured at once."""
        self.born += 1
        guest = vm(f"new{self.born}", mem_mib=mem_mib)
        found = place(guest, self.now, POLICY)
        if isinstance(found, Placement):
            target = self.now.host(found.host)
            assert target is not None and fit.refusal(guest, target, self.now, POLICY) is None
            new = replace(guest, power=PowerState.RUNNING, load=VMLoad(0.0, 0), moved_s_ago=None)
            self.now = score.moved(self.now, new, found.host, POLICY)

    @rule(data=st.data())
    def a_host_drains(self, data: st.DataObject) -> None:
        """Its VMs leave as far as they can, and it is open again."""
        host = data.draw(st.sampled_from(self.now.hosts))
        moves = drain(self.now, host.name, POLICY).moves
        self.now = opened(self.now, host.name, draining=True)  # so a group that leaves may be on two hosts for a while
        self.carry_out(tuple(replace(move, why=DRAINED) for move in moves))
        self.now = opened(self.now, host.name, draining=host.draining)

    @rule(done=st.integers(0, 6))
    def a_plan_is_interrupted(self, done: int) -> None:
        """Its first moves are done."""
        self.carry_out(rebalance(self.now, POLICY).moves[:done])

    @rule()
    def a_plan_is_carried_out(self) -> None:
        """The score is lower then, and the same load brings no second plan, now or once all have rested."""
        plan = rebalance(self.now, POLICY)
        before = total(self.now, POLICY)
        self.carry_out(plan.moves)
        assert not plan.moves or total(self.now, POLICY) < before
        assert rebalance(self.now, POLICY).moves == ()

    @invariant()
    def nothing_got_worse(self) -> None:
        """No pair and no host is worse off than it was at the start, and every VM is on a host of the cluster."""
        assert broken_pairs(self.now) <= self.broken and self.overfull() <= self.full
        assert len({one.name for one in self.now.vms}) == len(self.now.vms)
        assert all(self.now.host(one.host) for one in self.now.vms if one.host)


MANY = settings.get_current_profile_name() == "all"
Life.TestCase.settings = settings(max_examples=5000 if MANY else 50, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
