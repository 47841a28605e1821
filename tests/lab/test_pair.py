"""Three controllers on two PostgreSQL servers under Patroni: the primary dies, stands still, comes back.

They take minutes, and run at night. tests/checker looks at all of it from outside.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.lab.clients import CLIENTS, making_projects
from tests.lab.pool import NAME, wait_for
from tests.lab.test_faults import Migration
from tests.lab.trio import Trio, three_controllers
from vmctl import lab
from vmctl.lab import machines
from vmctl.lab.names import Machine, current

pytestmark = [pytest.mark.lab, pytest.mark.nightly]
PROMOTED_S = 60.0  # Patroni's own limit is ten
SERVERS = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"


class Pair(Trio):
    """The pool on them."""

    database = "pair"

    @property
    def follower(self) -> Machine:
        """Whoever leads: nobody knows while the database is away."""
        return self.machines[0]

    def primary(self) -> Machine:
        """The server that takes writes."""
        return wait_for(lambda: next(filter(self.takes_writes, current().small("database")), None), PROMOTED_S, "one")

    def standby(self) -> Machine:
        """The other one, where it has all that the primary has."""
        wait_for(self.whole, PROMOTED_S, "the standby follows")
        primary = self.primary().name
        return next(one for one in current().small("database") if one.name != primary)

    def whole(self) -> bool:
        """Whether what is acknowledged is on both."""
        try:
            # Patroni's own word: it promotes none that it has not written down as synchronous before.
            return len(self.rows(SERVERS)) == 1 and any(map(self._may_be_promoted, current().small("database")))
        except psycopg.Error:
            return False

    def _may_be_promoted(self, one: Machine) -> bool:
        try:
            return httpx.get(f"http://{one.address(self.network)}:8008/synchronous", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def alone(self, one: Machine) -> str:
        """How that server is reached by itself."""
        return f"postgresql://vmctl@{one.address(self.network)}/vmctl"

    def takes_writes(self, one: Machine) -> bool:
        """Whether it believes that it is the primary."""
        return writes(self.alone(one))

    def promoted(self, before: Machine) -> Machine:
        """The one that took its place."""
        other = next(one for one in current().small("database") if one.name != before.name)
        return wait_for(lambda: self.takes_writes(other) and other, PROMOTED_S, f"{other.name} takes writes")

    def patiently(self, *words: str) -> Any:
        """A command, given again while nothing is taken."""
        return wait_for(lambda: (ran := self(*words)).code == 0 and ran, 90, f"vmctl {' '.join(words)}")

    def log_ins(self) -> set[Any]:
        """Those of controllers that live."""
        return set(self.rows("SELECT host, pid, ticks FROM session JOIN replica USING (life) WHERE ended_at IS NULL"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two hosts, three controllers, two servers."""
    with three_controllers(Pair, 2, f"{NAME[:6]}dp") as made:
        yield made


@pytest.fixture(autouse=True)
def mended(pair: Pair) -> Iterator[None]:
    """Whatever a test has left."""
    yield
    mend = {"down": lab.boot, "cut": lab.heal, "frozen": lab.thaw}
    for one in lab.status().machines:
        if one.state in mend:
            mend[one.state](one.name)
    pair.standby()


class Moves(threading.Thread):
    """VMs that are moved there and back, one after the other."""

    def __init__(self, pair: Pair, name: str, count: int) -> None:
        super().__init__()
        self.pair, self.subject, self.count, self.ends = pair, name, count, list[Any]()

    def run(self) -> None:
        """Each move to its end."""
        for _ in range(self.count):
            number = self.pair.patiently("migrate", self.subject, "--detach", "-o", "json").json["id"]
            self.ends.append(wait_for(lambda number=number: self._end(number), 240, f"task {number} ends"))  # type: ignore[misc]

    def _end(self, number: int) -> Any:
        shown = self.pair("task", "show", str(number), "-o", "json")
        return shown.code == 0 and shown.json["state"] in ("done", "failed", "cancelled") and shown.json


