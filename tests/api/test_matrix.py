"""Role x operation x whose it is: made from the table of commands, so that no operation is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from tests.api.conftest import Server
from vmctl.commands import catalogue, hosts, jobs, processes, storages, tasks, uploads, vms
from vmctl.commands.fields import Names, Needs, default_of, mark
from vmctl.commands.rows import Asked, On
from vmctl.door import handlers
from vmctl.errors import NotAllowed, NotFound
from vmctl.ledger import ProcessSample
from vmctl.model.access import Project, User
from vmctl.model.records import HostRecord, Image, Storage, Task, VMRecord
from vmctl.model.rights import BUILT_IN, ONLY_EVERYWHERE, Permission, Principal, Right, Thing
from vmctl.model.uploads import Upload
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services.observe import observe

UUIDS = {"blue": "b1111111-2222-4333-8444-555555555555", "red": "c1111111-2222-4333-8444-555555555555"}
WHOSE = ("own", "another's", "none")
IN = {"own": "blue", "another's": "red"}
ROLES = {**BUILT_IN, "nothing": frozenset[Permission]()}
GIVEN = "given"


def who(role: str, whose: str) -> Principal:
    """Somebody who has a role on the project of what he asks for, on the other one, or nowhere."""
    on = {"own": "project:blue", "another's": "project:red", "none": ""}[whose]
    return Principal("anna", (Right(ROLES[role], on),) if on else ())


@pytest.fixture
async def filled(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A project each, with a VM, an image and a task; nothing that is allowed is done."""
    store = server.controller.services.store
    await store.put(HostRecord("kvm1", "127.0.0.1", "k", "f", 1.0))
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    for project, uuid in UUIDS.items():
        await store.insert(Project(project, 1.0))
        disk = Disk("main", f"/s/{project}")
        await store.add_vm(VMRecord(Spec(uuid, f"{project}-vm", 1, 64, (disk,)), 1.0, project=project))
        await store.add_image(Image(f"{project}-image", "main", f"/s/i-{project}", 1.0, project=project))
        await store.add_upload(Upload(f"{project}-upload", f"{project}-sent", "main", 1.0, 1.0, {}, project=project))
        await store.add(Task(0, "start", f"{project}-vm", 1.0, who="somebody", project=project, vm=uuid))
    for project in UUIDS:
        await store.add(Task(0, "run", f"{project} command", 1.0, who="somebody", project=project))
    await store.insert(User("carl", 1.0))
    await server.controller.known.refresh()
    return server


