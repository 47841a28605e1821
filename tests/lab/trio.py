"""Three controllers that share a database, each a machine of the lab. Commands go to one that does not lead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests.lab.pool import Pool, Ran, wait_for
from vmctl import lab
from vmctl.lab import controllers, machines
from vmctl.lab import database as lab_database
from vmctl.lab.names import Machine, current

FROZEN_S = 20.0
LED_S = 30.0  # on a busy machine; tests/bench/cluster measures it
OPEN = "state NOT IN ('done', 'failed', 'cancelled')"


class Judge:
    """tests/checker, beside all that happens."""

    def __init__(self, name: str, dsn: str, said: Path) -> None:
        self._said = said
        command = [sys.executable, "-m", "tests.checker", "--lab", name, "--dsn", dsn]
        outside = {key: value for key, value in os.environ.items() if not key.startswith("VMCTL_LAB")}
        with said.open("w") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, env=outside)

    @property
    def told(self) -> str:
        """What must never be, and was; it looks on all the time."""
        assert self._process.poll() is None, self._said.read_text()
        return self._said.read_text()

    def end(self) -> str:
        """The last of it."""
        self._process.terminate()
        self._process.wait(30)
        return self._said.read_text()


class Trio(Pool):
    """The pool of them."""

    database = "single"
    hosted = 0  # of the controllers

    def __init__(self, hosts: int, name: str) -> None:
        super().__init__(hosts, name, controllers=3, database=self.database, hosted=self.hosted)
        self.network = self.status.network.rpartition(".")[0]
        self.machines = current().controllers(3, self.hosted)
        self.dsn = f"{lab_database.dsn(current(), self.network)}?target_session_attrs=read-write"
        self.judge = Judge(current().name, self.dsn, self.place / "judge")

    def close(self) -> None:
        """End everything and leave nothing. The test fails where the judge saw what must never be."""
        told = self.judge.end()
        lab.down()
        self.remove_files()
        assert not told, told

    # -- who leads

    def rows(self, query: str) -> list[Any]:
        """What the database has, past vmctl."""
        with psycopg.connect(self.dsn, connect_timeout=5) as opened:
            return opened.execute(query).fetchall()

    def leading(self) -> str:
        """The name of the one that leads, as the database has it."""
        found: str = wait_for(self.leading_now, LED_S, "one leads")
        return found

    def leading_now(self) -> str:
        """The same; empty where none does."""
        found = self.rows("SELECT replica.name FROM lead JOIN replica USING (life) WHERE ended_at IS NULL")
        return str(found[0][0]) if found else ""

    def watched(self) -> dict[str, str]:
        """Host -> the controller that watches it, as the database has it."""
        query = "SELECT host, name FROM host_watch JOIN replica USING (life) WHERE ended_at IS NULL"
        return {str(host): str(name) for host, name in self.rows(query)}

    @property
    def leader(self) -> Machine:
        """The one that leads."""
        name = self.leading()
        return next(one for one in self.machines if one.name == name)

    @property
    def follower(self) -> Machine:
        """One that runs and does not lead."""
        return next(one for one in self.machines if one.name != self.leading() and self.answers(one))

    def answers(self, one: Machine) -> bool:
        """Whether it is up, by what the lab says."""
        return next(m.state for m in lab.status().machines if m.name == one.name) == "up"

    # -- commands, through one that does not lead

    def __call__(self, *words: str, stdin: str = "", timeout_s: float = 120.0) -> Ran:
        return self.at(self.follower, *words, stdin=stdin, timeout_s=timeout_s)

    def at(self, one: Machine, *words: str, stdin: str = "", timeout_s: float = 120.0) -> Ran:
        """A command to one of them."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        environment = os.environ | controllers.environment(one)
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command through one that does not lead; what it says is kept in `said`."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        environment = os.environ | controllers.environment(self.follower)
        with self.said.open("a") as said:
            return subprocess.Popen(command, env=environment, stdout=said, stderr=said, text=True)

    @property
    def said(self) -> Any:
        """What begun commands have said."""
        return self.place / "said"

    # -- faults

    def kill_leader(self) -> None:
        """Its machine loses its power; it comes again later."""
        victim = self.leader
        lab.kill(victim.name)
        self.led_by_another(victim)
        lab.boot(victim.name)

    def freeze_leader(self) -> None:
        """It stands still for so long that another one leads, and goes on then: it must do nothing more."""
        victim, began = self.leader, time.monotonic()
        lab.freeze(victim.name)
        self.led_by_another(victim)
        time.sleep(max(0.0, FROZEN_S - (time.monotonic() - began)))
        lab.thaw(victim.name)
        self.joined_again(victim)

    def cut_leader(self) -> None:
        """Its cable is cut: it reaches neither the database nor the hosts, and runs on."""
        victim = self.leader
        lab.cut(victim.name)
        self.led_by_another(victim)
        lab.heal(victim.name)
        self.joined_again(victim)

    def cut_leader_from_the_database(self) -> None:
        """It sends nothing to the database any more, and reaches the hosts as before."""
        victim = self.leader
        with blackhole(victim, current().database().address(self.network)):
            self.led_by_another(victim)
        self.joined_again(victim)

    def cut_the_database_from_its_leader(self) -> None:
        """It is heard by the database, and hears no answer."""
        victim = self.leader
        with blackhole(current().database(), victim.address(self.network)):
            self.led_by_another(victim)
        self.joined_again(victim)

    def end_leaders_life(self) -> None:
        """Others, or an admin, take it for dead, and it lives: it must do nothing more."""
        victim = self.leader
        with psycopg.connect(self.dsn, connect_timeout=5) as opened:
            life = "SELECT life FROM lead"
            opened.execute(f"UPDATE replica SET ended_at = 1, why = 'a test' WHERE life = ({life})")
        self.led_by_another(victim)
        self.joined_again(victim)

    def led_by_another(self, victim: Machine) -> None:
        """Wait for it."""
        wait_for(lambda: self.leading() != victim.name, LED_S, "another one leads")

    def joined_again(self, victim: Machine, *, said: bool = True) -> None:
        """The life that it had has ended, which it has `said`, and it has begun another one."""
        alive = f"SELECT 1 FROM replica WHERE ended_at IS NULL AND name = '{victim.name}'"
        wait_for(lambda: self.rows(alive), 60, f"{victim.name} joins again")
        if not said:
            return
        console = (victim.directory / "console.log").read_text()
        assert "its life was ended" in console or "life was ended" in console, console[-2000:]

    # -- the truth

    def open_tasks(self) -> list[Any]:
        """What was accepted and has not ended."""
        return self.rows(f"SELECT id, kind, subject, state, step FROM task WHERE {OPEN}")

    def no_session_of_the_dead(self) -> None:
        """No host has an sshd process left of a life that has ended."""
        for host, pid, ticks in self.rows(
            "SELECT host, pid, ticks FROM session JOIN replica USING (life) WHERE ended_at IS NOT NULL"
        ):
            there = self.ssh(host, f"cat /proc/{pid}/stat", check=False).rpartition(") ")[2].split()
            assert not there or there[0] == "Z" or int(there[19]) != ticks, (host, pid)

    def agree(self, *names: str) -> None:
        """Registry and hosts say the same of these VMs, each runs once at most, and every accepted task has ended."""
        wait_for(lambda: not self.open_tasks(), 120, f"every task ends: {self.open_tasks()}")
        for name in names:
            found = self("show", name, "-o", "json")
            copies = self.copies(name)
            if found.code == 4:
                assert not copies, (name, copies)
                continue
            vm = found.json
            assert vm["power"] in ("running", "stopped"), vm
            assert copies == ({vm["host"]: "running"} if vm["power"] == "running" else {}), (name, copies, vm)
        self.no_session_of_the_dead()
        assert not self.judge.told, self.judge.told


Made = TypeVar("Made", bound=Trio)


@contextmanager
def three_controllers(kind: type[Made], hosts: int, name: str) -> Iterator[Made]:
    """So many hosts and three controllers, ready.

    Afterwards all is as it was, this process's environment, too.
    """
    before = dict(os.environ)
    made = kind(hosts, name)
    try:
        made.set_up()
        yield made
    finally:
        try:
            made.close()
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def blackhole(one: Machine, address: str) -> Iterator[None]:
    """What a machine sends to an address gets lost."""
    inside = ("nsenter", f"--net=/proc/{machines.pid(one)}/ns/net", "ip", "route")
    subprocess.run([*inside, "add", "blackhole", f"{address}/32"], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "delete", "blackhole", f"{address}/32"], check=True)
