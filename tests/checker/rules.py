"""What must never be, by two looks one after the other. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.checker.machine import Qemu

TAKES = ("delete", "create")  # a create that failed takes away what it began with
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Look:
    """All that was seen at one time. A database that does not answer leaves its part as it was."""

    qemus: list[Qemu] = field(default_factory=list)
    tasks: dict[int, tuple[str, str, str]] = field(default_factory=dict)  # number -> kind, subject, state
    vms: dict[str, str] = field(default_factory=dict)  # UUID -> name
    lives: dict[str, bool] = field(default_factory=dict)  # life -> whether it has ended
    lead: tuple[int, str] = (0, "")  # term, life


def broken(before: Look, now: Look) -> Iterator[str]:
    """A line for each rule that does not hold."""
    yield from _one_writer(now)
    for number, (kind, _, state) in before.tasks.items():
        then = now.tasks.get(number)
        if then is None:
            yield f"task {number} ({kind}) is gone"
        elif state in ENDED and then[2] != state:
            yield f"task {number} ({kind}) had ended as {state} and is {then[2]}"
    for life, ended in before.lives.items():
        if ended and now.lives.get(life) is False:
            yield f"life {life} had ended and lives"
    if now.lead[0] < before.lead[0]:
        yield f"the lead's term fell from {before.lead[0]} to {now.lead[0]}"
    if now.lead[0] == before.lead[0] and now.lead[1] != before.lead[1] and before.lead[1]:
        yield f"two lead in term {now.lead[0]}: {before.lead[1]} and {now.lead[1]}"
    for uuid, name in before.vms.items():
        if uuid not in now.vms and not any((kind, name) == told[:2] for told in now.tasks.values() for kind in TAKES):
            yield f"VM {name} ({uuid}) is gone from the registry, and no command took it"


def _one_writer(now: Look) -> Iterator[str]:
    writers = defaultdict(list)
    for one in now.qemus:
        for file in one.writes:
            writers[file].append(f"{one.uuid} on {one.host} (pid {one.pid})")
    for file, those in writers.items():
        if len(those) > 1:
            yield f"file {file} is written by {len(those)}: {', '.join(those)}"
