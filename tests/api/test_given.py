"""A command that is given with a key is done once: over lost answers, two at once, and restarts of the controller."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Server
from tests.api.peers import LOCAL, by
from vmctl.api.app import make_app
from vmctl.cluster.opening import open_controller
from vmctl.commands import users
from vmctl.commands.tasks import ShowTask
from vmctl.decide import access as rules
from vmctl.door import handlers
from vmctl.door.how import How
from vmctl.errors import NotAllowed, NotFound, RegistryUnusable
from vmctl.local.config import Settings
from vmctl.model.access import Project, User
from vmctl.model.records import Given, Task, VMRecord
from vmctl.model.rights import LOCAL_USER, Principal, Right
from vmctl.model.vms import Spec

UUID = "11111111-2222-3333-4444-555555555555"


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


async def test_a_task_is_accepted_once(server: Server) -> None:
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    answers = [await server.ask("POST", "vms/web1/stop", headers=key("k1")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1 and len(await store.all(Task)) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true", "true"]
    other = await server.ask("POST", "vms/web1/stop", headers=key("k2"))
    assert other.json()["id"] != answers[0].json()["id"], "another key is another command"


async def test_also_where_what_it_was_about_is_gone(server: Server) -> None:
    """A delete that is repeated is not told that there is no such VM: that would look as if it had never been."""
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    first = await server.ask("DELETE", "vms/web1", headers=key("k1"))
    await server.controller.tasks.wait(first.json()["id"])
    assert await store.find_vm("web1") is None
    again = await server.ask("DELETE", "vms/web1", headers=key("k1"))
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, first.json()["id"], "done")


async def test_a_key_is_for_one_command(server: Server) -> None:
    await server.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    await server.ask("POST", "vms/web1/stop", headers=key("k1"))
    for method, path, body in (
        ("POST", "vms/web1/stop", {"force": True}),
        ("POST", "vms/web1/start", {}),
        ("PUT", "vms/web1/autostart", {"on": True}),
    ):
        answer = await server.ask(method, path, json=body, headers=key("k1"))
        assert answer.status_code == 422 and "used for another command" in answer.json()["detail"], answer.text
    assert len(await server.controller.services.store.all(Task)) == 1


async def test_two_at_once_are_one(server: Server) -> None:
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    answers = await asyncio.gather(*(server.ask("POST", "vms/web1/stop", headers=key("k1")) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202} and len(await store.all(Task)) == 1
    made = await asyncio.gather(
        *(server.ask("POST", "projects", json={"name": "blue"}, headers=key("k2")) for _ in range(10))
    )
    assert [(one.status_code, one.json()) for one in made] == [(200, {"name": "blue"})] * 10, "one is made, ten hear so"


async def test_each_user_has_keys_of_his_own(server: Server) -> None:
    door, store = server.controller.door, server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    asked = users.AddProject
    anna = Principal("anna", LOCAL_USER.rights)
    narrow = Principal("anna", LOCAL_USER.rights, (Right(frozenset(), "all"),), "t1")
    await door.ask(asked("blue"), anna, How("k1"))
    await door.ask(asked("red"), Principal("ben", LOCAL_USER.rights), How("k1"))
    with pytest.raises(Exception, match="no permission projects"):  # nor does she hear through it of her other ones
        await door.ask(asked("blue"), narrow, How("k1"))


async def test_what_was_refused_may_be_given_again(server: Server) -> None:
    """Nothing was done, so that the key is free: a client that mends its mistake keeps its key."""
    refused = await server.ask("DELETE", "projects/default", headers=key("k1"))
    assert refused.status_code == 409
    assert await server.controller.services.store.all(Given) == []


async def test_who_comes_second_hears_of_a_refusal_as_one(server: Server) -> None:
    """And never of an answer that there is not."""
    for _ in range(5):
        answers = await asyncio.gather(
            *(server.ask("POST", "projects", json={"name": "default"}, headers=key("k1")) for _ in range(5))
        )
        assert {answer.status_code for answer in answers} == {409}, [answer.text for answer in answers]


async def test_another_password_a_zero_or_a_version_is_another_command(server: Server) -> None:
    await server.controller.services.store.insert(User("anna", 1.0))
    await server.controller.known.refresh()
    for path, first, other in (
        ("users/anna/password", {"password": "correct horse"}, {"password": "battery staple"}),
        ("limits/user:anna", {"vms": 0}, {"mem_mib": 0}),
    ):
        assert (await server.ask("PUT", path, json=first, headers=key(path))).status_code == 200
        assert (await server.ask("PUT", path, json=other, headers=key(path))).status_code == 422, path
    seen = key("limits/user:anna") | {"If-Match": '"0123456789abcdef"'}
    assert (await server.ask("PUT", "limits/user:anna", json={"vms": 0}, headers=seen)).status_code == 422


async def test_who_has_the_name_of_somebody_gone_is_not_he(server: Server) -> None:
    """Neither his keys nor his tasks are the new one's."""
    door, store = server.controller.door, server.controller.services.store
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    anna = Principal("anna", LOCAL_USER.rights)
    await door.ask(users.AddProject("blue"), anna, How("k1"))
    number = await store.add(Task(0, "stop", "web1", server.controller.services.clock.now(), who="anna"))
    await door.ask(users.RemoveUser("anna"), LOCAL_USER)
    await asyncio.sleep(0.01)
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    new = rules.principal(server.controller.known.access, "anna")
    with pytest.raises(NotAllowed):
        await door.ask(users.AddProject("blue"), new, How("k1"))
    with pytest.raises(NotFound):
        await door.ask(ShowTask(number), new)


