"""The registry: what should be, and what was decided and done. Every method is one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col, select

from vmctl.errors import NotFound, Refused
from vmctl.model import PowerState
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

    def __init__(self, path: Path) -> None:
        self._engine = database.open_engine(path)
        self.ledger = LedgerStore(self._engine)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the database at `path`, created or migrated when needed. Blocking."""
        database.upgrade(path)
        return cls(path)

    async def close(self) -> None:
        """Let go of the file."""
        await self._engine.dispose()

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

    async def change(self, kind: type[Any], key: Any, **values: Any) -> None:
        """Set some fields of one record."""
        table = TABLES[kind]
        column = next(iter(table.__table__.primary_key))  # type: ignore[attr-defined]
        async with database.session(self._engine) as db:
            await db.execute(update(table).where(column == key).values(**database.columns(values)))

    async def remove(self, kind: type[Any], key: Any) -> None:
        """Forget one record."""
        column = next(iter(TABLES[kind].__table__.primary_key))  # type: ignore[attr-defined]
        async with database.session(self._engine) as db:
            await db.execute(delete(TABLES[kind]).where(column == key))

    # -- VMs

    async def vm(self, name: str) -> VMRecord:
        """The VM of that name or UUID."""
        found = await self.all(VMRecord, (col(VMRow.name) == name) | (col(VMRow.uuid) == name))
        if not found:
            raise missing("VM", name)
        return found[0]

    async def add_vm(self, record: VMRecord) -> None:
        """Register a new VM; Refused when the name is taken."""
        async with database.session(self._engine) as db:
            same = (col(VMRow.name) == record.name) | (col(VMRow.uuid) == record.uuid)
            taken = (await db.execute(select(VMRow).where(same))).first()
            if taken is not None:
                raise Refused(f"there is already a VM {record.name!r}", hint=f"vmctl show {record.name}")
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
        """Write a task's end, and let go of every VM that it holds."""
        async with database.session(self._engine) as db:
            await db.execute(update(VMRow).where(col(VMRow.task) == task).values(task=None))
            await db.execute(update(TaskRow).where(col(TaskRow.id) == task).values(**database.columns(values)))

    async def lease(self, vm: VMRecord, host: str, power: PowerState, **more: Any) -> VMRecord:
        """Write where a VM is: takes a new epoch, and is refused when somebody else took one since `vm` was read."""
        async with database.session(self._engine) as db:
            same = (col(VMRow.uuid) == vm.uuid) & (col(VMRow.epoch) == vm.epoch)
            values = database.columns({"host": host, "power": power, "why": "", **more})
            done = await db.execute(update(VMRow).where(same).values(epoch=vm.epoch + 1, **values))
            if done.rowcount != 1:  # type: ignore[attr-defined]
                raise Refused(f"{vm.name} was changed by somebody else meanwhile", hint=f"vmctl show {vm.name}")
            row = await db.get(VMRow, vm.uuid, populate_existing=True)
            assert row is not None
            return database.to_record(VMRecord, row)

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


async def _read_all(db: AsyncSession, kind: type[Record], *where: ColumnElement[bool]) -> list[Record]:
    table = TABLES[kind]
    order = list(table.__table__.primary_key)  # type: ignore[attr-defined]
    rows = (await db.execute(select(table).where(*where).order_by(*order))).scalars()
    return [database.to_record(kind, row) for row in rows]
