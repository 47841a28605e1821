"""The registry in an SQL database.

Each method is one statement, or locks the rows that it changes before it looks at what they say: two at once give what
one after the other would give. Locks are taken in one order: hosts by name, images, projects, limits, VMs by UUID,
tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model import rights
from vmctl.model.access import Use
from vmctl.model.audit import Entry
from vmctl.model.pages import Wanted
from vmctl.model.records import (
    ClusterValue,
    DecisionRecord,
    Event,
    HostRecord,
    Image,
    LoadMean,
    Storage,
    Task,
    VMRecord,
    load_of,
)
from vmctl.model.rights import ALL, Sight
from vmctl.model.uploads import Upload
from vmctl.model.vms import PowerState
from vmctl.model.watching import HostReport, HostWatch
from vmctl.ports import SYSTEM, Clock
from vmctl.store import limit_rules, rows, rules
from vmctl.store.audit import SqlAudit, append
from vmctl.store.database import Database, reading, writing
from vmctl.store.hostvms import SqlHostVMs
from vmctl.store.incarnations import LedgerStore
from vmctl.store.joining import SqlJoining
from vmctl.store.leasing import Leasing
from vmctl.store.means import put_means
from vmctl.store.pruning import SqlPruning
from vmctl.store.replicas import SqlReplicas
from vmctl.store.statements import TABLES, at_the_end, is_key, locked, read_all, seen_by, tell, unique, whole
from vmctl.store.tables import (
    DecisionRow,
    EventRow,
    HostReportRow,
    HostRow,
    HostWatchRow,
    ImageRow,
    MeanRow,
    SettingRow,
    StorageRow,
    TaskRow,
    VMRow,
)
from vmctl.store.uploads import SqlUploads
from vmctl.store.users import SqlUsers, end_grants, in_project, within
from vmctl.store.watching import SqlWatching

Record = TypeVar("Record")
LAST = chr(0x10FFFF)  # no character comes after it


class SqlStore(Leasing, SqlHostVMs, SqlUsers, SqlAudit, SqlUploads, SqlReplicas, SqlWatching, SqlJoining, SqlPruning):
    """`opening.open_store` opens one; end with `close`. What its methods promise is in `vmctl.ports.store`."""

    def __init__(self, database: Database, clock: Clock = SYSTEM.clock) -> None:
        super().__init__(clock)
        self.database = database
        self.ledger = LedgerStore(database)

    async def close(self) -> None:
        await self.database.close()

    # -- any kind of record

    @reading
    def all(self, db: Session, kind: type[Record]) -> list[Record]:
        return read_all(db, kind)

    @reading
    def inventory(self, db: Session) -> tuple[list[HostRecord], list[VMRecord], list[Storage]]:
        return read_all(db, HostRecord), read_all(db, VMRecord), read_all(db, Storage)

    @reading
    def find(self, db: Session, kind: type[Record], key: Any) -> Record | None:
        found = read_all(db, kind, is_key(kind, key))
        return found[0] if found else None

    async def get(self, kind: type[Record], key: Any) -> Record:
        found = await self.find(kind, key)
        if found is None:
            raise rules.missing(rules.WORDS.get(kind, kind.__name__), str(key))
        return found

    @writing
    def put(self, db: Session, record: Any) -> None:
        row = rows.to_row(TABLES[type(record)], record)
        db.execute(rows.upsert(self.database.engine, type(row)), rows.named(row))

    @writing
    def insert(self, db: Session, record: Any) -> None:
        kind = type(record)
        db.add(rows.to_row(TABLES[kind], record))
        with unique(lambda: rules.there_is(kind, getattr(record, rules.KEYS[kind][0]))):
            db.flush()

    @writing
    def add(self, db: Session, record: Any) -> int:
        if isinstance(record, Event):
            at_the_end(db)
        row = rows.to_row(TABLES[type(record)], record)
        row.id = None
        db.add(row)
        db.flush()
        return int(row.id)  # type: ignore[attr-defined]

    @writing
    def change(
        self,
        db: Session,
        /,
        kind: type[Any],
        key: Any,
        *,
        told: Collection[Event] = (),
        check: Callable[[Any], None] | None = None,
        **values: Any,
    ) -> None:
        if check is not None:
            check(locked(db, kind, key))
        db.execute(update(TABLES[kind]).where(is_key(kind, key)).values(**rows.columns(values)))
        tell(db, told)

    async def revise(self, kind: type[Record], key: Any, change: Callable[[Record | None], Record]) -> Record:
        try:
            return await self._revise(kind, key, change)
        except IntegrityError:  # somebody was first to make it
            return await self._revise(kind, key, change)

    @writing
    def _revise(self, db: Session, kind: type[Record], key: Any, change: Callable[[Record | None], Record]) -> Record:
        row = (db.execute(select(TABLES[kind]).where(is_key(kind, key)).with_for_update())).scalar_one_or_none()
        before = rows.to_record(kind, row) if row is not None else None
        after = change(before)
        if before is None:
            db.add(rows.to_row(TABLES[kind], after))
        elif after != before:
            new = rows.to_row(TABLES[kind], after).model_dump()
            db.execute(update(TABLES[kind]).where(is_key(kind, key)).values(**new))
        return after

    @writing
    def remove(self, db: Session, kind: type[Any], key: Any, *, told: Collection[Event] = ()) -> None:
        db.execute(delete(TABLES[kind]).where(is_key(kind, key)))
        if kind is VMRecord:
            end_grants(db, rights.vm(key))
        tell(db, told)

    # -- VMs

    @reading
    def find_vm(self, db: Session, name: str) -> VMRecord | None:
        found = read_all(db, VMRecord, (col(VMRow.name) == name) | (col(VMRow.uuid) == name))
        return found[0] if found else None

    @reading
    def page_of_vms(self, db: Session, wanted: Wanted) -> list[VMRecord]:
        limits = [col(VMRow.name) > wanted.after, *seen_by(wanted.sight, VMRow.project, VMRow.uuid)]
        for column, value in ((VMRow.project, wanted.project), (VMRow.host, wanted.host), (VMRow.owner, wanted.owner)):
            limits += [col(column) == value] if value else []
        if wanted.begins:  # LIKE would take upper and lower case for one
            limits += [col(VMRow.name) >= wanted.begins, col(VMRow.name) < wanted.begins + LAST]
        query = select(VMRow).where(*limits).order_by(col(VMRow.name)).limit(wanted.most)
        return [rows.to_record(VMRecord, row) for row in db.execute(query).scalars()]

    @property
    def writes(self) -> int:
        return self.database.writes

    async def vm(self, name: str) -> VMRecord:
        found = await self.find_vm(name)
        if found is None:
            raise rules.missing("VM", name)
        return found

    @writing
    def add_vm(self, db: Session, record: VMRecord, *, made: bool = False) -> None:
        image = record.spec.image
        # Held until the VM is there: nobody forgets the image in between.
        if made and image and locked(db, Image, image) is None:
            raise rules.missing("image", image)
        in_project(db, record.project)
        if made:
            within(db, limit_rules.whose(record.owner, record.project), limit_rules.of_vm(record))
        # One that leaves forgets those that were adopted there: none may come in after that.
        if record.adopted and record.host and locked(db, HostRecord, record.host) is None:
            raise rules.missing("host", record.host)
        db.add(rows.to_row(VMRow, record))
        with unique(lambda: rules.name_taken(record.name)):
            db.flush()

    @writing
    def claim(self, db: Session, vm: VMRecord, task: int) -> VMRecord:
        free = col(VMRow.task).is_(None) | (col(VMRow.task) == task)
        db.execute(update(VMRow).where(is_key(VMRecord, vm.uuid), free).values(task=task))
        row = db.get(VMRow, vm.uuid)
        if row is None:
            raise rules.missing("VM", vm.name)
        if row.task == task:
            return rows.to_record(VMRecord, row)
        assert row.task is not None
        holder = db.get(TaskRow, row.task)
        raise rules.held(vm, row.task, rows.to_record(Task, holder) if holder else None)

    @writing
    def _lease(
        self,
        db: Session,
        /,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Collection[str],
        also: Collection[str],
        told: Collection[Event],
        **more: Any,
    ) -> VMRecord:
        gone = set(gone)
        hosts = read_all(db, HostRecord, col(HostRow.name).in_({*also, host, *gone}), locked=True)
        machines = {one.name: one.machine for one in hosts}
        values = rules.leased(vm, host, power, machines, gone=gone, also=also, more=more)
        same = is_key(VMRecord, vm.uuid) & (col(VMRow.epoch) == vm.epoch)
        done = db.execute(update(VMRow).where(same).values(**rows.columns(values)))
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise rules.overtaken(vm)
        tell(db, told)
        row = db.get(VMRow, vm.uuid, populate_existing=True)
        assert row is not None
        return rows.to_record(VMRecord, row)

    @writing
    def forget_vm(self, db: Session, vm: VMRecord, *, told: Collection[Event] = ()) -> None:
        same = is_key(VMRecord, vm.uuid) & (col(VMRow.epoch) == vm.epoch) & col(VMRow.task).is_(None)
        done = db.execute(delete(VMRow).where(same))
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise rules.overtaken(vm)
        end_grants(db, rights.vm(vm.uuid))
        tell(db, told)

    @writing
    def take_slot(self, db: Session, vm: VMRecord, target: str, most_out: int, most_in: int) -> str | None:
        # The hosts' rows are what two VMs that want the last slot have in common.
        read_all(db, HostRecord, col(HostRow.name).in_({vm.host, target}), locked=True)
        copying = read_all(db, VMRecord, col(VMRow.copying).is_(True))
        if (why := rules.must_wait(copying, vm, target, most_out, most_in)) is None:
            db.execute(update(VMRow).where(is_key(VMRecord, vm.uuid)).values(copying=True))
        return why

    @writing
    def add_image(self, db: Session, image: Image, *, again: bool = False) -> None:
        if locked(db, Storage, image.storage) is None:
            raise rules.missing("storage", image.storage)
        in_project(db, image.project)
        if not again:
            within(db, limit_rules.whose("", image.project), limit_rules.of_image(image))
        db.add(rows.to_row(ImageRow, image))
        with unique(lambda: rules.there_is(Image, image.name)):
            db.flush()

    @writing
    def add_storage(self, db: Session, storage: Storage) -> None:
        rules.check_new_storage(storage, whole(db, Storage))
        db.add(rows.to_row(StorageRow, storage))
        with unique(lambda: rules.there_is(Storage, storage.name)):
            db.flush()
        db.execute(delete(SettingRow).where(is_key(ClusterValue, rules.proof_of(storage.name))))

    @writing
    def take_storage(self, db: Session, name: str) -> None:
        locked(db, Storage, name)
        rules.check_empty(name, read_all(db, VMRecord), read_all(db, Image), read_all(db, Upload))
        db.execute(delete(StorageRow).where(is_key(Storage, name)))
        db.execute(delete(SettingRow).where(is_key(ClusterValue, rules.proof_of(name))))

    @writing
    def take_image(self, db: Session, name: str) -> None:
        image = locked(db, Image, name)
        rules.check_unused(image, name, read_all(db, VMRecord))
        db.execute(delete(ImageRow).where(is_key(Image, name)))

    @writing
    def add_host(
        self, db: Session, host: HostRecord, storages: Collection[Storage] = (), *, told: Collection[Event] = ()
    ) -> None:
        rules.check_new_host(host, whole(db, HostRecord))
        db.add(rows.to_row(HostRow, host))
        with unique(lambda: rules.there_is(HostRecord, host.name)):
            db.flush()
        db.execute(delete(SettingRow).where(is_key(ClusterValue, rules.BASELINE)))
        for proven in storages:
            storage = locked(db, Storage, proven.name)
            if storage is not None and rules.is_same(storage, proven):
                hosts = sorted({*storage.hosts, host.name})
                db.execute(update(StorageRow).where(is_key(Storage, storage.name)).values(hosts=hosts))
        tell(db, told)

    @writing
    def remove_host(self, db: Session, name: str, *, force: bool = True) -> tuple[list[str], list[str]]:
        host = locked(db, HostRecord, name)
        here = (col(VMRow.host) == name) | (col(VMRow.moving_to) == name)
        forgotten, kept = rules.left_behind(host, name, read_all(db, VMRecord, here, locked=True), force=force)
        db.execute(delete(VMRow).where(col(VMRow.uuid).in_([vm.uuid for vm in forgotten])))
        for vm in kept:
            values = rows.to_row(VMRow, vm).model_dump()
            db.execute(update(VMRow).where(is_key(VMRecord, vm.uuid)).values(**values))
        for storage in whole(db, Storage):
            hosts = [host for host in storage.hosts if host != name]
            db.execute(update(StorageRow).where(is_key(Storage, storage.name)).values(hosts=hosts))
        db.execute(delete(HostRow).where(is_key(HostRecord, name)))
        for kind, table in ((HostWatch, HostWatchRow), (HostReport, HostReportRow)):
            db.execute(delete(table).where(is_key(kind, name)))
        # Another machine may have the name one day.
        db.execute(delete(MeanRow).where(col(MeanRow.subject) == load_of(name)))
        return [vm.name for vm in forgotten], [vm.name for vm in kept]

    # -- tasks, decisions, events, measurements

    @reading
    def open_tasks(self, db: Session) -> list[Task]:
        # By what they are, not by what they are not: that finds them by an index.
        return read_all(db, Task, col(TaskRow.state).in_([str(state) for state in rules.OPEN]))

    @writing
    def promise_to_task(self, db: Session, /, task: int, of: Collection[str], wanted: Use, **values: Any) -> None:
        within(db, of, wanted)
        if values:
            db.execute(update(TaskRow).where(is_key(Task, task)).values(**rows.columns(values)))

    @writing
    def end_task(self, db: Session, /, task: int, *, entry: Entry | None = None, **values: Any) -> None:
        db.execute(update(VMRow).where(col(VMRow.task) == task).values(**rules.FREED))
        db.execute(update(TaskRow).where(is_key(Task, task)).values(**rows.columns(values)))
        if entry is not None:
            append(db, entry)

    async def tasks(
        self, most: int = 50, sight: Sight = ALL, *, kind: str = "", also_of: str = "", after: int = 0
    ) -> list[Task]:
        seen = seen_by(sight, TaskRow.project, TaskRow.vm)
        if seen and also_of:
            seen = [or_(*seen, col(TaskRow.who) == also_of)]
        limits = [*([col(TaskRow.kind) == kind] if kind else []), *([col(TaskRow.id) > after] if after else [])]
        return await self._newest(Task, most, *seen, *limits)

    async def decisions(self, subject: str, before: float | None = None, most: int = 1) -> list[DecisionRecord]:
        limits = [col(DecisionRow.subject) == subject]
        if before is not None:
            limits.append(col(DecisionRow.made_at) <= before)
        return await self._newest(DecisionRecord, most, *limits)

    async def events(self, after: int = 0, most: int = 100, sight: Sight = ALL) -> list[Event]:
        seen = seen_by(sight, EventRow.project, EventRow.uuid)
        return await self._events_after(after, most, *seen) if after else await self._newest(Event, most, *seen)

    @reading
    def _events_after(self, db: Session, after: int, most: int, *where: ColumnElement[bool]) -> list[Event]:
        query = select(EventRow).where(col(EventRow.id) > after, *where).order_by(col(EventRow.id)).limit(most)
        return [rows.to_record(Event, row) for row in db.execute(query).scalars()]

    @reading
    def _newest(self, db: Session, kind: type[Record], most: int, *where: ColumnElement[bool]) -> list[Record]:
        """The newest records of a numbered kind, oldest first."""
        table: Any = TABLES[kind]
        query = select(table).where(*where).order_by(table.id.desc()).limit(most)
        return [rows.to_record(kind, row) for row in db.execute(query).scalars()][::-1]

    @writing
    def add_means(self, db: Session, means: list[LoadMean]) -> None:
        put_means(db, means)

    @reading
    def means(self, db: Session, subject: str, period_s: int, since: float) -> list[LoadMean]:
        limits = (col(MeanRow.subject) == subject, col(MeanRow.period_s) == period_s, col(MeanRow.at) >= since)
        return read_all(db, LoadMean, *limits)
