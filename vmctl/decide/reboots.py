"""Which hosts can be rebooted at once? Groups of hosts whose VMs all find a place on the hosts outside the group.

The groups follow each other: the moves of one begin where those before have left the VMs, and nobody is moved back, as
a host that was rebooted is empty and takes those of the next. Within a group, hosts join one by one, the emptiest
first; their VMs go where nothing is to be rebooted any more, else to those hosts that would join last. A host that has
taken VMs does not join, so that each VM moves once per group and every prefix of the moves is feasible.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from vmctl.decide import fit, score
from vmctl.decide.drain import cannot_leave
from vmctl.decide.search.compiled import compiled
from vmctl.decide.search.moves import apply_move, begin, may_go
from vmctl.decide.search.order import in_waves
from vmctl.decide.search.state import Flags, IndexedCluster, Ints, SearchState, build, costs
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostState
from vmctl.model.plans import Move
from vmctl.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that can be rebooted at once, after these moves."""

    hosts: tuple[str, ...]
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A host that cannot be emptied, and why; `vm` is the largest that finds no place or may not leave, if any."""

    host: str
    vm: str
    why: str


@dataclass(frozen=True, slots=True)
class Reboots:
    """The groups in order, the hosts that are in none, and one sentence."""

    groups: tuple[Group, ...]
    stuck: tuple[Stuck, ...]
    why: str


def reboots(cluster: Cluster, policy: Policy) -> Reboots:
    """How to reboot all hosts in few groups, with no VM stopped."""
    found = _Search.of(cluster, policy).run()
    # What an earlier group brought may stand in the way of a host that could have been emptied before: it goes first.
    early = {stuck.host for stuck in found.stuck} & _at_once(cluster, policy)
    if early:
        again = _Search.of(cluster, policy, frozenset(early)).run()
        found = min(found, again, key=lambda one: (len(one.stuck), len(one.groups)))
    return found


def _at_once(cluster: Cluster, policy: Policy) -> set[str]:
    """The hosts that can be emptied one at a time as the cluster is now."""
    search, found = _Search.of(cluster, policy), set()
    for row in search.waiting:
        search.closed[row] = True
        moved, stays = search.emptied(row, search.targets([]))
        search.undo(moved, row)
        search.closed[row] = False
        if stays is None:
            found.add(search.named.hosts[row].name)
    return found


# -- the search


@compiled
def settle(b: SearchState, party: Ints, targets: Ints) -> int:
    """Put VMs that must share a host on the first target that takes them all; -1, and nothing moved, for none."""
    for target in targets:
        done = 0
        for vm in party:
            if not may_go(b, vm, target):
                break
            done += 1
            apply_move(b, vm, target)
        if done == party.size:
            return int(target)
        for vm in party[:done]:
            apply_move(b, vm, b.vms[vm].home)
    return -1


@dataclass
class _Search:
    """Where VMs are while groups are made. Hosts and VMs are rows of the search's state."""

    cluster: Cluster
    policy: Policy
    named: IndexedCluster
    state: SearchState
    first: frozenset[str]  # hosts that are to join before others
    draining: Flags  # hosts that VMs leave anyhow
    closed: Flags  # hosts that take no VMs now: those of the group
    waiting: list[int]
    together: dict[str, list[int]]
    stuck: list[Stuck] = field(default_factory=list)

    @classmethod
    def of(cls, cluster: Cluster, policy: Policy, first: frozenset[str] = frozenset()) -> _Search:
        named = build(cluster, policy)
        together: dict[str, list[int]] = {}
        for row, vm in enumerate(named.vms):
            if vm.spec.together:
                together.setdefault(vm.spec.together, []).append(row)
        nothing = np.zeros(len(named.hosts), np.bool_)
        draining = np.array([host.draining for host in named.hosts], np.bool_)
        made = cls(cluster, policy, named, begin(named.state), first, draining, nothing, [], together)
        for row in range(len(named.hosts)):
            why = made.kept(row)
            if why is None:
                made.waiting.append(row)
            else:
                made.stuck.append(why)
        return made

    def kept(self, row: int) -> Stuck | None:
        """Why a host cannot be emptied, however much room there were elsewhere."""
        host = self.named.hosts[row]
        if host.state is not HostState.ONLINE:
            return Stuck(host.name, "", f"the host is {host.state}")
        vms = sorted(self.cluster.on(host.name), key=lambda vm: (-vm.spec.mem_mib, vm.name))
        reasons = [(vm.name, why) for vm in vms if (why := cannot_leave(vm, host.name, pinned_stay=True))]
        if not reasons:
            return None
        name, why = reasons[0]
        more = f", and {len(reasons) - 1} more VMs stay" if len(reasons) > 1 else ""
        return Stuck(host.name, name, f"{name} stays: {why}{more}")

    def run(self) -> Reboots:
        """Groups until no host is left that can be emptied."""
        groups = []
        while self.waiting:
            group = self.group()
            if not group.hosts:
                self.stuck += [self.reason(row) for row in self.waiting]
                break
            groups.append(group)
        stuck = tuple(sorted(self.stuck, key=lambda one: one.host))
        return Reboots(tuple(groups), stuck, _sentence(groups, stuck))

    def group(self) -> Group:
        """As many hosts as can be emptied together, one after the other."""
        self.state.vms["home"] = self.state.vms["at"]
        order = sorted(self.waiting, key=self.rank)
        joined: list[int] = []
        taken: set[int] = set()
        moved: list[int] = []
        for row in order:
            if row in taken:
                continue
            self.closed[row] = True
            gone, stays = self.emptied(row, self.targets(order))
            if stays is not None and not joined:  # alone, it need leave no host empty for others
                self.undo(gone, row)
                gone, stays = self.emptied(row, self.targets([]))
            if stays is None:
                joined.append(row)
                moved += gone
                taken |= {int(self.state.vms[vm]["at"]) for vm in gone}
            else:
                self.undo(gone, row)
                self.closed[row] = False
        self.closed[:] = False
        self.waiting = [row for row in self.waiting if row not in joined]
        return Group(tuple(sorted(self.named.hosts[row].name for row in joined)), self.moves(moved))

    def rank(self, row: int) -> tuple[bool, float, int]:
        """The order in which hosts join a group."""
        return self.named.hosts[row].name not in self.first, float(self.state.hosts[row]["used"][0]), row

    def targets(self, order: list[int]) -> Ints:
        """Hosts that may take VMs: those that are not to be emptied any more, the roomiest first, then the last."""
        room = self.state.hosts["room"][:, 0] - self.state.hosts["used"][:, 0]
        others = set(range(len(self.named.hosts))) - set(order)
        rows = [*sorted(others, key=lambda row: (-room[row], row)), *reversed(order)]
        found = np.array(rows, np.int64)
        return found[~self.closed[found]]

    def emptied(self, row: int, targets: Ints) -> tuple[list[int], int | None]:
        """Move the VMs of a host away: those that moved, and the largest that finds no place, if any."""
        moved: list[int] = []
        for party in self.parties(row):
            if settle(self.state, np.array(party, np.int64), self.meeting(party, targets)) < 0:
                return moved, party[0]
            moved += party
        return moved, None

    def parties(self, row: int) -> list[list[int]]:
        """VMs that must leave for the same host: one party each, the largest first."""
        found: dict[tuple[str, int], list[int]] = {}
        for vm in np.flatnonzero(self.state.vms["at"] == row)[::-1]:  # rows are sorted by size
            name = self.named.vms[vm].spec.together
            found.setdefault((name, -1 if name else int(vm)), []).append(int(vm))
        return sorted(found.values(), key=lambda party: -sum(self.named.vms[vm].spec.mem_mib for vm in party))

    def meeting(self, party: list[int], targets: Ints) -> Ints:
        """The targets where the party meets the rest of its together group; all, where there is no rest."""
        group = self.together.get(self.named.vms[party[0]].spec.together, [])
        homes = {int(self.state.vms[vm]["at"]) for vm in group if vm not in party}
        homes = {home for home in homes if not self.closed[home] and not self.draining[home]}
        if not homes:
            return targets
        return targets[targets == homes.pop()] if len(homes) == 1 else targets[:0]

    def undo(self, moved: list[int], row: int) -> None:
        """Put the VMs back on their host."""
        for vm in moved:
            apply_move(self.state, vm, row)

    def moves(self, vms: list[int]) -> tuple[Move, ...]:
        """The moves of a group in the order in which they were found."""
        hosts, found = self.named.hosts, []
        for vm in vms:
            guest, vm_row = self.named.vms[vm], self.state.vms[vm]
            source, target = hosts[int(vm_row["home"])].name, hosts[int(vm_row["at"])].name
            minutes = costs(guest, self.policy)[2]
            why = f"{source} is to be rebooted"
            found.append(
                Move(guest.name, source, target, why, mem_mib=guest.spec.mem_mib, minutes=minutes, uuid=guest.spec.uuid)
            )
        return in_waves(found)

    def reason(self, row: int) -> Stuck:
        """Why a host cannot be emptied: the largest VM that finds no place, and which rules refuse it."""
        self.closed[row] = True
        moved, stays = self.emptied(row, self.targets([]))
        now = self.pictured(row)
        self.undo(moved, row)
        self.closed[row] = False
        assert stays is not None, "a host that can be emptied joins a group"
        host, guest = self.named.hosts[row].name, self.named.vms[stays]
        others = [other for other in now.hosts if other.name != host]
        rules = Counter(no.rule for other in others if (no := fit.refusal(guest, other, now, self.policy)))
        counts = ", ".join(f"{rule} ({count} host{'s' * (count > 1)})" for rule, count in sorted(rules.items()))
        nobody = "there is no other host" if not others else "its group finds no place together"
        after = f" with {len(moved)} more of {host} moved away" if moved else ""
        return Stuck(
            host, guest.name, f"{guest.name} ({guest.spec.mem_mib} MiB) finds no place{after}: {counts or nobody}"
        )

    def pictured(self, leaving: int) -> Cluster:
        """The cluster as the search has it, one host draining."""
        hosts, vms = self.named.hosts, self.named.vms
        at = self.state.vms["at"]
        targets = {vm.spec.uuid: hosts[int(row)].name for vm, row in zip(vms, at, strict=True)}
        now = score.after(self.cluster, targets)
        name = hosts[leaving].name
        return replace(now, hosts=tuple(replace(h, draining=h.draining or h.name == name) for h in now.hosts))


def _sentence(groups: list[Group], stuck: tuple[Stuck, ...]) -> str:
    hosts, moves = sum(len(group.hosts) for group in groups), sum(len(group.moves) for group in groups)
    why = (
        f"{hosts} host{'s' * (hosts != 1)} in {len(groups)} group{'s' * (len(groups) != 1)}, "
        f"with {moves} move{'s' * (moves != 1)}"
    )
    return why + (f"; {len(stuck)} cannot be emptied" if stuck else "")
