"""One table: a new row is a route, an entry in the API's document, a permission and a command by itself."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from annotated_types import Ge, Le
from click.testing import CliRunner

from tests.api.conftest import Server
from tests.api.peers import LOCAL, by
from vmctl.api import peers, requests
from vmctl.api.app import make_app
from vmctl.cli import generic
from vmctl.cli.main import cli
from vmctl.cluster.controller import Controller
from vmctl.cluster.opening import open_controller
from vmctl.commands import catalogue, cluster, hosts, jobs, vms
from vmctl.commands.fields import VM, Help, Needs
from vmctl.commands.rows import Command, On, Query
from vmctl.door import ControllerParts, handlers
from vmctl.door.answers import HostName
from vmctl.door.handlers import AT_ONCE, CHECKS, QUERIES, task_handlers
from vmctl.errors import NotAllowed, NotFound
from vmctl.local.config import Settings
from vmctl.model.records import ClusterValue, DecisionRecord, HostRecord, Image, Storage, Task, TaskState, VMRecord
from vmctl.model.rights import CLUSTER, LOCAL_USER, Permission, Principal, Right
from vmctl.model.vms import Spec

UUID = "11111111-2222-3333-4444-555555555555"
NOBODY = Principal("nobody")


def rights(*permissions: Permission) -> tuple[Right, ...]:
    """Those, on everything."""
    return (Right(frozenset(permissions)),)


@dataclass(frozen=True, slots=True)
class Tickle:
    """Tickle a VM, to see whether it laughs."""

    vm: VM
    times: Annotated[int, Ge(1), Le(9), Help("How often.")] = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """Whose default is made anew each time."""

    names: Annotated[list[str], Needs(Permission.SIGN)] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TickleAll:
    """Tickle every VM that is called so."""

    name: Annotated[str, Needs(Permission.SIGN)]
    with_what: str | None = None


async def tickle(_parts: ControllerParts, asked: Tickle, who: Principal) -> HostName:
    """Who was tickled, how often, by whom."""
    return HostName(f"{asked.vm} {asked.times} {who.name}")


ROW = Command(Tickle, "POST vms/{vm}/tickle", Permission.SET, "tickle")
TWO_WORDS = Command(TickleAll, "POST tickle", Permission.SET, "tickle all")


@pytest.fixture
async def tickled(
    tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> tuple[Controller, httpx.AsyncClient]:
    """A controller with one more row in its table."""
    monkeypatch.setattr(catalogue, "ROWS", (*catalogue.ROWS, ROW, TWO_WORDS))
    monkeypatch.setitem(AT_ONCE, Tickle, tickle)
    monkeypatch.setitem(AT_ONCE, TickleAll, tickle)
    (tmp_path / "more").mkdir()
    shutil.copy(empty_registry, tmp_path / "more" / "registry.db")
    controller = open_controller(Settings(), tmp_path / "more", tmp_path / "run2")
    await controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    app = make_app(controller)
    return controller, httpx.AsyncClient(transport=httpx.ASGITransport(by(LOCAL, app)), base_url="http://vmctl")


async def test_a_new_row_is_a_route_with_all_that_belongs_to_it(
    tickled: tuple[Controller, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, http = tickled
    answer = await http.post("/api/v1/vms/web1/tickle", json={"times": 3})
    assert (answer.status_code, answer.json()) == (200, {"host": f"{UUID} 3 local user"}), "by its UUID"
    assert (await http.post("/api/v1/vms/web1/tickle", json={"times": 10})).status_code == 422
    assert (await http.post("/api/v1/vms/nosuch/tickle", json={})).status_code == 404
    told = (await http.get("/openapi.json")).json()
    entry = told["paths"]["/api/v1/vms/{vm}/tickle"]["post"]
    assert (entry["summary"], entry["x-permission"]) == ("Tickle a VM, to see whether it laughs.", "vm.set")
    answers = entry["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [one["$ref"].rpartition("/")[2] for one in answers] == ["HostName", "DryRun"]
    monkeypatch.setattr(peers, "LOCAL_USER", Principal("nobody", rights(Permission.LOOK)))
    refused = await http.post("/api/v1/vms/web1/tickle", json={})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "nobody has no permission vm.set on VM web1",
    )
    await http.aclose()
    await controller.close()


async def test_a_new_row_is_a_command_with_its_help(
    tickled: tuple[Controller, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, http = tickled
    asked: list[Any] = []

    class Client:
        """Hears what it is asked."""

        def ask(self, value: Any) -> Any:
            asked.append(value)
            return {"host": "kvm1"}

    monkeypatch.setattr(generic, "Client", Client)
    run = CliRunner()
    help_text = (await asyncio.to_thread(run.invoke, cli, ["tickle", "--help"])).output
    for words in ("Tickle a VM, to see whether it laughs.", "--times", "How often.", "VM"):
        assert words in help_text
    assert "tickle" in (await asyncio.to_thread(run.invoke, cli, ["--help"])).output
    done = await asyncio.to_thread(run.invoke, cli, ["tickle", "web1", "--times", "2", "-o", "json"])
    assert (done.exit_code, asked) == (0, [Tickle("web1", 2)]), done.output
    assert (await asyncio.to_thread(run.invoke, cli, ["tickle", "web1", "--times", "10"])).exit_code == 2
    await http.aclose()
    await controller.close()


async def test_a_kind_of_two_words_is_one_word_on_the_command_line(
    tickled: tuple[Controller, httpx.AsyncClient],
) -> None:
    controller, http = tickled
    run = CliRunner()
    assert "tickle-all" in (await asyncio.to_thread(run.invoke, cli, ["--help"])).output
    help_text = (await asyncio.to_thread(run.invoke, cli, ["tickle-all", "--help"])).output
    assert "NAME" in help_text and "--with-what TEXT" in help_text
    await http.aclose()
    await controller.close()


def test_an_argument_that_needs_more_needs_it_whenever_it_is_given() -> None:
    setter = Principal("setter", rights(Permission.SET))
    with pytest.raises(NotAllowed, match=r"vm\.sign"):
        TWO_WORDS.check_permission(setter, TickleAll("web"), CLUSTER)
    listed = Command(Listed, "POST tickle", Permission.SET, "tickle")
    listed.check_permission(setter, Listed(), CLUSTER)
    with pytest.raises(NotAllowed, match=r"vm\.sign"):
        listed.check_permission(setter, Listed(["web1"]), CLUSTER)


# -- the table as it is


def test_every_row_has_somebody_who_answers(server: Server) -> None:
    handled = task_handlers(server.controller.door._parts)
    for row in catalogue.commands():
        if row.task:
            assert row.kind in handled and row.arguments not in AT_ONCE
        else:
            assert row.arguments in AT_ONCE, row.kind
    assert {row.arguments for row in catalogue.ROWS if isinstance(row, Query)} == set(QUERIES)
    assert set(CHECKS) <= {row.arguments for row in catalogue.commands()}
    assert set(handled) == set(catalogue.tasks())


def test_what_is_only_looked_at_is_asked_by_get() -> None:
    """A dry run sends a whole specification, which is a body."""
    by_post = {row.arguments for row in catalogue.ROWS if isinstance(row, Query) and row.method != "GET"}
    assert by_post == {vms.WhereToCreate, vms.WhereToStart, jobs.WhereToRun}
    assert all(row.method != "GET" for row in catalogue.commands())


async def test_every_response_is_described(server: Server) -> None:
    """No answer is a mere object of whatever."""
    told = (await server.ask("GET", "../../openapi.json")).json()
    vague = []
    for path, methods in told["paths"].items():
        for method, entry in methods.items():
            good = next(entry["responses"][code] for code in ("200", "202") if code in entry["responses"])
            if good["content"] == {"text/plain": {"schema": {"type": "string"}}}:
                continue  # text of a format that is somebody else's
            schema = good["content"].get("application/json", {}).get("schema", {})
            if not ("$ref" in schema or "items" in schema or "anyOf" in schema):
                vague.append(f"{method} {path}")
    assert vague == ["get /api/v1/dump"], "a file's text"


async def test_nobody_may_do_anything(server: Server) -> None:
    """Denied is what is not granted. Of the cluster that is said before anything is looked up; anything else is not
    there for who may not see it.
    """
    for row in catalogue.ROWS:
        if row.where in (On.SIGHT, On.NOBODY):
            continue  # who sees nothing is shown nothing
        asked = object.__new__(row.arguments)
        for one in fields(row.arguments):
            object.__setattr__(asked, one.name, "vm" if one.name == "kind" else 0 if one.name == "number" else "nosuch")
        with pytest.raises(NotAllowed if row.on_cluster or row.where is On.SELF else NotFound) as refused:
            await server.controller.door.ask(asked, NOBODY)
        assert refused.type is NotFound or f"nobody has no permission {row.needs}" in str(refused.value)
    assert await server.controller.services.store.all(Task) == []


async def test_who_changed_something_at_once_is_told(server: Server) -> None:
    store, door = server.controller.services.store, server.controller.door
    alice = Principal("alice", LOCAL_USER.rights)
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    await store.add_host(replace(HostRecord("kvm1", "kvm1", "key", "SHA256:x", 1.0), draining=True))
    for asked in (
        hosts.LabelHost("kvm1", {"rack": "r1"}),
        hosts.UndrainHost("kvm1"),
        vms.SetAutostart("web1", False),
        vms.SetHeal("web1", "reboot"),
        cluster.SetSchedule("rebalance", "0 3 * * *", "advise"),
        cluster.RemoveSchedule("rebalance"),
    ):
        before = len(await store.events())
        await door.ask(asked, alice)
        new = (await store.events())[before:]
        assert [event.who for event in new] == ["alice"], asked


async def test_an_undrain_ends_the_drain(server: Server) -> None:
    """Else it would empty the host, and say that it is drained, while the host takes VMs."""
    store, tasks = server.controller.services.store, server.controller.tasks
    await store.add_host(HostRecord("kvm1", "kvm1", "key", "SHA256:x", 1.0))

    async def drain(job: Any) -> dict[str, Any]:
        await store.change(HostRecord, "kvm1", draining=True)
        await job.cancel_asked.wait()
        job.check_cancelled()
        return {}

    tasks.handlers["drain"] = drain
    task = await server.controller.door.ask(hosts.DrainHost("kvm1"), LOCAL_USER)
    async with asyncio.timeout(10):
        while not (await store.get(HostRecord, "kvm1")).draining:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await server.controller.door.ask(hosts.UndrainHost("kvm1"), LOCAL_USER)
        assert (await tasks.wait(task.id)).state is TaskState.CANCELLED
    assert not (await store.get(HostRecord, "kvm1")).draining


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "rebalance?moves=1", "{}"),
        ("POST", "vms/web1/pause?dryrun=true", ""),
        ("POST", "vms/web1/pause?dry_run=perhaps", ""),
        ("GET", "vms/web1?dry_run=true", ""),
        ("POST", "vms/web1/pause", '{"force": true}'),
        ("GET", "hosts?x=1", ""),
        ("GET", "hosts", '{"x": 1}'),
        ("DELETE", "schedules/rebalance", '{"forse": true}'),
    ],
)
async def test_what_nobody_would_read_is_refused(server: Server, method: str, path: str, body: str) -> None:
    await server.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    answer = await server.ask(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert await server.controller.services.store.all(Task) == []


async def test_a_task_is_accepted_and_not_done(server: Server) -> None:
    await server.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    assert (await server.ask("POST", "vms/web1/pause")).status_code == 202


async def test_signing_is_a_permission_of_its_own(server: Server) -> None:
    may_stop = Principal("operator", rights(Permission.LOOK, Permission.POWER))
    await server.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    with pytest.raises(NotAllowed, match=r"operator has no permission vm\.sign"):
        await server.controller.door.ask(vms.Stop("web1", i_know_it_is_off="web1"), may_stop)
    task = await server.controller.door.ask(vms.Stop("web1"), may_stop)
    assert (task.who, task.args["vm"], task.subject) == ("operator", UUID, "web1")


async def test_a_vm_is_its_uuid_whatever_it_was_called(server: Server) -> None:
    """A new web1 is not the old one: a task names the one that was meant."""
    store = server.controller.services.store
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    for name in ("web1", UUID):
        task = await server.controller.door.ask(vms.Stop(name), LOCAL_USER)
        assert (task.args["vm"], task.subject) == (UUID, "web1")
    with pytest.raises(NotFound, match="no VM 'web2'"):
        await server.controller.door.ask(vms.Stop("web2"), LOCAL_USER)


def test_what_only_the_controller_says_no_client_can(server: Server) -> None:
    sent = requests.model(vms.Migrate, ("vm",))
    assert sent is not None and sent.model_fields.keys() == {"to", "cold"}
    assert [row.way for row in vms.ROWS if row.arguments is vms.RenewLease] == [""]


def test_an_earlier_word_for_an_argument_is_taken() -> None:
    sent = requests.model(vms.Create, ())
    assert sent is not None
    given: dict[str, Any] = {"name": "web1", "image": "tiny", "mem_mib": 64}
    old, new = (sent.model_validate(given | {word: {"rack": "a"}}) for word in ("labels", "needs"))
    assert old.model_dump() == new.model_dump()
    assert "labels" not in str(sent.model_json_schema()["properties"].keys())


def test_handlers_say_what_they_return() -> None:
    for table in (handlers.QUERIES, handlers.AT_ONCE):
        for handler in table.values():
            assert handler.__annotations__["return"], handler


async def test_what_happened_to_a_vm_is_not_told_of_its_namesake(server: Server) -> None:
    services = server.controller.services
    await services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0))
    await services.record_event("stopped", await services.store.vm("web1"), "web1 was stopped")
    await services.record_event("host", "kvm1", "kvm1 joined the pool")
    told = await server.get("events")
    assert [(event["subject"], event["uuid"]) for event in told] == [("web1", UUID), ("kvm1", "")]


async def test_a_dry_run_writes_nothing(server: Server) -> None:
    """Not even what was worked out on the way, such as the CPU that all hosts can give."""
    store = server.controller.services.store
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    await store.put(Image("tiny", "main", "/s/tiny", 1.0))
    with pytest.raises(NotFound):
        await server.get("vms", "nosuch", "migrate", "check")
    asked = vms.WhereToCreate("new", "tiny", 64, host="")
    assert (await server.controller.door.ask(asked, LOCAL_USER)).host == ""
    assert await store.all(ClusterValue) == [] and await store.all(DecisionRecord) == [] and await store.events() == []