async def test_how_it_ended_is_not_claimed_where_nobody_knows(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def dies(_parts: Any, asked: users.AddProject, _who: Any) -> Any:
        done.append(asked.name)
        raise RegistryUnusable("the disk is full")

    monkeypatch.setitem(handlers.AT_ONCE, users.AddProject, dies)
    monkeypatch.setattr("vmctl.door.given.LOOK_S", 0.01)
    first = await server.ask("POST", "projects", json={"name": "blue"}, headers=key("k1"))
    again = await server.ask("POST", "projects", json={"name": "blue"}, headers=key("k1"))
    assert first.status_code == 503 and done == ["blue"]
    assert again.status_code == 409 and "whether it was done is not known" in again.json()["detail"]
    assert again.json()["code"] == "Uncertain"


async def test_a_secret_is_shown_once_and_kept_nowhere(server: Server, tmp_path: Path) -> None:
    await server.controller.services.store.insert(User("anna", 1.0))
    await server.controller.known.refresh()
    body = {"user": "anna"}
    first = await server.ask("POST", "tokens", json=body, headers=key("k1"))
    again = await server.ask("POST", "tokens", json=body, headers=key("k1"))
    assert first.status_code == 200 and again.status_code == 409
    assert "shown only once" in again.json()["detail"]
    secret = first.json()["token"].split("_", 2)[2]
    assert secret.encode() not in b"".join(one.read_bytes() for one in (tmp_path / "data").iterdir() if one.is_file())
    await server.ask("PUT", "users/anna/password", json={"password": "correct horse"}, headers=key("k2"))
    kept = await server.controller.services.store.all(Given)
    assert not any("correct horse" in f"{one.hash}{one.answer}" for one in kept)


async def test_over_a_restart(tmp_path: Path, empty_registry: Path) -> None:
    """The first controller accepted it and died before it answered; the next one says which task it is."""
    (tmp_path / "data").mkdir()
    shutil.copy(empty_registry, tmp_path / "data" / "registry.db")
    told = []
    for turn in range(2):
        controller = open_controller(Settings(), tmp_path / "data", tmp_path / f"run{turn}")
        app = make_app(controller)
        if turn == 0:
            await controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(by(LOCAL, app)), base_url="http://vmctl") as http,
        ):
            for path, method, body in (("vms/web1/delete", "", None), ("projects", "POST", {"name": "blue"})):
                where = path.removesuffix("/delete")
                answer = await http.request(method or "DELETE", f"/api/v1/{where}", json=body, headers=key(f"k {path}"))
                told.append((answer.status_code, answer.json().get("id"), answer.json().get("name")))
            projects = await controller.services.store.all(Project)
    assert told[:2] == told[2:] and [one.name for one in projects] == ["blue"]


@pytest.mark.parametrize("bad", ["", "x" * 101, "a\tb"])
async def test_a_key_that_cannot_be_one_is_refused(server: Server, bad: str) -> None:
    answer = await server.ask("POST", "projects", json={"name": "blue"}, headers=key(bad))
    assert answer.status_code == 422 and await server.controller.services.store.all(Project) == []


async def test_keys_are_forgotten_after_a_week(server: Server) -> None:
    store = server.controller.services.store
    await store.insert(Given("k1", "h", 1.0, "anna"))
    await store.insert(Given("k2", "h", 8 * 86400.0, "anna"))
    await store.prune(9 * 86400.0)
    assert [one.key for one in await store.all(Given)] == ["k2"]
