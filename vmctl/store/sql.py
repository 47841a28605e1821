"""The registry: what should be, and what was decided and done. Every method is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col, select

from vmctl.errors import NotFound, Refused, RegistryUnusable
from vmctl.model import PowerState
from vmctl.ports import SYSTEM, Clock
from vmctl.records import (
    DecisionRecord,
    Event,
    HostRecord,
    Image,
    Mean,
    Schedule,
    Setting,
    Storage,
    Task,
    TaskState,
    VMRecord,
)
from vmctl.store import database
from vmctl.store.incarnations import LedgerStore
from vmctl.store.tables import (
    DecisionRow,
    EventRow,
    HostRow,
    ImageRow,
    MeanRow,
    ScheduleRow,
    SettingRow,
    StorageRow,
    TaskRow,
    VMRow,
)

Record = TypeVar("Record")
Done = TypeVar("Done")
PATIENCE_S, TRY_AGAIN_S = 120.0, 1.0
TABLES: dict[type[Any], type[SQLModel]] = {
    HostRecord: HostRow,
    Storage: StorageRow,
    Image: ImageRow,
    VMRecord: VMRow,
    Task: TaskRow,
    DecisionRecord: DecisionRow,
    Event: EventRow,
    Mean: MeanRow,
    Schedule: ScheduleRow,
    Setting: SettingRow,
}
WORDS = {HostRecord: "host", Storage: "storage", Image: "image", VMRecord: "VM", Task: "task", Schedule: "schedule"}


class Store:
    """Open with `Store.open`, end with `close`."""

    def __init__(self, path: Path, clock: Clock = SYSTEM.clock) -> None:
        self._clock = clock
        self._engine = database.open_engine(path)
        self.ledger = LedgerStore(self._engine)
        self.trouble = ""  # why the registry takes nothing just now, while somebody waits for it: in words

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the database at `path`, created or migrated when needed. Blocking."""
        database.upgrade(path)
        return cls(path)

    async def close(self) -> None:
        """Let go of the file."""
        await self._engine.dispose()

    async def patiently(self, write: Callable[[], Awaitable[Done]]) -> Done:
        """Write; try again for a while where the registry takes nothing: its disk is full, or somebody holds it."""
        deadline = self._clock.monotonic() + PATIENCE_S
        while True:
            try:
                done = await write()
                self.trouble = ""
                return done
            except RegistryUnusable as err:
                self.trouble = err.message
                if self._clock.monotonic() > deadline:
                    raise
                await asyncio.sleep(TRY_AGAIN_S)

    # -- any kind of record

    async def all(self, kind: type[Record], *where: ColumnElement[bool]) -> list[Record]:
        """Every record of a kind, in the order of its key."""
        async with database.session(self._engine, reading=True) as db:
            return await _read_all(db, kind, *where)

    async def inventory(self) -> tuple[list[HostRecord], list[VMRecord], list[Storage]]:
        """Hosts, VMs and storages as they were at one moment."""
        async with database.session(self._engine, reading=True) as db:
            return await _read_all(db, HostRecord), await _read_all(db, VMRecord), await _read_all(db, Storage)

    async def find(self, kind: type[Record], key: Any) -> Record | None:
        """The record with that key."""
        async with database.session(self._engine, reading=True) as db:
            row = await db.get(TABLES[kind], key)
            return database.to_record(kind, row) if row is not None else None

    async def get(self, kind: type[Record], key: Any) -> Record:
        """The record with that key; NotFound names the near ones."""
        found = await self.find(kind, key)
        if found is None:
            raise missing(WORDS.get(kind, kind.__name__), str(key))
        return found

    async def put(self, record: Any) -> None:
        """Insert a record or replace the one with its key."""
        async with database.session(self._engine) as db:
            await db.merge(database.to_row(TABLES[type(record)], record))

    async def add(self, record: Any) -> int:
        """Insert a record that gets its number from the database; returns it."""
        row = database.to_row(TABLES[type(record)], record)
        if getattr(record, "id", None) == 0:
            row.id = None
        async with database.session(self._engine) as db:
            db.add(row)
            await db.flush()
            return int(row.id)  # type: ignore[attr-defined]

    async def change(self, kind: type[Any], key: Any, *, told: Iterable[Event] = (), **values: Any) -> None:
        """Set some fields of one record, and record the events that tell of it."""
        table = TABLES[kind]
        column = next(iter(table.__table__.primary_key))  # type: ignore[attr-defined]
        async with database.session(self._engine) as db:
            await db.execute(update(table).where(column == key).values(**database.columns(values)))
            _tell(db, told)

    async def label_host(self, name: str, labels: dict[str, str]) -> dict[str, str]:
        """Set some labels of a host, take away those that are empty, and return all it has. Raises NotFound."""
        async with database.session(self._engine) as db:
            row = await db.get(HostRow, name)
            if row is None:
                raise missing("host", name)
            row.labels = {key: value for key, value in (row.labels | labels).items() if value}
            return row.labels

    async def remove(self, kind: type[Any], key: Any, *, told: Iterable[Event] = ()) -> None:
        """Forget one record, and record the events that tell of it."""
        column = next(iter(TABLES[kind].__table__.primary_key))  # type: ignore[attr-defined]
        async with database.session(self._engine) as db:
            await db.execute(delete(TABLES[kind]).where(column == key))
            _tell(db, told)

    async def insert(self, record: Any) -> None:
        """Add a record with a key of its own; Refused when there is one with that key."""
        kind = type(record)
        row = database.to_row(TABLES[kind], record)
        async with database.session(self._engine) as db:
            key = next(iter(TABLES[kind].__table__.primary_key)).name  # type: ignore[attr-defined]
            if await db.get(TABLES[kind], getattr(row, key)) is not None:
                what = WORDS.get(kind, kind.__name__)
                raise Refused(f"there is already a {what} {getattr(row, key)!r}".replace("a image", "an image"))
            db.add(row)

    # -- images

    async def take_image(self, name: str) -> None:
        """Forget an image that no VM is made from; Refused names those that are."""
        async with database.session(self._engine) as db:
            row = await db.get(ImageRow, name)
            files = {row.path, row.kernel, row.initrd} - {""} if row is not None else set()
            vms = await _read_all(db, VMRecord)
            users = [vm.name for vm in vms if vm.spec.image == name or files & set(vm.files)]
            if users:
                some = ", ".join(users[:5])
                raise Refused(f"disks of {some} are built on image {name}", hint=f"vmctl delete {' '.join(users[:5])}")
            await db.execute(delete(ImageRow).where(col(ImageRow.name) == name))

    # -- VMs

    async def find_vm(self, name: str) -> VMRecord | None:
        """The VM of that name or UUID, if there is one."""
        found = await self.all(VMRecord, (col(VMRow.name) == name) | (col(VMRow.uuid) == name))
        return found[0] if found else None

    async def vm(self, name: str) -> VMRecord:
        """The VM of that name or UUID. Raises NotFound."""
        found = await self.find_vm(name)
        if found is None:
            raise missing("VM", name)
        return found

    async def add_vm(self, record: VMRecord, *, made: bool = False) -> None:
        """Register a VM; Refused when the name is taken. One that is just `made` needs its image to be still there."""
        async with database.session(self._engine) as db:
            same = (col(VMRow.name) == record.name) | (col(VMRow.uuid) == record.uuid)
            taken = (await db.execute(select(VMRow).where(same))).first()
            if taken is not None:
                raise Refused(f"there is already a VM {record.name!r}", hint=f"vmctl show {record.name}")
            image = record.spec.image
            if made and image and await db.get(ImageRow, image) is None:
                raise missing("image", image)
            db.add(database.to_row(VMRow, record))

    async def claim(self, vm: VMRecord, task: int) -> VMRecord:
        """Let one task hold the VM: two commands never act on one VM at once. Refused names the holder."""
        async with database.session(self._engine) as db:
            taken = (col(VMRow.uuid) == vm.uuid) & (col(VMRow.task).is_(None) | (col(VMRow.task) == task))
            done = await db.execute(update(VMRow).where(taken).values(task=task))
            row = await db.get(VMRow, vm.uuid)
            if row is None:
                raise missing("VM", vm.name)
            if done.rowcount == 1:  # type: ignore[attr-defined]
                await db.refresh(row)
                return database.to_record(VMRecord, row)
            holder = await db.get(TaskRow, row.task)
            what = f"{holder.kind} (task {holder.id})" if holder else f"task {row.task}"
            raise Refused(f"{vm.name} is busy: {what} holds it", hint=f"vmctl task attach {row.task}")

    async def end_task(self, task: int, **values: Any) -> None:
        """Write a task's end, and let go of every VM that it holds and of what was promised to it."""
        async with database.session(self._engine) as db:
            freed = {"task": None, "moving_to": "", "copying": False}
            await db.execute(update(VMRow).where(col(VMRow.task) == task).values(**freed))
            await db.execute(update(TaskRow).where(col(TaskRow.id) == task).values(**database.columns(values)))

    async def lease(
        self,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Iterable[str] = (),
        also: Iterable[str] = (),
        told: Iterable[Event] = (),
        **more: Any,
    ) -> VMRecord:
        """Write where a VM is: takes a new epoch, and is refused when somebody else took one since `vm` was read.

        `gone`: hosts that were seen not to have it, or for which an admin signed; `also`: further ones where it may run
        from now on; `told`: the events that tell of it. A VM that may still run somewhere is not stopped, whatever
        `power` says: it is UNKNOWN.

        A registry that takes nothing is waited for: what a host did must be written down.
        """
        return await self.patiently(lambda: self._lease(vm, host, power, gone=gone, also=also, told=told, **more))

    async def _lease(
        self,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Iterable[str],
        also: Iterable[str],
        told: Iterable[Event],
        **more: Any,
    ) -> VMRecord:
        async with database.session(self._engine) as db:
            may = {name: machine for name, machine in vm.may_run_on.items() if name not in set(gone)}
            for name in {*also, host} - {""} if power is not PowerState.STOPPED else ():
                kept = await db.get(HostRow, name)
                may[name] = str(kept.about.get("host_uuid") or "") if kept is not None else ""
            if power is PowerState.STOPPED and may:
                power, more = PowerState.UNKNOWN, {"why": f"may still run on {', '.join(may)}"} | more
            same = (col(VMRow.uuid) == vm.uuid) & (col(VMRow.epoch) == vm.epoch)
            values = database.columns({"host": host, "power": power, "why": "", "may_run_on": may, **more})
            done = await db.execute(update(VMRow).where(same).values(epoch=vm.epoch + 1, **values))
            if done.rowcount != 1:  # type: ignore[attr-defined]
                raise Refused(f"{vm.name} was changed by somebody else meanwhile", hint=f"vmctl show {vm.name}")
            _tell(db, told)
            row = await db.get(VMRow, vm.uuid, populate_existing=True)
            assert row is not None
            return database.to_record(VMRecord, row)

    async def take_slot(self, vm: VMRecord, target: str, most_out: int, most_in: int) -> str | None:
        """Let a VM copy to `target`, unless its hosts copy enough already: then why it must wait, in words."""
        async with database.session(self._engine) as db:
            copying = [
                one for one in await _read_all(db, VMRecord, col(VMRow.copying).is_(True)) if one.uuid != vm.uuid
            ]
            out = [one.task for one in copying if one.host == vm.host]
            into = [one.task for one in copying if one.moving_to == target]
            if len(out) >= most_out:
                return f"{vm.host} already sends {len(out)} (task {out[0]})"
            if len(into) >= most_in:
                return f"{target} already receives {len(into)} (task {into[0]})"
            await db.execute(update(VMRow).where(col(VMRow.uuid) == vm.uuid).values(copying=True))
            return None

    # -- hosts

    async def remove_host(self, name: str) -> tuple[list[str], list[str]]:
        """Forget a host, in one step with what is known of its VMs: (adopted VMs forgotten, VMs that may still run).

        Refused while a task holds one of them.
        """
        async with database.session(self._engine) as db:
            vms = [vm for vm in await _read_all(db, VMRecord) if name in (vm.host, vm.moving_to)]
            if any(vm.task is not None for vm in vms):
                raise Refused(f"tasks hold VMs of {name}", hint="vmctl task list")
            forgotten = [vm for vm in vms if vm.adopted]
            kept = [vm for vm in vms if not vm.adopted and vm.power is not PowerState.STOPPED]
            await db.execute(delete(VMRow).where(col(VMRow.uuid).in_([vm.uuid for vm in forgotten])))
            host = await db.get(HostRow, name)
            machine = str(host.about.get("host_uuid") or "") if host is not None else ""
            for vm in kept:
                why, may = f"was on {name} when that was removed", {name: machine} | vm.may_run_on
                values = database.columns({"host": "", "power": PowerState.UNKNOWN, "why": why, "may_run_on": may})
                held = update(VMRow).where(col(VMRow.uuid) == vm.uuid)
                await db.execute(held.values(epoch=vm.epoch + 1, **values))
            for storage in await _read_all(db, Storage):
                hosts = [host for host in storage.hosts if host != name]
                await db.execute(update(StorageRow).where(col(StorageRow.name) == storage.name).values(hosts=hosts))
            await db.execute(delete(HostRow).where(col(HostRow.name) == name))
            return [vm.name for vm in forgotten], [vm.name for vm in kept]

    # -- tasks, decisions, events

    async def open_tasks(self) -> list[Task]:
        """Tasks that have not ended: after a start, those of a controller that died."""
        ended = [str(state) for state in TaskState if state.ended]
        return await self.all(Task, col(TaskRow.state).not_in(ended))

    async def recent(self, kind: type[Record], *where: ColumnElement[bool], most: int = 50) -> list[Record]:
        """The newest records of a numbered kind, oldest first."""
        table: Any = TABLES[kind]
        async with database.session(self._engine, reading=True) as db:
            query = select(table).where(*where).order_by(table.id.desc()).limit(most)
            rows = (await db.execute(query)).scalars()
            return [database.to_record(kind, row) for row in rows][::-1]

    async def decisions(self, subject: str, before: float | None = None, most: int = 1) -> list[DecisionRecord]:
        """The newest decisions about a VM or host, those made until `before`."""
        limits = [col(DecisionRow.subject) == subject]
        if before is not None:
            limits.append(col(DecisionRow.made_at) <= before)
        return await self.recent(DecisionRecord, *limits, most=most)

    async def events(self, after: int = 0, most: int = 100) -> list[Event]:
        """Events with a number above `after`, oldest first; with 0, the newest."""
        return await self.recent(Event, col(EventRow.id) > after, most=most)

    async def tasks(self, most: int = 50) -> list[Task]:
        """The newest tasks, oldest first."""
        return await self.recent(Task, most=most)

    # -- load history

    async def add_means(self, means: list[Mean]) -> None:
        """Keep means of load; one that is there already is replaced."""
        if means:
            rows = [{"subject": m.subject, "period_s": m.period_s, "at": m.at, "load": m.values} for m in means]
            async with database.session(self._engine) as db:
                await db.execute(insert(MeanRow.__table__).prefix_with("OR REPLACE"), rows)  # type: ignore[attr-defined]

    async def means(self, subject: str, period_s: int, since: float) -> list[Mean]:
        """A subject's means since a time, oldest first."""
        limits = (col(MeanRow.subject) == subject, col(MeanRow.period_s) == period_s, col(MeanRow.at) >= since)
        return await self.all(Mean, *limits)

    async def prune(self, now: float) -> int:
        """Forget what is older than kept: minutes 24 h, ten minutes 30 days, events, tasks and decisions 90 days."""
        day = 86400.0
        old = [
            delete(MeanRow).where(col(MeanRow.period_s) < 600, col(MeanRow.at) < now - day),
            delete(MeanRow).where(col(MeanRow.at) < now - 30 * day),
            delete(EventRow).where(col(EventRow.at) < now - 90 * day),
            delete(DecisionRow).where(col(DecisionRow.made_at) < now - 90 * day),
            delete(TaskRow).where(col(TaskRow.ended_at).is_not(None), col(TaskRow.created_at) < now - 90 * day),
        ]
        gone = 0
        async with database.session(self._engine) as db:
            for statement in old:
                gone += (await db.execute(statement)).rowcount  # type: ignore[attr-defined]
        return gone


def missing(what: str, name: str) -> NotFound:
    """The error for a name that nothing has."""
    verb = {"VM": "vmctl list", "task": "vmctl task list"}.get(what, f"vmctl {what} list")
    return NotFound(f"there is no {what} {name!r}", hint=verb)


def _tell(db: AsyncSession, events: Iterable[Event]) -> None:
    """Events stand in the transaction of what they tell: none is lost, and none is told of what was not done."""
    db.add_all([database.to_row(EventRow, event) for event in events])


async def _read_all(db: AsyncSession, kind: type[Record], *where: ColumnElement[bool]) -> list[Record]:
    table = TABLES[kind]
    order = list(table.__table__.primary_key)  # type: ignore[attr-defined]
    rows = (await db.execute(select(table).where(*where).order_by(*order))).scalars()
    return [database.to_record(kind, row) for row in rows]