def test_the_primary_dies_under_moves_and_commands(pair: Pair) -> None:
    """What clients were told was done is there afterwards; no move fails by it, and no log-in on a host changes."""
    names = [f"m{number}" for number in range(4)]
    with pair.vms(*names, memory="128M"):
        counts = {name: pair.counting(name) for name in names}
        pair.standby()
        victim, before = pair.primary(), pair.log_ins()
        moves = [Moves(pair, name, 5) for name in names]
        with making_projects(pair.machines) as log:
            for one in moves:
                one.start()
            wait_for(lambda: any(one.ends for one in moves), 120, "moves go on")
            many = len(log.made)
            lab.kill(victim.name)
            pair.promoted(victim)
            wait_for(lambda: len(log.made) > many + 20, 60, "commands are taken again")
            for one in moves:
                one.join()
        ends = [end for one in moves for end in one.ends]
        assert [end["state"] for end in ends] == ["done"] * 20, [end["error"] for end in ends if end["state"] != "done"]
        there = {name for (name,) in pair.rows("SELECT name FROM project")}
        assert set(log.made) <= there and not log.refused, (set(log.made) - there, log.refused)
        assert len(log.unknown) <= CLIENTS, "each had one command under way when the primary died"
        assert pair.log_ins() == before
        pair.agree(*names)
        for name in names:
            pair.still_counts(name, counts[name])
        lab.boot(victim.name)
        pair.standby()


def test_the_standby_dies_under_commands(pair: Pair) -> None:
    """Nobody waits for it longer than Patroni takes to see it."""
    victim = pair.standby()
    with making_projects(pair.machines[:1]) as log:
        wait_for(lambda: len(log.made) > 5, 30, "commands are taken")
        lab.kill(victim.name)
        many = len(log.made)
        wait_for(lambda: len(log.made) > many + 20, 60, "commands are taken again")
        lab.boot(victim.name)
        pair.standby()
    there = {name for (name,) in pair.rows("SELECT name FROM project")}
    assert set(log.made) <= there, set(log.made) - there


def test_an_earlier_primary_that_comes_back_is_left_alone(pair: Pair) -> None:
    """It was cut off with a Patroni that stood still: it takes writes again, which nobody would keep."""
    pair.standby()
    first = pair.primary()
    with pair.vms("steady", memory="128M"):
        patroni = [pid for pid in machines.processes(first) if b"patroni" in command(pid)]
        for pid in patroni:
            os.kill(pid, signal.SIGSTOP)
        lab.cut(first.name)
        second = pair.promoted(first)
        pair.patiently("project", "create", "after")
        lab.heal(first.name)
        assert pair.takes_writes(first) and pair.takes_writes(second), "both think so"
        until = time.monotonic() + 15
        for number in range(1000):
            if time.monotonic() > until:
                break
            for one in pair.machines:
                ran = pair.at(one, "project", "list", "-o", "name")
                assert "after" in ran.out.split(), (one.name, ran)
            pair.patiently("project", "create", f"later{number}")
        # One that begins now has seen no server before.
        follower = pair.follower
        lab.kill(follower.name)
        lab.boot(follower.name)
        said = (follower.directory / "console.log").read_text()[-2000:]
        ran = wait_for(lambda: (ran := pair.at(follower, "project", "list", "-o", "name")).code == 0 and ran, 30, said)
        assert "after" in ran.out.split(), ran
        with psycopg.connect(pair.alone(first)) as opened:
            late = opened.execute("SELECT count(*) FROM project WHERE name LIKE 'later%' OR name = 'after'").fetchone()
        assert late == (0,), "nothing was written there"
        lab.kill(first.name)
        lab.boot(first.name)
        pair.standby()
        pair.agree("steady")


@pytest.mark.parametrize(("fault", "back"), [(lab.kill, lab.boot), (lab.freeze, lab.thaw), (lab.cut, lab.heal)])
def test_what_the_cache_does_changes_nothing(
    pair: Pair, fault: Callable[[str], Any], back: Callable[[str], Any]
) -> None:
    with pair.vms("busy", memory="256M"):
        fault("cache1")
        moving = Migration(pair, "busy")
        assert moving.ended()["state"] == "done"
        hosts = pair.do("host", "list", "-o", "json").json
        assert all(one["state"] == "online" and one["load"] for one in hosts), hosts
        back("cache1")
        moving.runs_only_on(moving.target)
        pair.agree("busy")


def test_the_proxy_shows_the_primary_at_one_address(pair: Pair) -> None:
    proxy = current().small("proxy")[0].address(pair.network)
    dsn = f"postgresql://vmctl@{proxy}/vmctl"

    pair.standby()
    victim = pair.primary()
    assert writes(dsn)
    lab.kill(victim.name)
    wait_for(lambda: writes(dsn), PROMOTED_S, "the proxy leads to the next one")
    lab.boot(victim.name)
    pair.standby()


def writes(dsn: str) -> bool:
    """Whether what is there believes that it is the primary."""
    try:
        with psycopg.connect(dsn, connect_timeout=2) as opened:
            return opened.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.Error:
        return False


def command(pid: int) -> bytes:
    """How it was begun; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
