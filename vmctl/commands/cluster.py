"""Arguments: the cluster as a whole: plans, schedules, what fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import MaxLen

from vmctl.commands.fields import Amount, Moves, Part, Seconds
from vmctl.commands.rows import Asked, Command, On, Query, task
from vmctl.model.rights import Permission as May


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Even the cluster out, with at most so many moves, GiB of memory over the wire, and minutes on it.

    `coolest`: only the hottest host counts.
    """

    moves: Moves | None = None
    gib: Amount | None = None
    minutes: Amount | None = None
    coolest: bool | None = None

    @property
    def subject(self) -> str:
        """What its task is about."""
        return "cluster"


@dataclass(frozen=True, slots=True)
class SetSchedule:
    """Do something by the clock: five fields of cron text, in UTC; mode advise or act."""

    name: Part
    cron: Annotated[str, MaxLen(200)]
    mode: str = "advise"


@dataclass(frozen=True, slots=True)
class RemoveSchedule:
    """Take a schedule away."""

    name: Part


# -- queries


@dataclass(frozen=True, slots=True)
class About:
    """Who answers."""


@dataclass(frozen=True, slots=True)
class Top:
    """Hosts, VMs and the score at one moment."""


@dataclass(frozen=True, slots=True)
class History:
    """A host's or VM's load: points of the last quarter of an hour, and means of 1 and 10 minutes further back.

    CPU in cores, memory in MiB; `since_s` seconds back from now.
    """

    kind: Literal["host", "vm"]
    name: Part
    since_s: Seconds = 900.0

    @property
    def machine(self) -> str:
        """The VM that it is about; empty: a host."""
        return self.name if self.kind == "vm" else ""


@dataclass(frozen=True, slots=True)
class Dump:
    """The cluster now and the policy, as a dump file holds them."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What Prometheus scrapes: the controller's state and counters, as text."""


@dataclass(frozen=True, slots=True)
class PlanRebalance(Rebalance):
    """What a rebalance would do now."""


@dataclass(frozen=True, slots=True)
class PlanCurve:
    """The best plans for 1, 2, 4, ... moves."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What more fits, what could be lost and what to buy; `size` as 2c/4G, as often as wanted."""

    size: list[str] | None = None


@dataclass(frozen=True, slots=True)
class PlanReboots:
    """Which hosts can be rebooted at once, after which moves."""


@dataclass(frozen=True, slots=True)
class ListSchedules:
    """What runs by the clock."""


# fmt: off
ROWS: tuple[Asked, ...] = (
    task("rebalance", Rebalance, "POST rebalance", May.PLAN),
    Command(SetSchedule, "PUT schedules/{name}", May.SCHEDULES, "schedule set"),
    Command(RemoveSchedule, "DELETE schedules/{name}", May.SCHEDULES, "schedule remove"),
    Query(About, "GET about", May.LOOK, on=On.NOBODY),
    Query(Top, "GET top", May.LOOK, by_any=True),
    Query(History, "GET history/{kind}/{name}", May.LOOK, on=On.MACHINE, by_any=True),
    Query(Dump, "GET dump", May.LOOK),
    Query(Metrics, "GET metrics", May.LOOK),
    Query(PlanRebalance, "GET rebalance", May.LOOK),
    Query(PlanCurve, "GET rebalance/curve", May.LOOK),
    Query(Capacity, "GET capacity", May.LOOK),
    Query(PlanReboots, "GET reboot-plan", May.LOOK),
    Query(ListSchedules, "GET schedules", May.LOOK, live=True, by_any=True),
)
# fmt: on
