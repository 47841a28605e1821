"""Which controller watches which host, and what it tells the others of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class HostWatch:
    """The life that samples a host. What it writes of it carries the epoch, which counts who watched it so far."""

    host: str
    life: str
    epoch: int
    since: float  # UTC seconds, by the clock of whoever gave it out: for people


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host's watcher tells of it. It grants and denies nothing: whoever acts on a host asks the host."""

    host: str
    epoch: int
    number: int  # counts the watcher's reports
    body: dict[str, Any] = field(default_factory=dict)
    told_at: float = field(default=0.0, compare=False)  # UTC seconds by the registry's clock: it decides nothing
    told_number: int = field(default=-1, compare=False)  # the report that this is of: earlier versions write neither
    digest: str = field(default="", compare=False)  # of its body, where that is in a cache, too


def heard(watches: Iterable[HostWatch], reports: Iterable[HostReport]) -> Iterator[tuple[HostWatch, bool]]:
    """The watches of which their lives tell something now, and whether each reaches its host."""
    told = {(one.host, one.epoch): one.body["away_s"] is None for one in reports if "away_s" in one.body}
    return ((one, told[one.host, one.epoch]) for one in watches if (one.host, one.epoch) in told)


@dataclass(frozen=True, slots=True)
class MachineReader:
    """The life that keeps the ledger of a machine (a VM's or a host's UUID): of two, each would miss what the other
    saw."""

    machine: str
    life: str
