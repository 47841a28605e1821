"""What is asked about processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from vmctl.commands.fields import Part, Seconds, Text
from vmctl.commands.rows import Asked, On, Query
from vmctl.model.rights import Permission as May

MOST = 5000


@dataclass(frozen=True, slots=True)
class ListProcesses:
    """Processes that run, the busiest first; with `history` also those that ended, the newest first.

    With `jobs` the runs of jobs alone.
    """

    machine: Text | None = None
    program: Text | None = None
    history: bool = False
    jobs: bool = False
    most: Annotated[int, Ge(1), Le(MOST)] = 1000


@dataclass(frozen=True, slots=True)
class ListShortLived:
    """Programs whose runs were too short for a row each, per machine and day."""

    machine: Text | None = None
    days: Annotated[float, Ge(0), Le(3660)] = 1.0


@dataclass(frozen=True, slots=True)
class ShowProcess:
    """One incarnation by gpid, UUID or the beginning of a UUID: its last ten minutes, and its previous lives."""

    name: Part


@dataclass(frozen=True, slots=True)
class Who:
    """Who listens on IP:PORT, or did at a time (UTC seconds)."""

    endpoint: Part
    at: Seconds | None = None


@dataclass(frozen=True, slots=True)
class ListPrograms:
    """Names of programs that begin like `near`."""

    near: Text = ""


# fmt: off
ROWS: tuple[Asked, ...] = (
    Query(ListProcesses, "GET processes", May.LOOK, on=On.SIGHT, by_any=True),
    Query(ListShortLived, "GET processes/short-lived", May.LOOK, on=On.SIGHT, by_any=True),
    Query(ShowProcess, "GET processes/{name}", May.LOOK, on=On.SIGHT, by_any=True),
    Query(Who, "GET who/{endpoint}", May.LOOK, on=On.SIGHT, by_any=True),
    Query(ListPrograms, "GET programs", May.LOOK),
)
# fmt: on
