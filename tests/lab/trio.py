"""Three controllers that share one PostgreSQL database and a lab's hosts. Commands go to one that does not lead."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import Any

import psycopg

from tests.cluster.replicas import DEPOSED, Home
from tests.lab.pool import Pool, Ran, wait_for
from tests.postgres import Postgres
from vmctl import lab

FROZEN_S = 20.0
OPEN = "state NOT IN ('done', 'failed', 'cancelled')"


class Trio(Pool):
    """The pool of them; each has folders of its own, as on a machine of its own, and the one key that hosts let in."""

    def __init__(self, hosts: int, name: str, server: Postgres) -> None:
        super().__init__(hosts, name)
        self.server, self.dsn = server, server.create("trio")
        settings = (self.place / "config" / "vmctl" / "vmctl.toml").read_text()
        policy, rest = settings.split("\n", 1)
        self.homes = [Home(self.place / letter, self.dsn, f"{policy}\n", f"{rest}") for letter in "abc"]
        for home in self.homes:
            folder = home.folder / "data" / "vmctl" / "ssh"
            folder.mkdir(parents=True, mode=0o700)
            (home.folder / "data" / "vmctl").chmod(0o700)
            for key in (self.key, self.key.with_suffix(".pub")):
                shutil.copy(key, folder / key.name)
            home.serve()

    def close(self) -> None:
        """End everything and leave nothing."""
        for home in self.homes:
            home.kill()
        lab.down()
        shutil.rmtree(self.place, ignore_errors=True)
        self.server.drop("trio")

    # -- who leads

    @property
    def leader(self) -> Home:
        """The one that leads, as the database has it."""
        leading = self._leading()
        return next(home for home in self.homes if home.folder.name == leading)

    def _leading(self) -> str:
        query = "SELECT replica.name FROM lead JOIN replica USING (life) WHERE ended_at IS NULL"
        found = wait_for(lambda: self.rows(query), 30, "one leads")
        return str(found[0][0])

    def rows(self, query: str) -> list[Any]:
        """What the database has, past vmctl."""
        with psycopg.connect(self.dsn) as opened:
            return opened.execute(query).fetchall()

    @property
    def follower(self) -> Home:
        """One that runs and does not lead."""
        leading = self._leading()
        return next(home for home in self.homes if home.folder.name != leading and home.runs)

    # -- commands, through one that does not lead

    def __call__(self, *words: str, stdin: str = "", timeout_s: float = 120.0) -> Ran:
        done = self.follower.vmctl(*words, typed=stdin, limit_s=timeout_s)
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return self.follower.begin_command(*words)

    # -- faults

    def kill_leader(self) -> None:
        """kill -9 of the one that leads; it comes again later."""
        victim = self.leader
        victim.kill()
        self._led_by_another(victim)
        victim.serve()

    def freeze_leader(self) -> None:
        """It stands still for so long that another one leads, and goes on then: it must do nothing more."""
        victim, began = self.leader, time.monotonic()
        assert victim.running is not None
        victim.send(signal.SIGSTOP)
        self._led_by_another(victim)
        time.sleep(max(0.0, FROZEN_S - (time.monotonic() - began)))
        victim.send(signal.SIGCONT)
        assert victim.running.wait(60) == DEPOSED
        victim.serve()

    def _led_by_another(self, victim: Home) -> None:
        wait_for(lambda: self._leading() != victim.folder.name, 30, "another one leads")

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
            found = self(*("show", name, "-o", "json"))
            copies = self.copies(name)
            assert len(copies) <= 1, copies
            if found.code == 4:
                assert not copies, (name, copies)
                continue
            vm = found.json
            running = {vm["host"]: "running"} if vm["power"] == "running" else {}
            assert copies == running, (name, copies, vm["power"], vm["host"])
            assert vm["power"] in ("running", "stopped"), vm
        self.no_session_of_the_dead()
