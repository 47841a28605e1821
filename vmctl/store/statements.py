"""What the SQL registry's methods are made of: which table keeps what, and the statements that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, func, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlmodel import SQLModel, col, select

from vmctl.errors import VmctlError
from vmctl.model.access import Failures, Grant, Group, Limit, Project, Role, Token, User
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.model.records import (
    ClusterValue,
    DecisionRecord,
    Event,
    Given,
    HostRecord,
    Image,
    LoadMean,
    Schedule,
    Storage,
    Task,
    VMRecord,
)
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.model.rights import Sight
from vmctl.model.uploads import Upload
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.store import rows, rules
from vmctl.store.tables import (
    ControllerKeyRow,
    DecisionRow,
    EventRow,
    FailuresRow,
    GivenRow,
    GrantRow,
    GroupRow,
    HostReportRow,
    HostRow,
    HostWatchRow,
    ImageRow,
    InvitationRow,
    LeadRow,
    LimitRow,
    MachineReaderRow,
    MeanRow,
    ProjectRow,
    ReplicaRow,
    RoleRow,
    ScheduleRow,
    SessionRow,
    SettingRow,
    StorageRow,
    TaskRow,
    TokenRow,
    UploadRow,
    UserRow,
    VMRow,
)

Record = TypeVar("Record")
Item = TypeVar("Item")
# One clock for all: controllers' own may be hours apart. It is shown to people, and decides nothing.
SERVER_NOW = func.extract("epoch", func.clock_timestamp())
UNCHANGED = "VMs"  # in a session's info, where its database has it: what reads VMs, all or some
AT_THE_END = 0x656E64  # "end": the lock that who appends to events or to the audit holds
TABLES: dict[type[Any], type[SQLModel]] = {
    HostRecord: HostRow,
    Storage: StorageRow,
    Image: ImageRow,
    Upload: UploadRow,
    VMRecord: VMRow,
    Task: TaskRow,
    DecisionRecord: DecisionRow,
    Event: EventRow,
    LoadMean: MeanRow,
    Schedule: ScheduleRow,
    ClusterValue: SettingRow,
    User: UserRow,
    Group: GroupRow,
    Project: ProjectRow,
    Role: RoleRow,
    Grant: GrantRow,
    Token: TokenRow,
    Failures: FailuresRow,
    Limit: LimitRow,
    Given: GivenRow,
    Replica: ReplicaRow,
    Lead: LeadRow,
    HostSession: SessionRow,
    HostWatch: HostWatchRow,
    HostReport: HostReportRow,
    MachineReader: MachineReaderRow,
    Invitation: InvitationRow,
    ControllerKey: ControllerKeyRow,
}


AT_ONCE = 500  # values in one statement


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


@contextmanager
def unique(taken: Callable[[], VmctlError]) -> Iterator[None]:
    """The error to raise where a row of that key, or name, is there already."""
    try:
        yield
    except IntegrityError as err:
        raise taken() from err


def is_key(kind: type[Any], key: Any) -> ColumnElement[bool]:
    """Whether a row has that key."""
    column: ColumnElement[bool] = getattr(TABLES[kind], rules.KEYS[kind][0]) == key
    return column


def seen_by(sight: Sight, project: Any, vm: Any) -> list[ColumnElement[bool]]:
    """Which rows somebody may see, by the columns of what they are about."""
    return [] if sight.everything else [col(project).in_(sight.projects) | col(vm).in_(sight.vms)]


def tell(db: Session, events: Collection[Event]) -> None:
    """Events stand in the transaction of what they tell: none is lost, and none is told of what was not done.

    Last in it, as others wait.
    """
    if events:
        db.flush()
        at_the_end(db)
        db.add_all([rows.to_row(EventRow, event) for event in events])


def at_the_end(db: Session) -> None:
    """Wait for whoever else appends to events or to the audit: numbers are then in the order of commits.

    PostgreSQL gives numbers out before it commits, so that who asks for what came after a number would miss some.
    """
    if is_shared(db):
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AT_THE_END})


def is_shared(db: Session) -> bool:
    """Whether others write at the same time: SQLite takes one writer at a time."""
    return db.get_bind().dialect.name == "postgresql"


def clock(db: Session, now: float) -> float:
    """Now, by the registry's clock where several machines share it; who asks has looked at his own."""
    return float(db.execute(select(SERVER_NOW)).scalar_one()) if is_shared(db) else now


def whole(db: Session, kind: type[Record], *where: ColumnElement[bool]) -> list[Record]:
    """All records of a kind, or those; nobody adds, changes or removes one before this transaction ends."""
    if is_shared(db):
        db.execute(text(f"LOCK TABLE {TABLES[kind].__tablename__} IN SHARE ROW EXCLUSIVE MODE"))
    return read_all(db, kind, *where)


def locked(db: Session, kind: type[Record], key: Any) -> Record | None:
    """A record that nobody changes before this transaction ends."""
    found = read_all(db, kind, is_key(kind, key), locked=True)
    return found[0] if found else None


def read_all(db: Session, kind: type[Record], *where: ColumnElement[bool], locked: bool = False) -> list[Record]:
    if kind is VMRecord and (unchanged := db.info.get(UNCHANGED)):
        return cast(list[Record], unchanged(*where))
    table = TABLES[kind]
    query = select(table).where(*where).order_by(*table.__table__.primary_key)  # type: ignore[attr-defined]
    found = db.execute(query.with_for_update() if locked else query).scalars()
    return [rows.to_record(kind, row) for row in found]
