"""A controller on another machine joins by an invitation, and is removed: real commands on a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.replicas import Home, wait_for
from tests.postgres import Postgres

pytestmark = pytest.mark.long


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("joining")
    postgres_server.drop("joining")


@pytest.fixture
def first(tmp_path: Path, dsn: str) -> Iterator[Home]:
    """One that runs."""
    home = Home(tmp_path / "first", dsn)
    try:
        home.serve()
        yield home
    finally:
        home.kill()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Home]:
    """A machine on which vmctl was just installed."""
    home = Home(tmp_path / "second", "")
    try:
        yield home
    finally:
        home.kill()


def test_one_joins_runs_and_is_removed(first: Home, new: Home) -> None:
    made = first.vmctl("controller", "invite", "--for", "10m")
    assert made.returncode == 0 and "vmctl controller join TOKEN" in made.stderr, made
    token = made.stdout.strip()
    joined = new.vmctl("controller", "join", token)
    assert joined.returncode == 0 and "second has joined; now: systemctl enable --now vmctl" in joined.stdout, joined
    new.serve()
    assert {one["name"]: one["state"] for one in first.json("controller", "list")} == {
        "first": "alive",
        "second": "alive",
    }
    again = new.vmctl("controller", "join", token, "-o", "json")
    assert again.returncode == 0 and json.loads(again.stdout)["joined"] is False, again
    with psycopg.connect(first.dsn) as opened:
        assert opened.execute("SELECT name FROM controller_key").fetchall() == [("second",)]
    refused = first.vmctl("controller", "remove", "second")
    assert refused.returncode == 3 and "may still act on hosts" in refused.stderr
    new.kill()
    removed = first.vmctl("controller", "remove", "second", "--i-know-it-is-off", typed="second\n")
    assert removed.returncode == 0, removed
    with psycopg.connect(first.dsn) as opened:
        assert opened.execute("SELECT count(*) FROM controller_key WHERE key <> ''").fetchone() == (0,)
    again = new.vmctl("serve")
    assert again.returncode == 3 and "was removed from its pool" in again.stderr and "invite" in again.stderr, again
    token = first.vmctl("controller", "invite").stdout.strip()
    assert new.vmctl("controller", "join", token, "--name", "second").returncode == 0
    new.serve()
    new.kill()
    kinds = [one["what"] for one in first.json("audit")]
    assert [kind for kind in kinds if kind.startswith("controller ")] == [
        "controller invite",
        "controller join",
        "controller remove",
        "controller invite",
        "controller join",
    ]


def test_who_was_stopped_in_good_order_is_removed_without_a_signature(first: Home, new: Home) -> None:
    token = first.vmctl("controller", "invite").stdout.strip()
    assert new.vmctl("controller", "join", token, "--name", "third").returncode == 0
    removed = first.vmctl("controller", "remove", "third", typed="third\n")
    assert removed.returncode == 0, removed
    assert first.vmctl("controller", "remove", "third", typed="third\n").returncode == 4


def test_a_token_is_used_once_and_by_whoever_has_nothing_of_his_own(first: Home, new: Home, tmp_path: Path) -> None:
    token = first.vmctl("controller", "invite").stdout.strip()
    assert new.vmctl("controller", "join", token).returncode == 0
    other = Home(tmp_path / "other", "")
    used = other.vmctl("controller", "join", token)
    assert used.returncode == 5 and "it was used" in used.stderr, used
    assert "database" not in (other.folder / "config" / "vmctl" / "vmctl.toml").read_text().splitlines()[1]
    bad = other.vmctl("controller", "join", token[:-5])
    assert bad.returncode == 2 and "vmctl controller invite" in bad.stderr, bad
    other.serve()
    running = other.vmctl("controller", "join", first.vmctl("controller", "invite").stdout.strip())
    assert running.returncode == 3 and "a controller runs here" in running.stderr, running
    other.kill()


def test_one_with_a_registry_in_a_file_invites_nobody(new: Home) -> None:
    new.serve()
    wait_for(lambda: new.vmctl("host", "list").returncode == 0, "it answers")
    refused = new.vmctl("controller", "invite")
    assert refused.returncode == 3 and "vmctl db move" in refused.stderr, refused
