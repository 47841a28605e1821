"""Who asked for what, and what became of it: written with what it tells of, refusals too, and never a secret."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import pytest

from tests.api.conftest import Server
from vmctl.commands import cluster, hosts, limits, storages, users, vms
from vmctl.door.user_answers import AuditEntry
from vmctl.errors import NotAllowed, NotLoggedIn, RegistryUnusable, Usage
from vmctl.model.audit import Entry
from vmctl.model.records import Storage, Task, VMRecord
from vmctl.model.rights import LOCAL_USER, Permission, Principal, Right
from vmctl.model.vms import Spec

UUID = "11111111-2222-4333-8444-555555555555"
EVE = Principal("eve", where="192.0.2.9", token="t1")


async def told(server: Server, **more: Any) -> list[AuditEntry]:
    found: list[AuditEntry] = await server.controller.door.ask(users.ListAudit(**more), LOCAL_USER)
    return found


def short(entries: list[AuditEntry]) -> list[tuple[str, ...]]:
    return [(one.who, one.what, one.subject, one.outcome) for one in entries]


async def test_a_task_is_told_when_it_is_accepted_and_when_it_ends(server: Server) -> None:
    await server.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    task = await server.controller.door.ask(vms.Pause("web1"), LOCAL_USER)
    async with asyncio.timeout(20):
        await server.controller.tasks.wait(task.id)
    first, last = await told(server)
    assert short([first, last]) == [
        ("local user", "pause", "web1", "accepted"),
        ("local user", "pause", "web1", "failed"),
    ]
    assert (first.uuid, first.task, last.task) == (UUID, task.id, task.id) and first.detail == {"vm": UUID}
    assert "web1" in last.detail["message"]


async def test_what_is_done_at_once_is_told_before_and_after(server: Server) -> None:
    await server.controller.door.ask(cluster.SetSchedule("rebalance", "0 3 * * *"), LOCAL_USER)
    with pytest.raises(Usage):
        await server.controller.door.ask(cluster.SetSchedule("rebalance", "not cron"), LOCAL_USER)
    assert [one.outcome for one in await told(server)] == ["accepted", "done", "accepted", "failed"]


async def test_what_is_refused_is_told_with_its_address(server: Server) -> None:
    for asked in (hosts.ListHosts(), users.AddUser("x", "a password of eve"), hosts.AddHosts(["kvm9"])):
        with pytest.raises(NotAllowed):
            await server.controller.door.ask(asked, EVE)
    entries = await told(server)
    assert short(entries) == [
        ("eve", "ListHosts", "", "refused"),
        ("eve", "user add", "x", "refused"),
        ("eve", "host add", "kvm9", "refused"),
    ]
    assert {(one.where, one.token) for one in entries} == {("192.0.2.9", "t1")}


async def test_log_ins_are_told(server: Server) -> None:
    door = server.controller.door
    with pytest.raises(NotLoggedIn):
        await door.log_in(users.LogIn("anna", "wrong password"), "192.0.2.1")
    [entry] = await told(server)
    assert (entry.who, entry.what, entry.outcome, entry.where) == ("anna", "log in", "refused", "192.0.2.1")


async def test_no_secret_is_told(server: Server) -> None:
    door = server.controller.door
    await door.ask(users.AddUser("anna", "the secret of anna"), LOCAL_USER)
    await door.ask(users.SetPassword("anna", "the secret of ben"), LOCAL_USER)
    made = await door.ask(users.CreateToken(user="anna"), LOCAL_USER)
    entries = repr(await told(server))
    assert "secret" not in entries and made.token not in entries and "'password': '***'" in entries


async def test_what_cannot_be_written_down_is_not_done(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))

    async def full(*_: Any, **__: Any) -> Any:
        raise RegistryUnusable("the registry's disk is full")

    monkeypatch.setattr(store, "audit", full)
    for asked in (
        users.AddUser("anna"),
        vms.SetAutostart("web1", False),
        cluster.SetSchedule("rebalance", "0 3 * * *"),
    ):
        with pytest.raises(RegistryUnusable):
            await server.controller.door.ask(asked, LOCAL_USER)
    assert (await store.access()).users == {} and (await store.vm("web1")).autostart
    monkeypatch.setattr(store, "accept", full)
    with pytest.raises(RegistryUnusable):
        await server.controller.door.ask(vms.Pause("web1"), LOCAL_USER)
    assert await store.all(Task) == []


async def test_it_is_looked_through(server: Server) -> None:
    store = server.controller.services.store
    for number in range(1200):
        await store.audit(Entry(float(number), f"user{number % 3}", "stop" if number % 2 else "start", "web1", "done"))
    assert [one.id for one in await told(server, most=2)] == [1199, 1200]
    found = await told(server, who="user1", what="sto", most=3)
    assert [one.id for one in found] == [1184, 1190, 1196]
    assert [one.id for one in await told(server, since=1197.0)] == [1198, 1199, 1200]
    assert [one.id for one in await told(server, whole=True, after=1198)] == [1199, 1200]
    assert await told(server, who="nobody") == []


async def test_it_is_verified(server: Server) -> None:
    store, ask = server.controller.services.store, server.controller.door.ask
    for number in range(5):
        await store.audit(Entry(float(number), "anna", "stop", "web1", "done"))
    good = await ask(users.VerifyAudit(), LOCAL_USER)
    assert good.good and good.entries == 5 and good.head.startswith("5:")
    path = str(store.database.engine.url.database)  # type: ignore[attr-defined]
    with sqlite3.connect(path) as database:  # as somebody on the machine would
        [text] = database.execute("SELECT text FROM audit WHERE id = 3").fetchone()
        database.execute("UPDATE audit SET text = ? WHERE id = 3", (text.replace("anna", "eve"),))
    database.close()
    assert (await ask(users.VerifyAudit(), LOCAL_USER)).why == "entry 3 is not what it was when it was written"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE audit SET text = ? WHERE id = 3", (text,))
        database.execute("DELETE FROM audit WHERE id > 3")
    database.close()
    assert (await ask(users.VerifyAudit(), LOCAL_USER)).good
    assert "the end is cut off" in (await ask(users.VerifyAudit(good.head), LOCAL_USER)).why


def test_the_text_of_an_entry_is_json() -> None:
    from vmctl.model.audit import text_of

    assert json.loads(text_of(Entry(1.0, "a", "b", "c", "done")))["who"] == "a"


async def test_a_zero_is_told(server: Server) -> None:
    await server.controller.door.ask(limits.SetLimits("project:default", vms=0), LOCAL_USER)
    assert (await told(server, what="limits set"))[0].detail == {"of": "project:default", "vms": 0}


async def test_what_is_refused_before_it_is_begun_is_in_it(server: Server) -> None:
    store, door = server.controller.services.store, server.controller.door
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    elsewhere = Principal("anna", LOCAL_USER.rights, token="t1", where="10.0.0.9")
    viewer = Principal("ben", (Right(frozenset((Permission.LOOK,))),), token="t2")
    wire: Any = None
    with pytest.raises(NotAllowed):
        await door.ask(storages.AddImage("x", "/etc/shadow"), elsewhere)
    with pytest.raises(NotAllowed):
        await door.console("web1", viewer, "", wire, force=False)
    found = [(one.who, one.what, one.outcome) for one in await told(server)]
    assert found == [("anna", "image add", "refused"), ("ben", "console", "refused")]
