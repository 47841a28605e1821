"""Several clients of several controllers at once, controllers that come and go, clocks that are wrong, a database that
is killed or full, over real hosts. They take minutes, and run at night; tests/checker looks at all of it from outside.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.checker import machine as kernel
from tests.lab.clients import given, making_projects, reached
from tests.lab.pool import NAME, wait_for
from tests.lab.test_faults import Migration
from tests.lab.trio import Trio, three_controllers
from vmctl import lab
from vmctl.lab.names import Machine, current

pytestmark = [pytest.mark.lab, pytest.mark.nightly]
MANY, MOVES, AWAY_S = 200, 50, 20.0
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    """Two hosts, three controllers."""
    with three_controllers(Trio, 2, f"{NAME[:6]}ra") as made:
        yield made


@pytest.mark.parametrize("turn", range(6))
def test_two_clients_race_for_one_vm(trio: Trio, turn: int) -> None:
    with trio.vms("one"):
        trio.counting("one")
        words = (("migrate", "one"), ("stop", "one", "--force"))
        machines = [trio.machines[turn % 3], trio.machines[(turn + 1) % 3]]
        with ThreadPoolExecutor(2) as threads:
            ran = [*threads.map(lambda asked: trio.at(asked[0], *asked[1]), zip(machines, words, strict=True))]
        assert all(one.code in (0, 1, 3) for one in ran) and any(one.code == 0 for one in ran), ran
        trio.agree("one")


def test_of_many_creates_at_once_as_many_are_done_as_there_is_room_for(trio: Trio) -> None:
    """Of a size that fits once per host, through all controllers."""
    body = {"image": "tiny", "mem_mib": 2048}

    def create(number: int) -> httpx.Response:
        with reached(trio.machines[number % 3]) as client:
            return given(client, "/vms", body | {"name": f"big{number}"})

    with ThreadPoolExecutor(MANY) as threads:
        answers = [*threads.map(create, range(MANY))]
    assert all(one.status_code == 202 for one in answers), [one.text for one in answers if one.status_code != 202]
    wait_for(lambda: not trio.open_tasks(), 300, "all end")
    ends = trio.rows("SELECT subject, state, error->>'code' FROM task WHERE kind = 'create' AND subject LIKE 'big%'")
    done = [name for name, state, _ in ends if state == "done"]
    try:
        assert len(ends) == MANY and len(done) == len(trio.hosts), ends
        assert {code for _, state, code in ends if state == "failed"} == {"NoHostFits"}, ends
        assert sorted(len(trio.copies(name)) for name in done) == [1] * len(done)
        trio.agree(*done)
    finally:
        for name in done:
            trio("stop", name, "--force")
            trio("delete", name, "--yes")


def test_many_moves_out_of_one_host_go_one_after_the_other(trio: Trio) -> None:
    """As the policy has it: one live migration at once out of a host."""
    names, home = [f"m{number}" for number in range(6)], trio.hosts[0]
    with trio.vms(*names, memory="128M", options=("--host", home)):
        for name in names:
            trio.counting(name)
        uuids = {trio.vm(name)["uuid"] for name in names}
        enough, most = threading.Event(), 0

        def count() -> None:
            nonlocal most
            while not enough.wait(0.05):
                seen = [one.uuid for one in kernel.qemus(current().name) if one.writes or one.uuid in uuids]
                most = max(most, sum(seen.count(uuid) > 1 for uuid in uuids))

        counting = threading.Thread(target=count)
        counting.start()

        def move(number: int) -> httpx.Response:
            with reached(trio.machines[number % 3]) as client:
                return given(client, f"/vms/{names[number % len(names)]}/migrate", {"to": trio.hosts[1]})

        try:
            with ThreadPoolExecutor(MOVES) as threads:
                answers = [*threads.map(move, range(MOVES))]
            wait_for(lambda: not trio.open_tasks(), 300, "all end")
        finally:
            enough.set()
            counting.join()
        assert {one.status_code for one in answers} <= {202, 409}, [one.text for one in answers]
        assert most == 1, "two QEMUs of a VM are one migration"
        trio.agree(*names)
        assert {trio.vm(name)["host"] for name in names} == {trio.hosts[1]}


def test_controllers_come_and_go_under_load(trio: Trio) -> None:
    with trio.vms("busy", memory="256M"), making_projects(trio.machines[:1]) as log:
        moving = Migration(trio, "busy")
        for _ in range(2):
            other = trio.machines[2]
            lab.kill(other.name)
            time.sleep(3.0)
            lab.boot(other.name)
            assert trio("controller", "drain", trio.machines[1].name).code == 0
            time.sleep(3.0)
            assert trio("controller", "undrain", trio.machines[1].name).code == 0
        assert moving.ended()["state"] == "done" or "runs on" in str(moving.state()["error"])
        trio.agree("busy")
        wait_for(lambda: len(set(trio.watched().values())) == 2, 60, "two watch one host each")
    there = {name for (name,) in trio.rows("SELECT name FROM project")}
    assert set(log.made) <= there and not log.refused, (set(log.made) - there, log.refused)


@contextmanager
def clock_of(one: Machine, off: str) -> Iterator[None]:
    """A machine whose date is wrong."""
    os.environ |= {"LD_PRELOAD": FAKETIME, "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    try:
        lab.kill(one.name)
        lab.boot(one.name)
    finally:
        for name in ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"):
            del os.environ[name]
    try:
        yield
    finally:
        lab.kill(one.name)
        lab.boot(one.name)


@pytest.mark.parametrize("off", ["+1h", "-1h", "+100d"])
def test_a_controller_whose_clock_is_wrong_is_as_good_as_another(trio: Trio, off: str) -> None:
    """It leads, after the one that led was killed; what it writes has the database's time."""
    [(before,)] = trio.rows("SELECT max(id) FROM event")
    with clock_of(trio.follower, off), trio.vms("one"):
        for _ in range(3):
            if "clock is" in (trio.leader.directory / "console.log").read_text():
                break
            trio.kill_leader()
        assert trio.do("migrate", "one").code == 0
        assert trio.do("migrate", "one").code == 0
        [(wrong_s,)] = trio.rows(f"SELECT max(abs(at - extract(epoch FROM now()))) FROM event WHERE id > {before}")
        assert wrong_s < 600
        trio.agree("one")


