"""Real controllers on one PostgreSQL database: one at a time, and one that was removed ends, whatever it was doing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres

START_S = 60.0
DEPOSED = 75
pytestmark = pytest.mark.long  # they take a minute


@dataclass
class Home:
    """A user's folders; what runs there thinks that it is on a machine of its own."""

    folder: Path
    dsn: str

    def __post_init__(self) -> None:
        (self.folder / "config" / "vmctl").mkdir(parents=True)
        (self.folder / "config" / "vmctl" / "vmctl.toml").write_text(f'database = "{self.dsn}"\n')

    @property
    def environment(self) -> dict[str, str]:
        xdg = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        return os.environ | xdg | {"VMCTL_SOCKET": str(self.folder / "run" / "s"), "HOME": str(self.folder)}

    def vmctl(self, *words: str, typed: str = "", socket: bool = True) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        environment = {key: value for key, value in self.environment.items() if socket or key != "VMCTL_SOCKET"}
        return subprocess.run(command, env=environment, input=typed, capture_output=True, text=True, timeout=START_S)

    def serve(self) -> subprocess.Popen[bytes]:
        """A controller."""
        log = (self.folder / "log").open("ab")
        with log:
            command = [sys.executable, "-m", "vmctl.cli.main", "serve"]
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def answers(self) -> bool:
        """Whether the controller does."""
        return self.vmctl("host", "list", "-o", "json").returncode == 0

    def wait(self, controller: subprocess.Popen[bytes]) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert controller.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)


@pytest.fixture
def homes(tmp_path: Path, postgres_server: Postgres) -> Iterator[tuple[Home, Home]]:
    dsn = postgres_server.create("lives")
    yield Home(tmp_path / "a", dsn), Home(tmp_path / "b", dsn)
    postgres_server.drop("lives")


@pytest.fixture
def running(homes: tuple[Home, Home]) -> Iterator[subprocess.Popen[bytes]]:
    """A controller of the first home that answers."""
    controller = homes[0].serve()
    try:
        homes[0].wait(controller)
        yield controller
    finally:
        controller.kill()
        controller.wait()


def listed(home: Home) -> list[dict[str, object]]:
    return list(json.loads(home.vmctl("controller", "list", "--ended", "-o", "json").stdout))


def test_a_second_one_is_refused_and_says_which_one_there_is(
    homes: tuple[Home, Home], running: subprocess.Popen[bytes]
) -> None:
    refused = homes[1].vmctl("serve")
    assert refused.returncode == 3 and "uses this registry" in refused.stderr, refused.stderr
    assert "vmctl controller list" in refused.stderr and "Traceback" not in refused.stderr
    by_itself = homes[1].vmctl("host", "list", socket=False)  # it would start one in the background
    assert by_itself.returncode == 3 and "uses this registry" in by_itself.stderr, by_itself.stderr
    assert [one["state"] for one in listed(homes[1])] == ["alive"]
    assert homes[0].answers()


def test_one_that_was_killed_begins_again_at_once_and_elsewhere_only_on_somebodys_word(
    homes: tuple[Home, Home], running: subprocess.Popen[bytes]
) -> None:
    first, second = homes
    running.kill()
    running.wait()
    again = first.serve()
    try:
        first.wait(again)
        assert [one["state"] for one in listed(first)] == ["alive", "ended"]
    finally:
        again.kill()
        again.wait()
    assert second.vmctl("serve").returncode == 3
    [name] = {str(one["name"]) for one in listed(second)}
    assert second.vmctl("controller", "remove", name).returncode == 3
    wrong = second.vmctl("controller", "remove", name, "--i-know-it-is-off", typed="no\n")
    assert wrong.returncode == 3 and second.vmctl("serve").returncode == 3
    done = second.vmctl("controller", "remove", name, "--i-know-it-is-off", typed=f"{name}\n")
    assert done.returncode == 0, done.stderr
    taken = second.serve()
    try:
        second.wait(taken)
        assert "signed that controller" in second.vmctl("events").stdout
        assert "controller remove" in second.vmctl("audit").stdout
        taken.send_signal(signal.SIGTERM)
        assert taken.wait(START_S) == 0
    finally:
        taken.kill()
        taken.wait()
    assert listed(second)[0]["why"] == "it was stopped"
    assert "alive" not in [one["state"] for one in listed(second)]


def test_one_that_was_frozen_and_removed_ends_itself_and_wrote_nothing(
    homes: tuple[Home, Home], running: subprocess.Popen[bytes]
) -> None:
    first, second = homes
    [name] = {str(one["name"]) for one in listed(second)}
    running.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + START_S
    while listed(second)[0]["state"] != "silent":
        assert time.monotonic() < deadline
    done = second.vmctl("controller", "remove", name, "--i-know-it-is-off", typed=f"{name}\n")
    assert done.returncode == 0, done.stderr
    other = second.serve()
    try:
        second.wait(other)
        running.send_signal(signal.SIGCONT)
        assert running.wait(START_S) == DEPOSED
        assert "it ends at once" in (first.folder / "log").read_text()
        assert second.answers()
        with psycopg.connect(first.dsn) as opened:
            [alive] = opened.execute("SELECT home FROM replica WHERE ended_at IS NULL").fetchall()
            [[home]] = opened.execute("SELECT home FROM replica ORDER BY started_at DESC LIMIT 1").fetchall()
        assert alive == (home,)
    finally:
        other.kill()
        other.wait()


def test_what_is_done_goes_into_the_database_and_none_into_a_file(
    homes: tuple[Home, Home], running: subprocess.Popen[bytes]
) -> None:
    first, _ = homes
    assert first.vmctl("project", "create", "blue").returncode == 0
    with psycopg.connect(first.dsn) as opened:
        assert opened.execute("SELECT name FROM project").fetchall() == [("blue",)]
    assert not list(first.folder.rglob("registry.db"))
    assert "PostgreSQL" in first.vmctl("db", "status").stdout