@pytest.fixture
def inert(filled: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """What the door lets through ends there."""

    async def done(*_: Any) -> str:
        return GIVEN

    for table in (handlers.QUERIES, handlers.AT_ONCE, handlers.CHECKS, handlers.FILLED):
        for arguments in table:
            monkeypatch.setitem(table, arguments, done)

    async def submit(_asked: Any, _who: Principal, _subject: str, _thing: Thing, _given: Any, **_: Any) -> Any:
        return Task(0, "none", "", 1.0)

    monkeypatch.setattr(filled.controller.door._parts.tasks, "submit", submit)
    return filled


def asked(row: Asked, project: str, *, signed: bool = False) -> Any:
    """Arguments that name what is that project's."""
    values: dict[str, Any] = {}
    for one in fields(row.arguments):
        named, needs = mark(row.arguments, one.name, Names), mark(row.arguments, one.name, Needs)
        if named is not None:
            there = {"host": "kvm1", "storage": "main", "project": project}
            values[one.name] = there.get(named.what, f"{project}-{named.what.lower()}")
        elif needs is not None:
            values[one.name] = f"{project}-vm" if signed else default_of(one)
        elif one.name in MORE:
            values[one.name] = MORE[one.name](row, project)
        else:
            values[one.name] = default_of(one)
    values = {name: None if value is MISSING else value for name, value in values.items()}
    found = object.__new__(row.arguments)
    for name, value in values.items():
        object.__setattr__(found, name, value)
    return found


MORE: dict[str, Any] = {
    "number": lambda _row, project: 1 + list(UUIDS).index(project),
    "name": lambda row, project: {On.SELF: "carl", On.MACHINE: f"{project}-vm"}.get(row.where, "new"),
    "hosts": lambda _row, _project: ["kvm1"],
    "user": lambda row, _project: "carl" if row.where is On.SELF else "",
    "kind": lambda _row, _project: "vm",
    "apart_by": lambda _row, _project: "",
    "words": lambda _row, _project: ["true"],
}


def expected(row: Asked, role: str, whose: str, *, signed: bool = False) -> str:
    """What the rules of access say, in words of their own: they are not asked of the code that applies them."""
    has = ROLES[role]
    if row.where in (On.SIGHT, On.NOBODY):
        return "yes"
    if row.where in (On.CLUSTER, On.SELF):
        return "no"  # a project's roles give nothing on everything
    seen = Permission.LOOK in has or (row.where is On.IMAGE and Permission.USE in has)
    if whose != "own":
        return "not there"
    if row.where is On.PROJECT:
        uses = any(mark(row.arguments, one.name, Names) == Names("image") for one in fields(row.arguments))
        if uses and not (Permission.LOOK in has or Permission.USE in has):
            return "not there"
        if uses and Permission.USE not in has:
            return "no"
    elif not seen:
        return "not there"
    narrow = row.needs in has and row.needs not in ONLY_EVERYWHERE
    return "yes" if narrow and not signed else "no"


async def answer(server: Server, row: Asked, one: Any, person: Principal) -> str:
    try:
        await server.controller.door.ask(one, person)
    except NotAllowed:
        return "no"
    except NotFound:
        return "not there"
    return "yes"


def cases() -> Iterator[tuple[Asked, str, str]]:
    for row in catalogue.ROWS:
        for role in ROLES:
            for whose in WHOSE:
                yield row, role, whose


@pytest.mark.parametrize("row", catalogue.ROWS, ids=lambda row: row.arguments.__name__)
async def test_every_role_may_what_it_says_on_its_own_and_nothing_elsewhere(inert: Server, row: Asked) -> None:
    for role in ROLES:
        for whose in WHOSE:
            # What is asked for is blue's; the right is on blue, on red, or nowhere.
            got = await answer(inert, row, asked(row, "blue"), who(role, whose))
            assert got == expected(row, role, whose), (role, whose)


@pytest.mark.parametrize("role", ROLES)
async def test_on_everything_a_role_is_its_permissions(inert: Server, role: str) -> None:
    """Seen is what it may look at; then its permissions decide, and what an argument needs besides."""
    person = Principal("root", (Right(ROLES[role]),))
    for row in catalogue.ROWS:
        free = row.where in (On.SIGHT, On.NOBODY)
        got = await answer(inert, row, asked(row, "red"), person)
        if role == "admin":
            assert got == "yes", row
        elif row.where in (On.CLUSTER, On.SELF) or free:
            assert got == ("yes" if free or row.needs in ROLES[role] else "no"), row


async def test_to_sign_that_a_vm_is_off_is_never_given_by_a_narrow_right(inert: Server) -> None:
    signing = [row for row in catalogue.ROWS if any(mark(row.arguments, f.name, Needs) for f in fields(row.arguments))]
    assert {row.arguments for row in signing} == {vms.Start, vms.WhereToStart, vms.Stop, vms.Delete}
    for row in signing:
        assert await answer(inert, row, asked(row, "blue", signed=True), who("admin", "own")) == "no"
        everything = Principal("root", (Right(BUILT_IN["admin"]),))
        assert await answer(inert, row, asked(row, "blue", signed=True), everything) == "yes"


# -- what is shown


SHOWN = {
    vms.ListVMs: vms.ListVMs(),
    vms.ListHealth: vms.ListHealth(),
    storages.ListImages: storages.ListImages(),
    uploads.ListUploads: uploads.ListUploads(),
    tasks.ListTasks: tasks.ListTasks(),
    jobs.ListJobs: jobs.ListJobs(),
    tasks.ListEvents: tasks.ListEvents(),
    processes.ListProcesses: processes.ListProcesses(),
    processes.ListShortLived: processes.ListShortLived(),
    processes.ShowProcess: processes.ShowProcess("10.0.0.7:80:1000000:812"),
    processes.Who: processes.Who("10.0.0.7:80"),
}


async def test_lists_show_only_what_one_may_see(filled: Server) -> None:
    services = filled.controller.services
    for project, uuid in UUIDS.items():
        vm = await services.store.vm(uuid)
        await services.record_event("note", vm, f"{project} event")
        sample = ProcessSample(812, 4711, 1000000, 1, f"{project}-httpd", "", "", "www", "S", 0.1, 1, 1, (80,))
        services.incarnations.guest_picture(uuid, "boot-1", [sample], ip="10.0.0.7", gone=None)
    await services.record_event("host", "kvm1", "red herring: kvm1 is not a project's")
    by_sight = {row.arguments for row in catalogue.ROWS if row.where is On.SIGHT}
    from vmctl.commands.limits import ListLimits
    from vmctl.commands.users import ListProjects

    assert by_sight == {*SHOWN, ListProjects, ListLimits}, "a list that nobody has looked at"
    for one in (*SHOWN.values(), ListProjects()):
        try:
            told = repr(await filled.controller.door.ask(one, who("viewer", "own")))
        except NotFound as err:
            told = f"{err.message} {err.hint}"
        assert "red" not in told.replace("refused", "").replace("shared", ""), (one, told)
        listed = isinstance(
            one, vms.ListVMs | tasks.ListEvents | jobs.ListJobs | storages.ListImages | uploads.ListUploads
        )
        assert "blue" in told or not listed, one
        nothing = repr(await shown_to_nobody(filled, one))
        assert "blue" not in nothing and "red" not in nothing.replace("refused", ""), nothing


async def shown_to_nobody(server: Server, one: Any) -> Any:
    try:
        return await server.controller.door.ask(one, Principal("nobody"))
    except NotFound as err:
        return err.message


async def test_a_grant_on_one_vm_shows_that_vm(filled: Server) -> None:
    only = Principal("anna", (Right(BUILT_IN["operator"], f"vm:{UUIDS['red']}"),))
    assert [vm.name for vm in await filled.controller.door.ask(vms.ListVMs(), only)] == ["red-vm"]
    assert [task.subject for task in await filled.controller.door.ask(tasks.ListTasks(), only)] == ["red-vm"]
    with pytest.raises(NotFound):
        await filled.controller.door.ask(vms.ShowVM("blue-vm"), only)
    with pytest.raises(NotAllowed):
        await filled.controller.door.ask(hosts.ListHosts(), only)


async def test_what_is_not_seen_is_refused_as_what_is_not_there(filled: Server) -> None:
    """Word for word: else a name could be guessed."""
    blue = who("creator", "own")

    async def refusal(one: Any) -> tuple[str, str]:
        with pytest.raises(NotFound) as caught:
            await filled.controller.door.ask(one, blue)
        return caught.value.message, caught.value.hint

    for there, gone in (
        (vms.ShowVM("red-vm"), vms.ShowVM("nosuch")),
        (vms.Stop(UUIDS["red"]), vms.Stop("nosuch")),
        (vms.Create("x", "red-image", 64, project="blue"), vms.Create("x", "nosuch", 64, project="blue")),
        (vms.Create("x", "blue-image", 64, project="red"), vms.Create("x", "blue-image", 64, project="nosuch")),
        (tasks.ShowTask(2), tasks.ShowTask(99)),
        (tasks.CancelTask(2), tasks.CancelTask(99)),
        (jobs.ShowJob(4), jobs.ShowJob(99)),
        (jobs.FollowOutput(4), jobs.FollowOutput(99)),
        (storages.RemoveImage("red-image"), storages.RemoveImage("nosuch")),
        (uploads.ShowUpload("red-upload"), uploads.ShowUpload("nosuch")),
        (uploads.DropUpload("red-upload"), uploads.DropUpload("nosuch")),
        (uploads.WritePiece("red-upload", "file", 0), uploads.WritePiece("nosuch", "file", 0)),
        (uploads.BeginUpload("x", 512, project="red"), uploads.BeginUpload("x", 512, project="nosuch")),
    ):
        words, hint = await refusal(there)
        expected_words, expected_hint = await refusal(gone)
        for name in ("red-vm", UUIDS["red"], "red-image", "red-upload", "'red'", "nosuch", "'2'", "'4'", "'99'"):
            words, expected_words = words.replace(name, "X"), expected_words.replace(name, "X")
        assert (words.replace("'X'", "X"), hint) == (expected_words.replace("'X'", "X"), expected_hint), there


async def test_ones_own_task_is_ones_own(filled: Server) -> None:
    """Whoever began it may look at it and cancel it, unless a token narrows him."""
    await filled.controller.services.store.add(Task(0, "rebalance", "cluster", 1.0, who="anna"))
    anna = Principal("anna")
    assert (await filled.controller.door.ask(tasks.ShowTask(5), anna)).id == 5
    narrowed = replace(anna, narrowed=(Right(BUILT_IN["viewer"], "project:blue"),))
    with pytest.raises(NotFound):
        await filled.controller.door.ask(tasks.ShowTask(5), narrowed)


async def test_a_vm_may_not_be_called_like_a_uuid(filled: Server) -> None:
    """It would be taken for the VM of that UUID."""
    for name in (UUIDS["red"], UUIDS["red"].replace("-", ""), UUIDS["red"].upper()):
        answered = await filled.ask("POST", "vms", json={"name": name, "image": "blue-image", "mem_mib": 64})
        assert answered.status_code == 422 and "UUID" in answered.text


async def test_groups_of_two_projects_have_nothing_to_do_with_each_other(filled: Server) -> None:
    """Else whoever names a group could keep another project's VMs from a host, or learn where they are."""
    services = filled.controller.services
    for project in (*UUIDS, "default"):
        spec = Spec(f"{project[0]}9111111-2222-4333-8444-555555555555", f"{project}-web", 1, 64, apart="web")
        await services.store.add_vm(VMRecord(spec, 1.0, host="kvm1", power=PowerState.RUNNING, project=project))
    cluster = await observe(services)
    groups = {name: [vm.name for vm in cluster.group("apart", name)] for name in ("web", "blue/web", "red/web")}
    assert groups == {"web": ["default-web"], "blue/web": ["blue-web"], "red/web": ["red-web"]}
    shown = await filled.controller.door.ask(vms.ShowVM("blue-web"), who("viewer", "own"))
    assert shown.apart == "web", "as it was named"


async def test_a_file_of_the_controllers_disk_is_for_its_local_user(filled: Server) -> None:
    for file in ("/etc/shadow", "/nosuch"):
        with pytest.raises(NotAllowed, match="local user"):
            await filled.controller.door.ask(storages.AddImage("x", file, project="blue"), who("creator", "own"))
