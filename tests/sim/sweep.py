"""Every place of every deed: killed at each step, each call met by each fault, all in a lawless world.

Where a seed tries what it comes upon, a sweep leaves no place out; `DEEDS` says what is done, and after what.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from tests.sim.cluster import Cluster
from tests.sim.fates import KINDS
from tests.sim.story import Teller

MADE = ("lawless", "create web1", "then")
# What is tried -> what comes before it, and what is done after it: a start must never make a second copy.
DEEDS: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("lawless",), "create web1", ("start web1", "then")),
    ((*MADE, "stop web1", "then"), "start web1", ("start web1", "then")),
    (MADE, "stop web1", ("start web1 kvm2", "then")),
    (MADE, "stop web1 force", ("start web1 kvm2", "then")),
    (MADE, "migrate web1 kvm2", ("start web1 kvm3", "then")),
    (MADE, "migrate web1 cold", ("start web1 kvm3", "then")),
    (MADE, "reboot web1", ("start web1 kvm2", "then")),
    (MADE, "pause web1", ("resume web1", "then")),
    ((*MADE, "pause web1", "then"), "resume web1", ("stop web1", "then")),
    ((*MADE, "stop web1", "then"), "delete web1", ("create web1", "then")),
    ((*MADE, "create web2", "then"), "drain kvm1", ("undrain kvm1", "then")),
    ((*MADE, "agent web1 well", "wait 20"), "reset web1", ("start web1 kvm2", "then")),
    (("machine kvm4",), "join kvm4", ("join kvm4", "then", "leave kvm4", "then")),
    (("create web1", "then"), "leave kvm1 force", ("join kvm1", "then", "start web1", "then")),
    ((), "check kvm2", ("check kvm2", "then")),
    ((), "storage two /two", ("storage two /two", "then", "image big two", "then")),
    ((), "recheck shared", ("recheck shared", "then")),
    (("storage two /two", "then"), "forget two", ("storage two /two", "then")),
    ((), "image big", ("image big", "then", "unimage big", "then")),
    (("image big", "then"), "unimage big", ("image big", "then")),
    (
        (*MADE, "create web2 1024 kvm1", "then", "wait 60"),
        "rebalance",
        ("rebalance", "then"),
    ),
)


class Counted(NamedTuple):
    """What a deed takes."""

    steps: int  # of the controller
    calls: int  # to hosts
    commits: int  # to the registry


def counted(before: tuple[str, ...], deed: str) -> Counted:
    """How many places a deed has."""

    async def story(cluster: Cluster) -> Counted:
        teller = Teller(cluster)
        await cluster.start()
        for line in before:
            await teller.line(line)
        assert cluster.life is not None
        life, hosts, registry = cluster.life, cluster.fates, cluster.store.fates
        was = Counted(life.steps, hosts.drawn, registry.drawn)
        await teller.line(deed)
        await teller.line("then")
        return Counted(life.steps - was.steps, hosts.drawn - was.calls, registry.drawn - was.commits)

    found: Counted = Cluster(0).run(story)
    return found


def deaths() -> Iterator[list[str]]:
    """Each deed, by a controller that dies at each of its steps."""
    for before, deed, after in DEEDS:
        for number in range(1, counted(before, deed).steps + 1):
            yield [*before, f"killed at {number}", deed, "wait 5", "controller", "then", *after]


def hands() -> Iterator[list[str]]:
    """Each deed that a VM is in, by a controller that dies at each of its steps; somebody moves the VM then."""
    for before, deed, after in DEEDS:
        for number in range(1, counted(before, deed).steps + 1) if "web1" in f"{before} {deed}" else ():
            moved = "move web1 kvm3", "wait 5"
            yield [*before, f"killed at {number}", deed, "wait 5", *moved, "controller", "then", *after]


def depositions() -> Iterator[list[str]]:
    """Each deed, and at each step of it another controller takes over."""
    for before, deed, after in DEEDS:
        for number in range(1, counted(before, deed).steps + 1):
            yield [*before, f"deposed at {number}", deed, "wait 5", "then", *after]


def faults() -> Iterator[list[str]]:
    """Each deed, and each of its calls meets with each fault."""
    for before, deed, after in DEEDS:
        for number in range(1, counted(before, deed).calls + 1):
            for kind in KINDS:
                yield [*before, f"call {number} {kind}", deed, "then", *after]


def commits() -> Iterator[list[str]]:
    """Each deed, and each of its commits fails, or loses its answer."""
    for before, deed, after in DEEDS:
        for number in range(1, counted(before, deed).commits + 1):
            for kind in ("refused", "unanswered"):
                yield [*before, f"commit {number} {kind}", deed, "then", *after]


MOMENTS_S = (0.01, 0.1, 0.3, 1.0, 2.0, 2.3, 2.5, 2.6, 2.7, 2.8, 3.5)  # of a migration that takes 2.8 s
TROUBLES = (
    *(("cut {host}", "heal {host}"), ("freeze {host}", "thaw {host}"), ("off {host}", "on {host}")),
    ("kill", "controller"),
    ("kill|cut kvm2|controller", "heal kvm2"),
    ("kill|cut kvm1|controller", "heal kvm1"),
    ("kill|freeze kvm2|controller", "thaw kvm2"),
    ("cancel", "wait 0"),
)


def moments() -> Iterator[list[str]]:
    """A migration, and at each moment of it some trouble with each of its hosts; also where its last reply is lost."""
    for lost in ((), ("fate kvm1 finish unanswered",)):
        for moment in MOMENTS_S:
            for trouble, mended in TROUBLES:
                for host in ("kvm1", "kvm2") if "{host}" in trouble else ("",):
                    troubles = trouble.format(host=host).split("|")
                    lines = [*MADE, *lost, "migrate web1 kvm2", f"wait {moment}", *troubles]
                    yield [*lines, "wait 40", "start web1 kvm3", "wait 20", mended.format(host=host), "wait 30", "then"]


SWEEPS = {
    "moments": moments,
    "deaths": deaths,
    "hands": hands,
    "depositions": depositions,
    "faults": faults,
    "commits": commits,
}


def every() -> Iterator[list[str]]:
    """All of them."""
    return chain.from_iterable(stories() for stories in SWEEPS.values())
