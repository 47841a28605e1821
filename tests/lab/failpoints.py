"""Places of a task at which a controller of the lab dies, freezes, or hears from the registry that it failed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmctl.lab.names import Machine

FOLDER = Path(__file__).parent / "failing"
FIRST = 3  # of each name: how often a job is asked for, say, is another number each time
KILL, FREEZE, ERROR = "kill", "freeze", "error"


@dataclass(frozen=True)
class Place:
    """The call that many of a kind, before or after it."""

    name: str  # SqlStore.change_task before
    after: int  # so many of that name come first

    @property
    def hows(self) -> tuple[str, ...]:
        """What may befall a controller there."""
        return (KILL, FREEZE, ERROR) if self.name.startswith("SqlStore.") else (KILL, FREEZE)


@contextmanager
def observed() -> Iterator[None]:
    """Controllers that begin now come to failpoints."""
    path = f"{FOLDER}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
    before = os.environ.get("PYTHONPATH")
    os.environ |= {"PYTHONPATH": path, "VMCTL_TEST_FAILPOINTS": "1"}
    try:
        yield
    finally:
        del os.environ["VMCTL_TEST_FAILPOINTS"]
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def forget(machines: list[Machine]) -> None:
    """Nothing was passed, and nothing is to happen."""
    for one in machines:
        for name in ("points", "failpoint", "hit"):
            (one.directory / name).unlink(missing_ok=True)


def passed(machines: list[Machine]) -> list[Place]:
    """The places that were come to since."""
    found, seen = [], Counter[str]()
    for one in machines:
        file = one.directory / "points"
        for name in file.read_text().splitlines() if file.exists() else []:
            if seen[name] < FIRST:
                found.append(Place(name, seen[name]))
            seen[name] += 1
    return found


def befalls(machines: list[Machine], place: Place, how: str) -> None:
    """Whichever of them comes there first."""
    for one in machines:
        (one.directory / "failpoint").write_text(json.dumps({"place": place.name, "after": place.after, "how": how}))


def hit(machines: list[Machine]) -> Machine | None:
    """Which one it befell."""
    return next((one for one in machines if (one.directory / "hit").exists()), None)
