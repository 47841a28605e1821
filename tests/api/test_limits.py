"""How much users and projects may have: promised within their limits only, whoever asks at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.api.conftest import Server
from vmctl.commands import limits, users, vms
from vmctl.door.user_answers import Limited
from vmctl.errors import NotAllowed, NotFound, OverLimit, TooManyRequests
from vmctl.model.access import Limit, Project, Use, User
from vmctl.model.records import HostRecord, Image, Storage, Task, VMRecord
from vmctl.model.rights import BUILT_IN, LOCAL_USER, Principal, Right
from vmctl.model.uploads import Upload, UploadState
from vmctl.model.vms import Disk, Spec

GIB = 1 << 30
ANNA = Principal("anna", (Right(BUILT_IN["creator"], "project:blue"),), token="t1", where="10.0.0.9")


@pytest.fixture
async def blue(server: Server) -> Server:
    """A project, anna who makes VMs there, and an image of 2 GiB."""
    store = server.controller.services.store
    await store.insert(Project("blue", 1.0))
    await store.insert(User("anna", 1.0))
    await store.put(HostRecord("kvm1", "127.0.0.1", "k", "f", 1.0))
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    await store.add_image(Image("tiny", "main", "/s/tiny", 1.0, size_bytes=2 * GIB, project="blue"))
    await server.controller.known.refresh()
    return server


async def limit(server: Server, of: str, **most: Any) -> Limited:
    found: Limited = await server.controller.door.ask(limits.SetLimits(of, **most), LOCAL_USER)
    return found


def vm(name: str, owner: str = "anna", project: str = "blue", **more: Any) -> VMRecord:
    spec = Spec(f"uuid-{name}", name, 2, 1024, (Disk("main", f"/s/{name}"),))
    return VMRecord(spec, 1.0, owner=owner, project=project, disk_bytes=4 * GIB, **more)


@pytest.mark.parametrize(
    ("of", "most", "words"),
    [
        ("project:blue", {"vms": 1}, "project blue has 1 VM of 1 VM: 1 VM more is over its limit"),
        ("user:anna", {"vms": 1}, "user anna has 1 VM of 1 VM: 1 VM more"),
        ("project:blue", {"vcpus": 3}, "has 2 vCPUs of 3 vCPUs: 2 vCPUs more"),
        ("user:anna", {"mem_mib": 2047}, "has 1024 MiB of memory of 2047 MiB of memory: 1024 MiB of memory more"),
        ("project:blue", {"disk_bytes": 9 * GIB}, "has 6144 MiB of disk of 9216 MiB of disk: 4096 MiB of disk more"),
        ("user:anna", {"disk_bytes": 7 * GIB}, "has 4096 MiB of disk of 7168 MiB"),
    ],
)
async def test_no_vm_is_made_beyond_a_limit(blue: Server, of: str, most: dict[str, Any], words: str) -> None:
    store = blue.controller.services.store
    await store.add_vm(vm("web1"), made=True)
    await limit(blue, of, **most)
    with pytest.raises(OverLimit) as refused:
        await store.add_vm(vm("web2"), made=True)
    assert words in refused.value.message and f"vmctl limits show {of}" == refused.value.hint
    assert await store.find_vm("web2") is None


async def test_of_many_at_once_no_more_are_made_than_may_be(blue: Server) -> None:
    store = blue.controller.services.store
    await limit(blue, "project:blue", vms=5)
    made = await asyncio.gather(*(store.add_vm(vm(f"web{n}"), made=True) for n in range(20)), return_exceptions=True)
    assert sum(one is None for one in made) == 5 and sum(isinstance(one, OverLimit) for one in made) == 15


async def test_what_is_there_already_stays_and_what_is_found_comes_in(blue: Server) -> None:
    """A limit refuses what is asked for. It never makes us forget a VM that a host shows."""
    store = blue.controller.services.store
    for name in ("web1", "web2"):
        await store.add_vm(vm(name), made=True)
    shown = await limit(blue, "project:blue", vms=1)
    assert (shown.used.vms, shown.limit.vms) == (2, 1)
    await store.add_vm(vm("found", owner="", adopted=True, host="kvm1"))
    assert await store.find_vm("found") is not None
    await limit(blue, "project:blue", disk_bytes=0)
    tiny = await store.get(Image, "tiny")
    await store.take_image("tiny")
    await store.add_image(tiny, again=True)


async def test_what_is_on_its_way_counts_and_becomes_an_image_in_its_place(blue: Server) -> None:
    store = blue.controller.services.store
    await limit(blue, "project:blue", disk_bytes=5 * GIB)
    sent = Upload("a1", "new", "main", 1.0, 1.0, {"file": 3 * GIB}, state=UploadState.OPEN, project="blue")
    await store.add_upload(sent)
    with pytest.raises(OverLimit):
        await store.add_upload(replace(sent, id="a2", name="more"))
    await store.change(Upload, "a1", done={"file": 3 * GIB})
    image = Image("new", "main", "/s/new", 1.0, size_bytes=4 * GIB, project="blue")
    with pytest.raises(OverLimit):  # what it unpacks to is larger than what was sent
        await store.finish_upload("a1", image)
    assert await store.find(Upload, "a1") is not None and await store.find(Image, "new") is None
    await store.finish_upload("a1", replace(image, size_bytes=3 * GIB))
    assert await store.find(Upload, "a1") is None


async def test_a_vm_does_not_move_into_a_full_project(blue: Server) -> None:
    store, door = blue.controller.services.store, blue.controller.door
    await store.add_vm(vm("web1", project="default"), made=True)
    await limit(blue, "project:blue", vcpus=1)
    with pytest.raises(OverLimit):
        await door.ask(users.MoveToProject("web1", "blue"), LOCAL_USER)
    assert (await store.vm("web1")).project == "default"
    await limit(blue, "project:blue", vcpus=2)
    await door.ask(users.MoveToProject("web1", "blue"), LOCAL_USER)
    await door.ask(users.MoveToProject("web1", "blue"), LOCAL_USER)  # where it is already, it takes nothing more


async def test_who_asks_hears_of_it_before_anything_is_begun(blue: Server) -> None:
    await limit(blue, "project:blue", disk_bytes=3 * GIB)
    for asked in (
        vms.Create("web1", "tiny", 64, project="blue"),
        vms.WhereToCreate("web1", "tiny", 64, project="blue"),
    ):
        with pytest.raises(OverLimit, match="2048 MiB of disk more is over"):
            await blue.controller.door.ask(asked, ANNA)
    assert await blue.controller.services.store.all(Task) == []


async def test_so_many_commands_at_once_and_no_more(blue: Server) -> None:
    store, door, running = blue.controller.services.store, blue.controller.door, blue.controller.tasks
    hold = asyncio.Event()

    async def waits(_job: Any) -> dict[str, Any]:
        await hold.wait()
        return {}

    running.handlers["stop"] = waits
    await limit(blue, "user:anna", commands=2)
    for name in ("web1", "web2", "web3"):
        await store.add_vm(vm(name), made=True)
    # What a plan moves, and what the controller does by itself, is nobody's command.
    await store.add(Task(0, "migrate", "web3", 1.0, who="anna", args={"parent": 7}, project="blue"))
    first = [await door.ask(vms.Stop(name), ANNA) for name in ("web1", "web2")]
    with pytest.raises(OverLimit, match="user anna has 2 commands at once of 2 commands at once"):
        await door.ask(vms.Stop("web3"), ANNA)
    await door.ask(vms.Stop("web3"), LOCAL_USER)  # the limit is anna's
    hold.set()
    for task in first:
        await running.wait(task.id)
    await running.wait((await door.ask(vms.Stop("web1"), ANNA)).id)


async def test_a_user_and_a_project_send_so_many_requests(blue: Server) -> None:
    known, door = blue.controller.known, blue.controller.door
    await blue.controller.services.store.add_vm(vm("web1"), made=True)
    await limit(blue, "user:anna", requests_per_s=0.01)
    tokens = [(await door.ask(users.CreateToken(user="anna"), LOCAL_USER)).token for _ in range(2)]
    assert known.asks(tokens[0]) is not None
    with pytest.raises(TooManyRequests):  # whichever token
        known.asks(tokens[1])
    await limit(blue, "user:anna", lift=["requests_per_s"])
    assert known.asks(tokens[1]) is not None
    await limit(blue, "project:blue", requests_per_s=0.01)
    await door.ask(vms.ShowVM("web1"), ANNA)
    with pytest.raises(TooManyRequests, match="project blue asks too often"):
        await door.ask(vms.ShowVM("web1"), ANNA)


async def test_who_may_set_and_see_them(blue: Server) -> None:
    door, store = blue.controller.door, blue.controller.services.store
    with pytest.raises(NotAllowed):
        await door.ask(limits.SetLimits("user:anna", vms=100), ANNA)
    for nobody in ("user:nosuch", "project:nosuch"):
        with pytest.raises(NotFound):
            await door.ask(limits.SetLimits(nobody, vms=1), LOCAL_USER)
        with pytest.raises(NotFound):
            await door.ask(limits.ListLimits(nobody), ANNA)
    with pytest.raises(NotFound):  # a project that she may not see
        await door.ask(limits.ListLimits("project:default"), ANNA)
    await store.insert(User("ben", 1.0))
    await blue.controller.known.refresh()
    assert [one.of for one in await door.ask(limits.ListLimits(), ANNA)] == ["project:blue", "user:anna"]


async def test_what_is_lifted_or_gone_limits_nothing(blue: Server) -> None:
    store, door = blue.controller.services.store, blue.controller.door
    await limit(blue, "user:anna", vms=1, vcpus=2)
    assert (await limit(blue, "user:anna", lift=["vms"])).limit == Limit("user:anna", vcpus=2)
    assert (await limit(blue, "user:anna", lift=["vcpus"])).used == Use()
    assert await store.all(Limit) == []
    await limit(blue, "user:anna", vms=0)
    await door.ask(users.RemoveUser("anna"), LOCAL_USER)
    assert await store.all(Limit) == [], "somebody of her name begins anew"


async def test_a_size_that_is_not_known_is_said(blue: Server) -> None:
    store = blue.controller.services.store
    old = VMRecord(Spec("uuid-old", "old", 1, 64, (Disk("main", "/s/old"),)), 1.0, project="blue")
    await store.add_vm(old)
    shown = (await blue.get("limits", of="project:blue"))[0]
    assert (shown["used"]["unmeasured"], shown["used"]["disk_bytes"]) == (1, 2 * GIB), "its image alone"


async def test_bad_limits_are_refused_in_words(blue: Server) -> None:
    for path, body, words in (
        ("anna", {"vms": 1}, "must be user:NAME or project:NAME"),
        ("user:anna", {"vms": -1}, "at least 0"),
        ("user:anna", {"vms": 1, "lift": ["vms"]}, "vms is given, and lifted"),
        ("user:anna", {"lift": ["ponies"]}, "lift"),
    ):
        answer = await blue.ask("PUT", f"limits/{path}", json=body)
        assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
