"""Every pair of methods at once: what comes of it is what one order or the other would give.

The memory store says what the two orders give, as none of its methods waits for anything in between.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Integer, event

from tests.store.conftest import New
from tests.store.test_ledger import changes, life
from vmctl.errors import VmctlError
from vmctl.ledger import Changes, Life, Listening, ShortLived
from vmctl.model.access import Failures, Grant, Group, Limit, Project, Role, Token, Use, User
from vmctl.model.audit import Entry, Kept
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import (
    ClusterValue,
    Event,
    Given,
    HostRecord,
    Image,
    LoadMean,
    Schedule,
    Storage,
    Task,
    TaskState,
    VMRecord,
)
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.model.uploads import Piece, Upload, UploadState, begun, counted
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.ports.store import Store
from vmctl.store.memory import MemoryStore
from vmctl.store.postgres import WRITING, PostgresDatabase
from vmctl.store.sql import SqlStore
from vmctl.store.statements import read_all
from vmctl.store.tables import Base

Method = Callable[[Store], Awaitable[Any]]
Again = Callable[[], Awaitable[Store]]
WEB1 = VMRecord(Spec("u1", "web1", 1, 128, (Disk("main", "/s/web1"),), image="tiny"), 1.0, host="kvm1", copying=False)
KINDS = (HostRecord, Storage, Image, Upload, VMRecord, Task, Event, LoadMean, Schedule, ClusterValue)
CONTROLLERS = (Replica, Lead, HostSession, HostWatch, HostReport, MachineReader, Invitation, ControllerKey)
USERS = (User, Group, Project, Role, Grant, Token, Failures, Limit, Given)
SENT = Upload("a1", "sent", "spare", 1.0, 1.0, {"file": 512}, state=UploadState.OPEN, project="blue")
WHOLE = replace(SENT, id="a2", name="whole", storage="main", done={"file": 512}, project="default")
HALF = replace(SENT, id="a3", storage="main", project="default")
KVM4 = HostRecord("kvm5", "kvm4", "k", "f", 2.0, about={"host_uuid": "m4"})
COMMAND = Task(0, "stop", "x", 2.0, who="anna", project="blue")
DEAD = Replica("dead", "kvm8", "home-8", "0.1", 1.0)
LEFT = HostSession("kvm1", "boot", 17, 4000, "dead", 1.0)
GIVEN = Given("anna/key", "hash", 2.0)
ENDED = Entry(3.0, "anna", "migrate", "web1", "done")
NOW = 100 * 86400.0  # when what is old is forgotten
INVITED = Invitation("hash", "anna", 4e9)  # whoever asks, and by the server's clock, too
JOINS = ControllerKey("home-9", "kvm9", "ssh-ed25519 B", 2.0)


async def fill(store: Store) -> None:
    """Two hosts, a storage, an image, two VMs of which one copies, two tasks."""
    for name in ("kvm1", "kvm2"):
        await store.put(HostRecord(name, name, "k", "f", 1.0, about={"host_uuid": f"machine-{name}"}))
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1", "kvm2"]))
    await store.put(Storage("spare", "/spare", 1.0, hosts=["kvm1"]))
    await store.put(Image("tiny", "main", "/s/tiny", 1.0))
    await store.put(ClusterValue("proof/spare", "{}"))
    await store.put(Image("idle", "main", "/s/idle", 1.0))
    await store.put(WHOLE)
    await store.put(HALF)
    await store.put(DEAD)
    await store.put(LEFT)
    await store.put(HostWatch("kvm1", "dead", 3, 1.0))
    await store.put(HostReport("kvm1", 3, 1, {"cpu": 1}))
    await store.put(MachineReader("machine-kvm1", "dead"))
    await store.put(MachineReader("u1", "ended long ago"))
    await store.put(INVITED)
    await store.put(ControllerKey("home-8", "kvm8", "ssh-ed25519 A", 1.0, ["kvm1"]))
    for one in (User("anna", 1.0), Group("ops", 1.0, ["anna"]), Project("blue", 1.0), Role("tester", 1.0, ["look"])):
        await store.insert(one)
    await store.add_grant(Grant("group:ops", "viewer", "all", 1.0))
    # So that of two new VMs one is over it, and of two commands.
    await store.set_limit("project:blue", lambda limit: replace(limit, vms=1, commands=1))
    await store.add_token(Token("t1", "anna", "h", 1.0, 9.0))
    for subject in ("web1", "web2"):
        await store.add(Task(0, "migrate", subject, 1.0))
    await store.add_vm(WEB1)
    other = Spec("u2", "web2", 1, 128)
    await store.add_vm(VMRecord(other, 1.0, host="kvm1", power=PowerState.RUNNING, adopted=True))


def _labelled(key: str) -> Method:
    return lambda store: store.revise(HostRecord, "kvm1", lambda host: _with_label(host, key))


def _with_label(host: HostRecord | None, key: str) -> HostRecord:
    return replace(host or HostRecord("kvm1", "new", "k", "f", 1.0), labels={**(host.labels if host else {}), key: "v"})


def _shared(host: str) -> Method:
    return lambda store: store.revise(
        Storage,
        "main",
        lambda kept: replace(kept, hosts=sorted({*kept.hosts, host})) if kept else Storage("main", "/", 1),
    )


async def _new_vm(store: Store) -> None:
    await store.add_vm(VMRecord(Spec("u3", "new", 1, 128, image="idle"), 2.0), made=True)


def _piece(letter: str) -> Piece:
    return Piece("file", 0, 256, letter * 64)


def _named(letter: str) -> Method:
    return lambda store: store.revise(Upload, "a3", lambda kept: begun(kept or HALF, _piece(letter)))


def _counted(letter: str) -> Method:
    return lambda store: store.revise(Upload, "a3", lambda kept: counted(kept or HALF, _piece(letter), 2.0))


def _going(kept: Upload | None) -> Upload:
    return replace(kept or WHOLE, state=UploadState.GOING)


def _without_anna(kept: Group | None) -> Group:
    return replace(kept, members=[]) if kept else Group("ops", 5.0)


def _mean(cpu: float, *times: float) -> Method:
    return lambda store: store.add_means([LoadMean("host/kvm1", 60, at, {"cpu": cpu}) for at in times])


def _seen(cpu: float, *others: Life) -> Method:
    """A process of a machine that was last seen long ago is written, with others and a count."""
    count = ShortLived(life().machine, "cron", 90, 1, cpu)
    return lambda store: store.ledger.write(replace(changes(life(cpu=cpu), *others), short_lived=[count]))


async def _listens(store: Store) -> None:
    port = Listening(life().uuid, "10.0.0.7", 22, 1000.0, None)
    await store.ledger.write(Changes(listening={(port.uuid, "", 0, 0.0): port}))


METHODS: dict[str, Method] = {
    "claim 1": lambda store: store.claim(WEB1, 1),
    "claim 2": lambda store: store.claim(WEB1, 2),
    "lease": lambda store: store.lease(WEB1, "kvm2", PowerState.RUNNING, told=[Event("moved", "web1", "m", 2.0)]),
    "lease off": lambda store: store.lease(WEB1, "", PowerState.STOPPED, gone=["kvm1"]),
    "slot 1": lambda store: store.take_slot(WEB1, "kvm2", 1, 1),
    "slot 2": lambda store: store.take_slot(replace(WEB1, spec=Spec("u2", "web2", 1, 128)), "kvm2", 1, 1),
    "end task": lambda store: store.end_task(1, state=TaskState.DONE, ended_at=3.0, entry=ENDED),
    "change task": lambda store: store.change(Task, 1, step="copying"),
    "new VM": _new_vm,
    "same name": lambda store: store.add_vm(VMRecord(Spec("u4", "new", 1, 128), 2.0)),
    "forget image": lambda store: store.take_image("idle"),
    "add host": lambda store: store.add_host(HostRecord("kvm3", "kvm3", "k", "f", 2.0)),
    "add storage": lambda store: store.add_storage(Storage("new", "/new", 2.0)),
    "same path": lambda store: store.add_storage(Storage("other", "/new", 2.0)),
    "same machine": lambda store: store.add_host(replace(KVM4, name="kvm4")),
    "other name": lambda store: store.add_host(KVM4),
    "keep CPU": lambda store: store.put(ClusterValue("cpu-baseline", "<cpu/>")),
    "remove host": lambda store: store.remove_host("kvm1"),
    "label a": _labelled("a"),
    "label b": _labelled("b"),
    "drain": lambda store: store.change(HostRecord, "kvm1", draining=True),
    "share 3": _shared("kvm3"),
    "share 4": _shared("kvm4"),
    "forget storage": lambda store: store.take_storage("spare"),
    "forget main": lambda store: store.take_storage("main"),
    "new image": lambda store: store.add_image(Image("new", "spare", "/spare/new", 1.0)),
    "new upload": lambda store: store.add_upload(SENT),
    "finish upload": lambda store: store.finish_upload("a2", Image("whole", "main", "/s/whole", 2.0)),
    "its name": lambda store: store.add_image(Image("whole", "main", "/s/other", 2.0)),
    "drop upload": lambda store: store.revise(Upload, "a2", _going),
    "forget upload": lambda store: store.remove(Upload, "a2"),
    "name piece": _named("a"),
    "name other piece": _named("b"),
    "count piece": _counted("a"),
    "insert": lambda store: store.insert(Image("twin", "main", "/a", 1.0)),
    "insert other": lambda store: store.insert(Image("twin", "main", "/b", 2.0)),
    "put": lambda store: store.put(Schedule("rebalance", "* * * * *")),
    "put other": lambda store: store.put(Schedule("rebalance", "0 * * * *", "act")),
    "add": lambda store: store.add(Event("note", "x", "first", 4.0)),
    "forget web1": lambda store: store.forget_vm(WEB1, told=[Event("forgotten", "web1", "m", 2.0)]),
    "grant": lambda store: store.add_grant(Grant("user:anna", "tester", "project:blue", 2.0)),
    "same grant": lambda store: store.add_grant(Grant("user:anna", "tester", "project:blue", 3.0)),
    "grant on VM": lambda store: store.add_grant(Grant("group:ops", "viewer", "vm:u2", 2.0)),
    "revoke": lambda store: store.remove_grant("group:ops", "viewer", "all"),
    "token": lambda store: store.add_token(Token("t2", "anna", "h", 2.0, 9.0)),
    "end tokens": lambda store: store.end_tokens("anna"),
    "remove user": lambda store: store.remove_user("anna"),
    "remove group": lambda store: store.remove_group("ops"),
    "remove project": lambda store: store.remove_project("blue"),
    "remove role": lambda store: store.remove_role("tester"),
    "into project": lambda store: store.move_vm("u1", "blue"),
    "new VM of project": lambda store: store.add_vm(VMRecord(Spec("u5", "five", 1, 128), 2.0, project="blue")),
    "limit": lambda store: store.set_limit("project:blue", lambda limit: replace(limit, vms=0)),
    "limit user": lambda store: store.set_limit("user:anna", lambda limit: replace(limit, vcpus=1)),
    "lift": lambda store: store.set_limit("project:blue", lambda limit: replace(limit, vms=None)),
    "VM of anna": lambda store: store.add_vm(
        VMRecord(Spec("u6", "six", 1, 128), 2.0, project="blue", owner="anna"), made=True
    ),
    "VM more": lambda store: store.add_vm(VMRecord(Spec("u7", "seven", 1, 128), 2.0, project="blue"), made=True),
    "promise": lambda store: store.promise_to_task(1, ["project:blue", "user:anna"], Use(vcpus=1), step="running"),
    "limited": lambda store: store.accept(COMMAND, Entry(2.0, "anna", "stop", "x", "accepted"), limited=True),
    "limited too": lambda store: store.accept(
        replace(COMMAND, created_at=3.0), Entry(3.0, "anna", "stop", "x", "accepted"), given=GIVEN, limited=True
    ),
    "given": lambda store: store.accept(COMMAND, Entry(2.0, "anna", "stop", "y", "accepted"), given=GIVEN),
    "members": lambda store: store.revise(Group, "ops", _without_anna),
    "audit": lambda store: store.audit(Entry(2.0, "anna", "stop", "web1", "done")),
    "accept": lambda store: store.accept(Task(0, "stop", "web2", 2.0), Entry(2.0, "anna", "stop", "web2", "accepted")),
    "failed log-in": lambda store: store.count_failure(["from/a", "user/anna"], 2.0),
    "forget VM": lambda store: store.remove(VMRecord, "u2"),
    "bury": lambda store: store.bury("dead", 0, "not heard", 3.0, told=[Event("controller", "kvm8", "dead", 3.0)]),
    "end life": lambda store: store.end_life("dead", "stopped", 3.0),
    "invite": lambda store: store.invite(replace(INVITED, hash="other"), ENDED),
    "join": lambda store: store.join("hash", JOINS, 2.0, ENDED),
    "join, too": lambda store: store.join("hash", replace(JOINS, home="home-10"), 2.0, ENDED),
    "join again": lambda store: store.join("hash", JOINS, 3.0, ENDED),
    "let into a host": lambda store: store.change(ControllerKey, "home-9", hosts=["kvm1"]),
    "share out": lambda store: store.share_out({"kvm1": "other", "kvm2": "other", "gone": "other"}, 2.0),
    "share out again": lambda store: store.share_out({"kvm2": "dead", "kvm1": "dead"}, 2.0),
    "report": lambda store: store.report("dead", [HostReport("kvm1", 3, 2, {"cpu": 2}), HostReport("kvm2", 1, 1)], 6.0),
    "VMs about a host": lambda store: store.vms_about(HostRecord("kvm1", "kvm1", "k", "f", 1.0), ["u2", "u9"]),
    "read reports": lambda store: store.reports({"kvm1": (3, 1)}),
    "take machines": lambda store: store.take_machines("dead", ["u1", "u2"]),
    "take the same": lambda store: store.take_machines("other", ["u2", "u1", "machine-kvm1"]),
    "leave machines": lambda store: store.leave_machines("dead", ["machine-kvm1", "u2"]),
    "lead": lambda store: store.lead("dead", 3.0, told=[Event("controller", "kvm8", "leads", 3.0)]),
    "other leads": lambda store: store.lead("other", 3.0),
    "keep session": lambda store: store.keep_session(replace(LEFT, pid=18, life="other"), [LEFT]),
    "same session": lambda store: store.keep_session(replace(LEFT, pid=18, life="other", at=3.0), [LEFT]),
    "prune": lambda store: store.prune(NOW),
    "means": _mean(0.25, 1.0, NOW - 60.0),
    "other means": _mean(0.5, NOW - 60.0, NOW),
    "process": _seen(0.25),
    "same process": _seen(0.5, life(813, ended_at=1020.0)),
    "listens": _listens,
    "prune ledger": lambda store: store.ledger.prune(NOW, LedgerPolicy(days=30.0, rows_per_machine=3)),
}


# What is about users, and what else it may meet: no other two have a table in common.
ABOUT_USERS = frozenset(
    (
        *("grant", "same grant", "grant on VM", "revoke", "token", "end tokens", "remove user", "remove group"),
        *("remove project", "remove role", "into project", "new VM of project", "members", "failed log-in"),
        *("limit", "limit user", "lift", "VM of anna", "VM more", "limited", "limited too", "given", "new upload"),
        "promise",
    )
)
MEETS_USERS = ABOUT_USERS | {"claim 1", "lease", "new VM", "forget web1", "forget VM", "remove host", "prune", "audit"}


ABOUT_WATCHING = frozenset(
    ("share out", "share out again", "report", "read reports", "take machines", "take the same", "leave machines")
)
MEETS_WATCHING = ABOUT_WATCHING | {"add host", "remove host", "bury", "end life", "lead"}


ABOUT_JOINING = frozenset(("invite", "join", "join, too", "join again", "let into a host"))


def have_to_do_with(first: str, second: str) -> bool:
    """Whether two methods could get in each other's way."""
    if first in ABOUT_USERS or second in ABOUT_USERS:
        return {first, second} <= MEETS_USERS
    if first in ABOUT_JOINING or second in ABOUT_JOINING:
        return {first, second} <= ABOUT_JOINING | {"audit", "end task"}
    if first in ABOUT_WATCHING or second in ABOUT_WATCHING:
        return {first, second} <= MEETS_WATCHING
    return True


