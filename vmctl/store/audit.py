"""The audit in the SQL registry. What each method promises is in its port."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model.access import Use
from vmctl.model.audit import Entry, Kept, following
from vmctl.model.records import Given, Task
from vmctl.store import limit_rules, rows, rules
from vmctl.store.database import reading, writing
from vmctl.store.statements import at_the_end, unique
from vmctl.store.tables import AuditRow, GivenRow, TaskRow
from vmctl.store.users import within


class SqlAudit:
    """The part of the SQL registry that is only ever appended to."""

    @writing
    def audit(self, db: Session, entry: Entry) -> None:
        append(db, entry)

    @writing
    def accept(
        self, db: Session, task: Task, entry: Entry, *, given: Given | None = None, limited: bool = False
    ) -> int:
        # What is not limited itself may count to the limit of what is accepted at the same time.
        within(db, limit_rules.whose(task.who, task.project), Use(commands=int(limited)))
        row: Any = rows.to_row(TaskRow, task)
        row.id = None
        db.add(row)
        db.flush()
        if given is not None:
            db.add(rows.to_row(GivenRow, replace(given, task=int(row.id))))
            with unique(lambda: rules.there_is(Given, given.key)):
                db.flush()
        append(db, replace(entry, task=int(row.id)))
        return int(row.id)

    @reading
    def newest_audited(self, db: Session, before: int | None = None, most: int = 1) -> list[Kept]:
        limits = [] if before is None else [col(AuditRow.id) < before]
        query = select(AuditRow).where(*limits).order_by(col(AuditRow.id).desc()).limit(most)
        return [_kept(row) for row in db.execute(query).scalars()][::-1]

    @reading
    def chain(self, db: Session, after: int, most: int) -> list[Kept]:
        query = select(AuditRow).where(col(AuditRow.id) > after).order_by(col(AuditRow.id)).limit(most)
        return [_kept(row) for row in db.execute(query).scalars()]


def append(db: Session, entry: Entry) -> None:
    """Append an entry; last in its transaction, so that the chain is short of nothing that was written before."""
    db.flush()
    at_the_end(db)
    last = db.execute(select(AuditRow).order_by(col(AuditRow.id).desc()).limit(1)).scalar()
    made = following(_kept(last) if last is not None else None, entry)
    db.add(AuditRow(id=made.id, text=made.text, hash=made.hash))


def _kept(row: AuditRow) -> Kept:
    return Kept(row.id, row.text, row.hash)
