"""Places drawn at random, before and after writes of the registry and calls of hosts, in every command over real hosts:
the controller that comes there dies, freezes for a while, or hears that the registry failed. They run at night.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.lab import failpoints
from tests.lab.failpoints import ERROR, FREEZE, Place
from tests.lab.pool import NAME, wait_for
from tests.lab.test_replicas import COMMANDS
from tests.lab.trio import FROZEN_S, Trio, three_controllers
from vmctl import lab

pytestmark = [pytest.mark.lab, pytest.mark.nightly]
SEED = int(os.environ.get("VMCTL_FAILPOINT_SEED", "1"))
TRIES = 5
COUNT = int(os.environ.get("VMCTL_FAILPOINTS", "40"))


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    """Two hosts, three controllers that come to failpoints."""
    with failpoints.observed(), three_controllers(Trio, 2, f"{NAME[:6]}fp") as made:
        yield made


@pytest.fixture(scope="module")
def places(trio: Trio) -> list[list[Place]]:
    """Those of each command, where nothing is in its way."""
    found = []
    for number in range(len(COMMANDS)):
        case = Given(trio, number)
        failpoints.forget(trio.machines)
        began = trio.begin(*case.words)
        assert began.wait(120) == 0, trio.said.read_text()
        found.append(failpoints.passed(trio.machines))
        assert found[-1], COMMANDS[number]
        case.clear()
    return found


class Given:
    """What a command needs, and what takes it away."""

    def __init__(self, trio: Trio, number: int) -> None:
        self.trio = trio
        self.kind, command, runs = COMMANDS[number]
        if self.kind != "create":
            trio.do("create", "one", "--image", "tiny", "--memory", "128M", *(() if runs else ("--no-start",)))
        if runs:
            trio.counting("one")
        self.host = trio.vm("one")["host"] if self.kind != "create" else ""
        self.words = tuple(self.host if word == "HOST" else word for word in command)

    def clear(self) -> None:
        """As before."""
        if self.kind == "drain":
            self.trio.do("host", "undrain", self.host)
        if self.trio("show", "one").code == 0:
            self.trio("stop", "one", "--force")
            self.trio.do("delete", "one", "--yes")
        self.trio.agree("one")


@pytest.mark.parametrize("draw", range(COUNT))
def test_a_place_drawn_at_random(trio: Trio, places: list[list[Place]], draw: int) -> None:
    dice = random.Random(f"{SEED}/{draw}")
    for _ in range(TRIES):
        number = dice.randrange(len(COMMANDS))
        place = dice.choice(places[number])
        if befell(trio, Given(trio, number), place, dice.choice(place.hows)):
            return
    pytest.fail("no place was come to")


def befell(trio: Trio, case: Given, place: Place, how: str) -> bool:
    """The command, and what befalls who carries it out; false where it did not come to that place this time."""
    what = f"{' '.join(case.words)}: {how} at {place.name} {place.after}"
    print(what)  # seen where it fails
    before = trio.rows("SELECT coalesce(max(id), 0) FROM task")[0][0]
    failpoints.forget(trio.machines)
    failpoints.befalls(trio.machines, place, how)
    began = trio.begin(*case.words)
    wait_for(lambda: failpoints.hit(trio.machines) or began.poll() is not None, 60, what)
    victim = failpoints.hit(trio.machines)
    for one in trio.machines:  # it befalls one of them only
        (one.directory / "failpoint").unlink(missing_ok=True)
    if victim is not None and how == FREEZE:
        trio.led_by_another(victim)
        time.sleep(FROZEN_S / 2)
        lab.thaw(victim.name)
    if victim is not None and how != ERROR:
        trio.joined_again(victim, said=how == FREEZE)
    code = began.wait(180)
    trio.agree("one")
    ended = trio.rows(f"SELECT state FROM task WHERE id > {before} AND kind = '{case.kind}' ORDER BY id LIMIT 1")
    assert ended, f"{what}: it was accepted"
    assert code != 8 and (code == 0) == (ended[0][0] == "done"), (what, code, ended, trio.said.read_text()[-1000:])
    case.clear()
    return victim is not None
