"""What all tests share.

`pytest --hypothesis-profile deep tests/decide` looks longer for a counterexample; `./deploy/test --all` uses `all`.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import Postgres, running
from vmctl.ports.store import Store
from vmctl.store import postgres, sqlite
from vmctl.store.sql import SqlStore
from vmctl.store.sqlite import SqliteDatabase

if name := os.environ.get("VMCTL_MUTANT"):  # before any test imports what it uses
    from tests.mutants import put_in_for_good

    put_in_for_good(name)

# No time limits: a busy machine is no reason to fail.
settings.register_profile("quick", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("quick"), max_examples=1000)
settings.register_profile("all", settings.get_profile("quick"), max_examples=100)  # and 5000 lives of a cluster
settings.load_profile("quick")


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: no collection of garbage need look at it again."""
    gc.freeze()


class _AtOnce:
    """Says what failed when it fails: who reads along, or stops a run that hangs, knows what to look at."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One part of one test."""
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED {report.nodeid} ({report.when}): {_last_line(report)}")


def _last_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(getattr(crash, "message", report.longrepr)).partition("\n")[0][:200]


@pytest.hookimpl(trylast=True)  # after the one that makes it
def pytest_configure(config: pytest.Config) -> None:
    """The process that draws the lines of progress says more."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_AtOnce(terminal), "failures at once")


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries of tests need not survive one: thousands of small writes wait for no disk."""
    monkeypatch.setattr(sqlite, "PRAGMAS", ("synchronous=OFF", *(p for p in sqlite.PRAGMAS if "synchr" not in p)))


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    sqlite.upgrade(path)
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server of this process's own; its database `empty` has all tables and nothing in them."""
    with running() as server:
        postgres.upgrade(server.create("empty"))
        yield server


@pytest.fixture
async def registry(request: pytest.FixtureRequest, tmp_path: Path, empty_registry: Path) -> AsyncIterator[Store]:
    """A registry of the test's own, on a real file; VMCTL_TEST_DATABASE=postgres: in a real server's database."""
    if os.environ.get("VMCTL_TEST_DATABASE") == "postgres":
        server: Postgres = request.getfixturevalue("postgres_server")
        opened = SqlStore(postgres.PostgresDatabase(server.create("registry", "empty")))
        yield opened
        await opened.close()
        server.drop("registry")
        return
    path = Path(shutil.copy(empty_registry, tmp_path / "registry.db"))
    opened = SqlStore(SqliteDatabase(path))
    yield opened
    await opened.close()
