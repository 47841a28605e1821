"""Who edits says which version he saw; who only wants to know what a command would do changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import Server
from tests.api.test_matrix import asked as arguments_of
from tests.api.test_matrix import filled
from vmctl.commands import catalogue
from vmctl.commands.rows import Command
from vmctl.door import handlers
from vmctl.door.answers import DryRun
from vmctl.door.how import How
from vmctl.errors import Refused, VmctlError
from vmctl.model.access import Group, User
from vmctl.model.records import HostRecord, Task, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import Spec
from vmctl.store import rules

__all__ = ["filled"]
UUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
async def there(server: Server) -> AsyncIterator[Server]:
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    await store.put(HostRecord("kvm1", "127.0.0.1", "k", "f", 1.0))
    await store.insert(User("anna", 1.0))
    await store.insert(Group("ops", 1.0))
    await server.controller.known.refresh()
    yield server


EDITS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("vms/web1", "vms/web1/autostart", {"on": False}, {"on": True}),
    ("vms/web1", "vms/web1/heal", {"level": "reset"}, {"level": "off"}),
    ("vms/web1", "vms/web1/project", {"project": "blue"}, {"project": "default"}),
    ("hosts/kvm1", "hosts/kvm1/labels", {"labels": {"rack": "a"}}, {"labels": {"rack": "b"}}),
    ("groups", "groups/ops/members", {"add": ["anna"]}, {"remove": ["anna"]}),
    ("limits?of=user:anna", "limits/user:anna", {"vms": 3}, {"vms": 4}),
)


def test_every_edit_is_tried() -> None:
    edits = {row.path.split("/")[-1].strip("{}") for row in catalogue.commands() if row.edits}
    assert edits == {"autostart", "heal", "project", "labels", "members", "of"}


@pytest.mark.parametrize(("seen_at", "path", "one", "other"), EDITS)
async def test_a_version_is_edited_once(
    there: Server, seen_at: str, path: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    await there.ask("POST", "projects", json={"name": "blue"})

    async def version() -> str:
        answer = await there.ask("GET", seen_at)
        found = answer.json()[0] if isinstance(answer.json(), list) else answer.json()
        if not isinstance(answer.json(), list):
            assert answer.headers["ETag"] == f'"{found["version"]}"'
        return str(found["version"])

    before = await version()
    good = await there.ask("PUT", path, json=one, headers={"If-Match": f'"{before}"'})
    assert good.status_code == 200, good.text
    assert await version() != before
    stale = await there.ask("PUT", path, json=other, headers={"If-Match": f'"{before}"'})
    assert stale.status_code == 412 and "changed by somebody else" in stale.json()["detail"], stale.text
    assert (await there.ask("PUT", path, json=other, headers={"If-Match": "*"})).status_code == 200


async def test_of_two_who_saw_the_same_one_edits(there: Server) -> None:
    seen = (await there.ask("GET", "vms/web1")).headers["ETag"]
    answers = await asyncio.gather(
        *(
            there.ask("PUT", "vms/web1/heal", json={"level": level}, headers={"If-Match": seen})
            for level in ("reboot", "reset")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


@pytest.mark.parametrize("bad", ["abc", '""', '"a", "b"', 'W/"a"'])
async def test_a_version_that_cannot_be_read_is_refused(there: Server, bad: str) -> None:
    answer = await there.ask("PUT", "vms/web1/heal", json={"level": "reset"}, headers={"If-Match": bad})
    assert answer.status_code == 422 and (await there.controller.services.store.vm("web1")).heal == "off"


async def test_what_has_no_version_is_not_edited_by_one(there: Server) -> None:
    answer = await there.ask("POST", "vms/web1/stop", headers={"If-Match": '"abc"'})
    assert answer.status_code == 422 and await there.controller.services.store.all(Task) == []


# -- only to know


async def everything(server: Server) -> str:
    store = server.controller.services.store
    return repr([await store.all(kind) for kind in rules.KEYS] + [await store.chain(0, 1000)])


GOOD: dict[str, Any] = {
    "mem_mib": 64,
    "labels": {"rack": "a"},
    "password": "correct horse",
    "permissions": ["look"],
    "role": "viewer",
    "on": "all",
    "who": "carl",
    "of": "user:carl",
    "id": "nosuch",
    "level": "reset",
    "cron": "0 3 * * *",
    "path": "/more",
    "file": __file__,
    "url": "https://images.example.org/a.qcow2",
    "size_bytes": 1 << 20,
    "words": ["true"],
    "part": "file",
    "offset": 0,
}


@pytest.mark.parametrize("row", catalogue.commands(), ids=lambda row: row.arguments.__name__)
async def test_a_dry_run_of_any_command_changes_nothing(filled: Server, row: Command) -> None:
    before = await everything(filled)
    one = arguments_of(row, "blue")
    for name, value in GOOD.items():
        if getattr(one, name, value) is None:
            object.__setattr__(one, name, value)
    try:
        told = await filled.controller.door.ask(one, LOCAL_USER, How(dry=True))
    except VmctlError as refused:
        assert refused.message
    else:
        assert isinstance(told, DryRun) and told.would.startswith(f"would {row.kind}")
    assert await everything(filled) == before


async def test_a_dry_run_of_what_takes_a_query_is_one_too(filled: Server) -> None:
    answer = await filled.ask("DELETE", "hosts/kvm1?force=true&dry_run=true")
    assert answer.status_code == 200 and answer.json()["would"], answer.text
    assert (await filled.ask("GET", "hosts")).json()


async def test_it_says_what_would_be_refused(there: Server) -> None:
    door = there.controller.door
    assert isinstance(handlers.AT_ONCE, dict)
    for row, body in (("projects", {"name": "default"}), ("roles", {"name": "admin", "permissions": ["look"]})):
        answer = await there.ask("POST", f"{row}?dry_run=true", json=body)
        assert answer.status_code == 409, answer.text
    from vmctl.commands.tasks import CancelTask

    number = await there.controller.services.store.add(Task(0, "stop", "web1", 1.0, vm=UUID))
    with pytest.raises(Refused):
        await door.ask(CancelTask(number), LOCAL_USER, How(dry=True))


async def test_pulling_the_plug_dry_lets_a_stop_that_waits_go_on(there: Server) -> None:
    store, tasks = there.controller.services.store, there.controller.tasks
    hold = asyncio.Event()

    async def waits(job: Any) -> dict[str, Any]:
        await store.claim(await store.vm("web1"), job.id)
        await hold.wait()
        return {}

    tasks.handlers["stop"] = waits
    first = (await there.ask("POST", "vms/web1/stop")).json()["id"]
    async with asyncio.timeout(10):
        while (await store.vm("web1")).task is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    dry = await there.ask("POST", "vms/web1/stop?dry_run=true", json={"force": True})
    assert dry.status_code == 200 and not (await store.get(Task, first)).cancel_asked
    hold.set()
    await tasks.wait(first)


async def test_it_says_what_would_be_done(there: Server) -> None:
    stop = await there.ask("POST", "vms/web1/stop?dry_run=true")
    assert (stop.status_code, stop.json()["would"]) == (
        200,
        "would stop web1 (stopped now); its hosts are asked when it is done",
    )
    group = await there.ask("PUT", "groups/ops/members?dry_run=true", json={"add": ["anna"]})
    assert group.json()["detail"]["members"] == ["anna"]
    token = await there.ask("POST", "tokens?dry_run=true", json={"user": "anna"})
    assert token.status_code == 200 and token.json()["detail"] is None, "no secret of a token that there is not"
    assert await everything(there) == await everything(there)
