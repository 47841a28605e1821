"""A command of which nobody knows whether it was accepted: it is never begun later, when whoever asked has moved on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.postgres import QUIET, running
from tests.tasks.test_tasks import ME, Asked, Work
from tests.tasks.test_tasks import running as engine
from vmctl.errors import RegistryUnusable
from vmctl.model.records import Task, TaskState
from vmctl.store import postgres
from vmctl.store.opening import open_store
from vmctl.tasks import engine as module

LOOKS = 300


async def test_what_is_written_after_all_is_ended_and_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its COMMIT waits for a standby that is away; the standby comes back when the client has long been told."""
    monkeypatch.setattr(postgres, "LIMIT_S", 1.5)
    monkeypatch.setattr(postgres, "FIND_OUT_S", 1.0)
    monkeypatch.setattr(module, "DISOWN_EVERY_S", 0.3)
    with running((*QUIET, "fsync=off", "max_wal_senders=4")) as server:
        store = open_store(server.create("vmctl"), Path("/none"))
        work = Work()
        tasks = engine(store, work)
        with psycopg.connect(server.dsn("vmctl"), autocommit=True) as other:

            def standby(name: str) -> None:
                other.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
                other.execute("SELECT pg_reload_conf()")

            standby("nobody")
            await asyncio.sleep(0.3)
            with pytest.raises(RegistryUnusable, match="did not say whether it wrote"):
                await tasks.submit(Asked(), ME, "web1")
            assert await store.all(Task) == [], "nobody can see it yet"
            standby("")
            for _ in range(LOOKS):
                found = await store.all(Task)
                if found and found[0].state.ended:
                    break
                await asyncio.sleep(0.1)
        assert found[0].state is TaskState.FAILED
        assert found[0].error["message"] == "it was not known whether it was accepted"
        assert not work.started.is_set()
        await tasks.close()
        await store.close()