def _unclocked(found: list[Any]) -> list[Any]:
    """Host reports without the time that the server's clock gave them: only that it gave one."""
    return [replace(one, told_at=float(one.told_at > 0)) if isinstance(one, HostReport) else one for one in found]


async def outcome(work: Awaitable[Any]) -> str:
    """What a method gave back, or its refusal's class."""
    try:
        given = await work
    except VmctlError as err:
        return type(err).__name__
    return repr(_unclocked(given) if isinstance(given, list) else given)


async def picture(store: Store) -> str:
    """All that is in it; the numbers of events aside, as they are given out in either order."""
    kinds: tuple[type[Any], ...] = (*KINDS, *USERS, *CONTROLLERS)
    if isinstance(store, SqlStore):  # in one transaction, which is four times as fast
        found: dict[type[Any], list[Any]] = await store.database.read(
            lambda db: {kind: read_all(db, kind) for kind in kinds}
        )
    else:
        found = {kind: await store.all(kind) for kind in kinds}
    told = sorted(found[Event], key=lambda event: (event.kind, event.text))
    ledger = store.ledger
    lives = sorted(await ledger.processes()), await ledger.runs(), await ledger.short_lived(None, 0)
    listened = await ledger.open_ports(), await ledger.listening("10.0.0.7", 22, NOW - 2 * 86400.0)
    found[Grant] = [replace(grant, id=0) for grant in (await store.access()).grants]
    found[Kept] = await store.chain(0, 100)
    # The server's clock says when, and until when.
    found[Invitation] = [replace(one, until=float(one.until > 0)) for one in found[Invitation]]
    found[HostReport] = _unclocked(found[HostReport])
    return repr((found | {Event: [replace(event, id=0) for event in told]}, lives, listened))