@pytest.mark.parametrize("off", ["+1h", "-1h"])
def test_a_database_whose_clock_is_wrong_holds_nobody_up(trio: Trio, off: str) -> None:
    before = trio.rows("SELECT count(*) FROM replica WHERE ended_at IS NULL")
    with trio.vms("one"), clock_of(current().database(), off):
        wait_for(lambda: taken(trio, "list"), 60, "commands are taken again")
        assert trio.do("migrate", "one").code == 0
        assert trio.rows("SELECT count(*) FROM replica WHERE ended_at IS NULL") == before
        trio.agree("one")
    wait_for(lambda: taken(trio, "list"), 60, "commands are taken again")


def taken(trio: Trio, *words: str) -> bool:
    """Whether a command is done; who leads nobody can say while the database is away."""
    return trio.at(trio.machines[0], *words).code == 0


def lives(trio: Trio) -> set[Any]:
    """Those that have not ended."""
    return set(trio.rows("SELECT life FROM replica WHERE ended_at IS NULL"))


def test_a_database_that_is_killed_ends_no_migration_and_nobody(trio: Trio) -> None:
    with trio.vms("busy", memory="256M"):
        moving, before = Migration(trio, "busy"), lives(trio)
        lab.kill("db1")
        time.sleep(AWAY_S)
        lab.boot("db1")
        wait_for(lambda: taken(trio, "list"), 60, "commands are taken again")
        assert moving.ended()["state"] == "done"
        moving.runs_only_on(moving.target)
        assert lives(trio) == before
        trio.agree("busy")


def test_a_database_whose_disk_is_full_ends_no_migration_and_nobody(trio: Trio) -> None:
    one = current().database()
    data, aside = one.directory / "data", one.directory / "aside"
    lab.kill(one.name)
    data.rename(aside)
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m,mode=700", "tmpfs", data], check=True)
    subprocess.run(["cp", "-a", f"{aside}/.", data], check=True)
    lab.boot(one.name)
    wait_for(lambda: taken(trio, "list"), 60, "commands are taken again")
    with trio.vms("busy", memory="256M"):
        moving, before = Migration(trio, "busy"), lives(trio)
        filler = data / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M", "status=none"], check=False)
        names = [f"full{number}" for number in range(200)]
        refused = next(
            (ran for name in names if (ran := trio.at(trio.machines[0], "project", "create", name)).code), None
        )
        assert refused is not None, "it took them all"
        time.sleep(AWAY_S)
        filler.unlink()
        wait_for(lambda: taken(trio, "list"), 90, "commands are taken again")
        assert moving.ended()["state"] == "done"
        moving.runs_only_on(moving.target)
        assert lives(trio) == before
        trio.agree("busy")
