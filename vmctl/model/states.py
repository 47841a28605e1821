"""What has states, and which follows which: the tables that tasks, VMs and links to hosts keep to. Pure.

`python -m tests.diagrams` draws them into ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vmctl.errors import VmctlError
from vmctl.model.hosts import HostState
from vmctl.model.records import TaskState
from vmctl.model.vms import PowerState


@dataclass(frozen=True, slots=True)
class Transition:
    """From any of these states to that one, and what makes it so."""

    sources: tuple[StrEnum, ...]
    target: StrEnum
    cause: str
    if_seen_gone: bool = False  # only by who has just seen that a host does not have it (any more)

    def allows(self, before: StrEnum, after: StrEnum, seen_gone: bool) -> bool:
        """Whether it leads from one to the other."""
        return after is self.target and before in self.sources and (seen_gone or not self.if_seen_gone)


@dataclass(frozen=True, slots=True)
class Machine:
    """All transitions of one kind of thing; a state may always be written again."""

    of: str
    transitions: tuple[Transition, ...]

    def check(self, before: StrEnum, after: StrEnum, seen_gone: bool = False) -> None:
        """Raises VmctlError for a transition that is none: a fault of ours, found before anything follows from it."""
        if before is not after and not any(one.allows(before, after, seen_gone) for one in self.transitions):
            raise VmctlError(f"{self.of} that is {before} cannot become {after}")

    def lines(self) -> Iterator[str]:
        """The table for people: one line for each transition."""
        every = {state for one in self.transitions for state in (*one.sources, one.target)}
        for one in self.transitions:
            others = every - {one.target}
            missing = sorted(others - set(one.sources))
            sources = " | ".join(one.sources)
            if len(one.sources) > 3:
                sources = f"any but {', '.join(missing)}" if missing else "any"
            yield f"{sources:26} -> {one.target:10} {one.cause}"


T = TaskState
TASK = Machine(
    "a task",
    (
        Transition((T.QUEUED,), T.RUNNING, "its handler begins; again where another controller takes it over"),
        Transition((T.RUNNING,), T.DONE, "its handler has come to its end"),
        Transition((T.QUEUED, T.RUNNING), T.FAILED, "an error; or nobody may go on with what a controller left"),
        Transition((T.RUNNING,), T.CANCELLED, "it was asked to stop, and did between two steps"),
    ),
)
P = PowerState
_EVERY = tuple(P)
# What a host shows is written whatever it is: it is the truth. What a task is about to do is written before it is done,
# and only where that cannot make a second copy: what may still run somewhere is not started, what is off does not move.
# (The rest is not asked for here, as the registry's word may be some seconds older than what the task has just seen.)
_UNSURE = (P.UNKNOWN, P.MIGRATING)
_KNOWN = (P.STOPPED, P.STARTING, P.RUNNING, P.PAUSED, P.STOPPING, P.CRASHED)
_ON = (P.STARTING, P.RUNNING, P.PAUSED, P.STOPPING, P.MIGRATING, P.CRASHED, P.UNKNOWN)
POWER = Machine(
    "a VM",
    (
        Transition(_KNOWN, P.STARTING, "a start"),
        Transition(_UNSURE, P.STARTING, "a reboot or a cold move that has just seen it gone", if_seen_gone=True),
        Transition(_ON, P.MIGRATING, "a live migration is about to begin"),
        Transition(_EVERY, P.STOPPING, "a cold move asks its guest to shut down, or its host shows that it does"),
        Transition(_EVERY, P.RUNNING, "its host shows that it runs"),
        Transition(_EVERY, P.PAUSED, "its host shows that it is paused"),
        Transition(_EVERY, P.CRASHED, "its host shows that it crashed"),
        Transition(_EVERY, P.STOPPED, "every host that may have it said that it is gone, or somebody signed for it"),
        Transition(_EVERY, P.UNKNOWN, "a host that may run it is silent, was removed, or shows what cannot be"),
    ),
)
H = HostState
LINK = Machine(
    "a link to a host",
    (
        Transition((H.UNKNOWN, H.UNTRUSTED), H.ONLINE, "logged in, libvirt answers, its domains were listed"),
        Transition((H.ONLINE, H.UNTRUSTED), H.UNKNOWN, "it does not answer, or something of it is missing"),
        Transition((H.ONLINE, H.UNKNOWN), H.UNTRUSTED, "it shows another SSH key, or is another machine"),
    ),
)
MACHINES = (TASK, POWER, LINK)
