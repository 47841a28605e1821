"""A real pool whose registry moves into PostgreSQL; what becomes of migrations and commands while that is away.

The truth is looked up past vmctl: QEMU by each host's libvirt, what was accepted in the database itself.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.lab.pool import NAME, Pool, Ran, wait_for
from tests.lab.test_faults import Migration
from tests.postgres import QUIET, Postgres, running
from vmctl.local import paths

pytestmark = pytest.mark.lab
AWAY_S = 12.0  # longer than a transaction may take


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running(QUIET) as one:
        yield one


@pytest.fixture(scope="module")
def dbpool(server: Postgres) -> Iterator[Pool]:
    """Two hosts; their registry began as a file, and has moved."""
    before = dict(os.environ)
    made = Pool(2, f"{NAME[:7]}d")
    try:
        made.set_up()
        made.do("create", "old", "--image", "tiny", "--memory", "128M", "--no-start")
        made.do("serve", "--stop")
        dsn = server.create("vmctl")
        assert "each was compared" in made.do("db", "move", "--to", dsn).out
        settings = paths.config_dir() / "vmctl.toml"
        settings.write_text(f'database = "{dsn}"\n{settings.read_text()}')
        yield made
    finally:
        made.close()
        os.environ.clear()
        os.environ.update(before)


def away(server: Postgres) -> None:
    server.stop()
    time.sleep(AWAY_S)
    server.start()


def frozen(server: Postgres) -> None:
    assert server.process is not None
    first = server.process.pid
    every = [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
    for pid in every:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(AWAY_S)
    for pid in every:
        os.kill(pid, signal.SIGCONT)


def patiently(pool: Pool, *words: str) -> Ran:
    """A command, given again while the registry takes nothing."""
    return wait_for(lambda: (ran := pool(*words)).code == 0 and ran, 60, f"vmctl {' '.join(words)}")


def test_all_that_was_there_is_there(dbpool: Pool, server: Postgres) -> None:
    assert dbpool.vm("old")["power"] == "stopped"
    assert {host["state"] for host in dbpool.do("host", "list", "-o", "json").json} == {"online"}
    told = dbpool.do("db", "status", "-o", "json").json
    assert told["server"].startswith("PostgreSQL") and told["rows"]["host"] == 2 and told["rows"]["vm"] == 1
    dbpool.do("start", "old")
    assert list(dbpool.copies("old").values()) == ["running"]
    dbpool.do("stop", "old", "--force")
    dbpool.do("delete", "old", "--yes")
    with psycopg.connect(server.dsn("vmctl")) as opened:
        assert opened.execute("SELECT count(*) FROM vm").fetchone() == (0,)


@pytest.mark.parametrize("fault", [away, frozen])
def test_a_migration_does_not_end_because_the_database_does(
    dbpool: Pool, server: Postgres, fault: Callable[[Postgres], None]
) -> None:
    with dbpool.vms("busy", memory="256M"):
        before = dbpool.counting("busy")
        moving = Migration(dbpool, "busy")
        fault(server)
        patiently(dbpool, "list")
        assert moving.ended()["state"] == "done"
        assert dbpool.copies("busy") == {moving.target: "running"}
        found = dbpool.vm("busy")
        assert (found["host"], found["power"]) == (moving.target, "running")
        dbpool.still_counts("busy", before)


def test_what_is_refused_while_it_is_away_says_so_and_what_was_accepted_ends(dbpool: Pool, server: Postgres) -> None:
    with dbpool.vms("one", "two"):
        server.stop()
        try:
            for words in (("list",), ("migrate", "one"), ("create", "three", "--image", "tiny", "--memory", "128M")):
                ran = dbpool(*words)
                assert ran.code == 1 and "cannot be used" in ran.err and "Traceback" not in ran.err, ran
        finally:
            server.start()
        names = patiently(dbpool, "list", "-o", "name").out.split()
        assert names == ["one", "two"], "what was refused was not done"
        begun = [dbpool.begin("stop", name) for name in ("one", "two")]
        wait_for(lambda: open_tasks(server), 20, "both are accepted")
        away(server)
        for command in begun:
            command.wait(120)
        patiently(dbpool, "list")
        wait_for(lambda: not open_tasks(server), 60, "no task is open")
        for name in ("one", "two"):  # what had not begun was told as not done
            off = dbpool.copies(name) == {}
            assert dbpool.vm(name)["power"] == ("stopped" if off else "running")


def open_tasks(server: Postgres) -> list[str]:
    """What was accepted and has not ended, as the database has it."""
    with psycopg.connect(server.dsn("vmctl")) as opened:
        query = "SELECT kind, subject, state FROM task WHERE state NOT IN ('done', 'failed', 'cancelled')"
        return [json.dumps(row) for row in opened.execute(query).fetchall()]