async def in_turn(*names: str) -> tuple[str, dict[str, str]]:
    """The picture and the outcomes when one comes after the other."""
    store = MemoryStore()
    await fill(store)
    said = {name: await outcome(METHODS[name](store)) for name in names}
    return await picture(store), said


@pytest.fixture
async def again(new: New) -> AsyncIterator[Again]:
    """Gives the store as `fill` leaves it, however often: what was done to it since is undone.

    A new file for each pair would cost ten times as much as what is tried on it.
    """
    store = new()
    await fill(store)
    if not isinstance(store, SqlStore):
        yield lambda: _filled(new())
        return
    if isinstance(store.database, PostgresDatabase):
        _slowly(store.database.engine)
        back = _kept(store.database.engine)

        async def put_back() -> Store:
            await store.database.write(lambda db: db.connection().exec_driver_sql(back))
            return store

        yield put_back
        return
    path = str(store.database.engine.url.database)
    with closing(sqlite3.connect(":memory:")) as kept, closing(sqlite3.connect(path)) as file:
        file.backup(kept)

        async def restored() -> Store:
            kept.backup(file)
            return store

        yield restored


def _kept(engine: Engine) -> str:
    """Copies all tables of the database; the statements that bring them back as they are now."""
    tables = Base.metadata.sorted_tables
    numbered = [table.name for table in tables if isinstance(table.primary_key.columns[0].type, Integer)]
    with engine.begin() as db:
        db.exec_driver_sql("CREATE SCHEMA kept")
        for table in tables:
            db.exec_driver_sql(f"CREATE TABLE kept.{table.name} AS TABLE public.{table.name}")
    steps = [f"DELETE FROM {table.name}" for table in reversed(tables)]
    steps += [f"INSERT INTO {table.name} TABLE kept.{table.name}" for table in tables]
    steps += [
        f"SELECT setval('{name}_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM {name}), false)" for name in numbered
    ]
    return "; ".join(steps)


def _slowly(engine: Engine) -> None:
    """Between two statements of a transaction that writes there is time for another's."""
    draw = random.Random(0)

    @event.listens_for(engine, "after_cursor_execute")
    def _pause(connection: Connection, *_: Any) -> None:
        if connection.get_execution_options() == WRITING:
            time.sleep(draw.random() * 0.002)


async def _filled(store: Store) -> Store:
    await fill(store)
    return store


@pytest.mark.parametrize("first", METHODS)
async def test_two_at_once_are_one_after_the_other(again: Again, first: str) -> None:
    for second in itertools.islice(METHODS, list(METHODS).index(first), None):
        if second == first or not have_to_do_with(first, second):
            continue
        store = await again()
        both = await asyncio.gather(*(outcome(METHODS[name](store)) for name in (first, second)))
        got = await picture(store), dict(zip((first, second), both, strict=True))
        assert got in (await in_turn(first, second), await in_turn(second, first)), (first, second)


async def test_the_memory_store_and_the_real_one_agree(again: Again) -> None:
    """Each method by itself."""
    for name in METHODS:
        store = await again()
        said = {name: await outcome(METHODS[name](store))}
        assert (await picture(store), said) == await in_turn(name), name
