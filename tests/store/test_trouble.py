"""A registry that cannot be used is a sentence: the file, what is wrong with it, and the way out."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vmctl.errors import RegistryUnusable
from vmctl.local import paths
from vmctl.model.records import Event
from vmctl.store import sqlite
from vmctl.store.sql import SqlStore
from vmctl.store.sqlite import SqliteDatabase


@pytest.fixture
def file(tmp_path: Path, empty_registry: Path) -> Path:
    return Path(shutil.copy(empty_registry, tmp_path / "registry.db"))


def problem(path: Path) -> RegistryUnusable:
    with pytest.raises(RegistryUnusable) as caught:
        sqlite.upgrade(path)
    told = f"{caught.value.message} {caught.value.hint}"
    assert str(path) in told and "sqlalche" not in told.lower() and "alembic" not in told.lower(), told
    return caught.value


def test_a_newer_one(file: Path) -> None:
    with sqlite3.connect(file) as opened:
        opened.execute("update alembic_version set version_num='zzzz9999'")
    opened.close()
    found = problem(file)
    assert "was written by a newer vmctl" in found.message and found.hint == "upgrade vmctl"


@pytest.mark.parametrize("where", [0, 100])
def test_a_damaged_one(file: Path, where: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(where)
        opened.write(b"garbage\n" * 500)
    found = problem(file)
    assert "is damaged" in found.message and found.hint == f"mv {file} {file}.damaged"
    assert "read back from their hosts" in found.lines[0]


def test_one_without_its_tables(file: Path) -> None:
    with sqlite3.connect(file) as opened:
        opened.execute("drop table alembic_version")
    opened.close()
    assert "is damaged" in problem(file).message


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "registry.db").mkdir()
    assert "unable to open database file" in problem(tmp_path / "registry.db").message


async def test_one_that_is_damaged_while_it_is_used(file: Path) -> None:
    store = SqlStore(SqliteDatabase(file))
    await store.add(Event("test", "x", "said", 0.0))
    await store.close()
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * 100_000)
    store = SqlStore(SqliteDatabase(file))
    with pytest.raises(RegistryUnusable, match="is damaged"):
        await store.events()
    await store.close()


FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from vmctl.errors import RegistryUnusable
from vmctl.model.records import Event
from vmctl.store.sql import SqlStore
from vmctl.store.sqlite import SqliteDatabase

async def main():
    store = SqlStore(SqliteDatabase(Path(sys.argv[1])))
    await store.events()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
    try:
        for number in range(100):
            await store.add(Event("test", "x", "y" * 5000, 0.0))
    except RegistryUnusable as err:
        print(err.message, "|", err.hint)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.add(Event("test", "x", "again", 0.0))
    print((await store.events(most=1))[0].text)
    await store.close()

asyncio.run(main())
"""


def test_one_that_cannot_grow_is_told_and_goes_on_when_it_can(file: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", FULL, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, again = done.stdout.splitlines()
    assert f"the registry {file} cannot be written: " in told and str(paths.mount_of(file)) in told
    assert again == "again"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_one_that_may_not_be_written(file: Path) -> None:
    file.parent.chmod(0o500)
    found = problem(file.parent / "other.db")
    file.parent.chmod(0o700)
    assert "cannot be written" in found.message and f"ls -ld {file.parent}" in found.hint
