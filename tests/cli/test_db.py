"""`vmctl db`: it says where the registry is, and takes it elsewhere; no controller is asked."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from tests.postgres import Postgres
from vmctl import errors
from vmctl.cli.controllers import without_key
from vmctl.cli.main import cli
from vmctl.local import config, lock, paths
from vmctl.model.joining import ControllerKey
from vmctl.model.records import ClusterValue, HostRecord
from vmctl.model.replicas import Replica
from vmctl.model.watching import HostReport
from vmctl.store.opening import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    paths.config_dir().mkdir(parents=True)
    return tmp_path


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("cli")
    postgres_server.drop("cli")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["db", *words])


def ended_by(done: Result) -> errors.VmctlError:
    assert isinstance(done.exception, errors.VmctlError), done.output
    return done.exception


def file() -> Path:
    return paths.data_dir() / "registry.db"


def test_where_there_is_none_it_says_what_makes_one() -> None:
    for words in (("status",), ("upgrade", "--dry-run")):
        assert "has no tables yet: the first controller makes them" in run(*words).output
    assert "there is no registry at" in ended_by(run("move", "--to", "postgresql://x@127.0.0.1:1/x")).message
    assert not file().exists()


def test_a_file_is_made_and_told(dsn: str) -> None:
    assert "is up to date" in run("upgrade").output and file().exists()
    told = run("status").output
    assert "SQLite 3" in told and str(file()) in told
    assert json.loads(run("status", "-o", "json").output)["schema"] == "newest"


def test_what_only_looks_waits_for_nobody_and_holds_nobody_up() -> None:
    store = open_store("", file())  # as a controller does
    asyncio.run(store.put(ClusterValue("a", "b")))
    asyncio.run(store.close())
    with closing(sqlite3.connect(file(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "is up to date" in run("status").output
        listed = CliRunner().invoke(cli, ["controller", "list"])
        assert listed.exit_code == 0 and "no controller uses this registry" in listed.output


def test_a_server_is_told_before_and_after_its_tables_are_made(dsn: str) -> None:
    (paths.config_dir() / "vmctl.toml").write_text(f'database = "{dsn}"\n')
    assert "has no tables yet" in run("status").output
    assert "is up to date" in run("upgrade").output
    told = run("status").output
    assert "PostgreSQL" in told and "postgresql://vmctl@" in told
    assert "is in postgresql://vmctl@" in ended_by(run("move", "--to", dsn)).message


def test_who_is_in_the_way_is_named(dsn: str) -> None:
    (paths.config_dir() / "vmctl.toml").write_text(f'database = "{dsn}"\n')
    run("upgrade")
    with psycopg.connect(dsn, application_name="forgotten") as other:
        other.execute("SELECT 1")
        time.sleep(1.2)
        told = run("status").output
        assert "long transactions" in told and f"forgotten (process {other.info.backend_pid})" in told
        other.execute("LOCK TABLE task")
        time.sleep(1.2)
        error = ended_by(run("status"))
        assert f"forgotten (process {other.info.backend_pid})" in error.message and "pg_terminate" in error.hint
    assert "long transactions" not in run("status").output


def test_what_a_controller_does_not_reach_is_told_in_the_list(dsn: str) -> None:
    (paths.config_dir() / "vmctl.toml").write_text(f'database = "{dsn}"\n')
    store = open_store(dsn, file())

    async def fill() -> None:
        for name in ("kvm1", "kvm2", "kvm3"):
            await store.put(HostRecord(name, name, "k", "f", 1.0))
        for life in ("a", "b"):
            store.begin_life(Replica(life, f"ctl-{life}", f"home-{life}", "0.1", 1.0, boot_id="boot"))
        await store.share_out({"kvm1": "a", "kvm2": "a", "kvm3": "b"}, 1.0)
        told = [HostReport(name, 1, 1, {"away_s": away}) for name, away in (("kvm1", None), ("kvm2", 5.0))]
        await store.report("a", told, 1.0)
        await store.report("b", [HostReport("kvm3", 1, 1, {"away_s": None})], 1.0)
        await store.close()

    asyncio.run(fill())
    listed = CliRunner().invoke(cli, ["controller", "list"]).output
    assert "2, 1 not reached" in listed
    found = {
        one["name"]: one for one in json.loads(CliRunner().invoke(cli, ["controller", "list", "-o", "json"]).output)
    }
    assert found["ctl-a"]["not_reached"] == ["kvm2"] and found["ctl-b"]["not_reached"] == []
    assert "not reached  kvm2" in CliRunner().invoke(cli, ["controller", "show", "ctl-a"]).output


def test_one_that_joins_again_while_it_is_removed_keeps_its_new_key() -> None:
    seen = ControllerKey("home-1", "kvm1", "ssh-ed25519 A", 1.0, ["kvm1"])
    assert without_key(seen)(replace(seen, hosts=["kvm1", "kvm2"])) == replace(seen, key="", hosts=["kvm1", "kvm2"])
    assert without_key(seen)(None).removed
    again = replace(seen, key="ssh-ed25519 B", joined_at=2.0, hosts=[])
    assert without_key(seen)(again) == again


def test_it_moves_and_says_what_to_write_into_the_settings(dsn: str) -> None:
    run("upgrade")
    assert "rows would be moved" in run("move", "--to", dsn, "--dry-run").output
    done = run("move", "--to", dsn)
    assert "each was compared" in done.stdout and f'database = "{dsn}"' in done.stderr
    assert "moved to  postgresql://vmctl@" in run("status").output
    with pytest.raises(errors.RegistryUnusable, match="was moved to") as caught:
        open_store("", file())
    assert "vmctl.toml" in caught.value.hint
    (paths.config_dir() / "vmctl.toml").write_text(f'database = "{dsn}"\n')
    assert "is up to date" in run("status").output


def test_nothing_moves_while_a_controller_runs(dsn: str) -> None:
    run("upgrade")
    held = lock.take(paths.lock_path())
    try:
        for words in (("move", "--to", dsn), ("upgrade",)):
            assert isinstance(ended_by(run(*words)), errors.AlreadyRuns)
    finally:
        os.close(held)


@pytest.mark.parametrize("dsn", ["postgresql://vmctl:secret@db/vmctl", "host=db password=secret dbname=vmctl"])
def test_a_password_is_for_nobody_elses_eyes(dsn: str) -> None:
    settings = paths.config_dir() / "vmctl.toml"
    settings.write_text(f'database = "{dsn}"\n')
    settings.chmod(0o644)
    with pytest.raises(errors.Usage, match="others may read it") as caught:
        config.load()
    assert caught.value.hint == f"chmod 600 {settings}"
    settings.chmod(0o600)
    assert config.load().database == dsn


@pytest.mark.parametrize(
    "dsn", ["postgresql://vmctl@db1:5432,db2/vmctl", "", "postgresql://db/vmctl?sslmode=verify-full"]
)
def test_without_a_password_anybody_may_read_the_settings(dsn: str) -> None:
    settings = paths.config_dir() / "vmctl.toml"
    settings.write_text(f'database = "{dsn}"\n')
    settings.chmod(0o644)
    assert config.load().database == dsn
