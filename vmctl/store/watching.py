"""Who watches what, in the SQL registry. What each method promises is in its port."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy import select as columns  # of any number
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model.watching import HostReport, HostWatch
from vmctl.store import rows
from vmctl.store.database import Database, reading, writing
from vmctl.store.jsons import as_json
from vmctl.store.statements import AT_ONCE, batches, clock, is_shared, read_all
from vmctl.store.tables import HostRow, ReplicaRow
from vmctl.store.watching_tables import HostReportRow, HostWatchRow, MachineReaderRow

# One value holds all rows: a statement for each would cost more than to find out what is told.
REPORT = text(
    "INSERT INTO host_report (host, epoch, number, body, digest, told_number, told_at)"
    " SELECT given.*, given.number, extract(epoch FROM clock_timestamp())"
    " FROM json_to_recordset(:rows) AS given (host text, epoch bigint, number bigint, body json, digest text)"
    " ON CONFLICT (host) DO UPDATE SET"
    " epoch = excluded.epoch, number = excluded.number, body = excluded.body,"
    " digest = excluded.digest, told_number = excluded.told_number, told_at = excluded.told_at"
)


class SqlWatching:
    """The part of the SQL registry that knows who watches what."""

    database: Database

    @writing
    def share_out(self, db: Session, given: Mapping[str, str], now: float) -> None:
        made = rows.insert_into(self.database.engine)(HostWatchRow)
        new = made.excluded
        other = made.on_conflict_do_update(
            index_elements=["host"],
            set_={"life": new.life, "epoch": col(HostWatchRow.epoch) + 1, "since": new.since},
            where=col(HostWatchRow.life) != new.life,
        )
        there = set(db.execute(select(HostRow.name).order_by(HostRow.name).with_for_update(read=True)).scalars())
        values = [
            {"host": host, "life": life, "epoch": 1, "since": now}
            for host, life in sorted(given.items())
            if host in there
        ]
        for some in batches(values, AT_ONCE):
            db.execute(other.values(some))

    @writing
    def report(self, db: Session, life: str, reports: Collection[HostReport], now: float) -> None:
        if is_shared(db):
            db.execute(text("SET LOCAL synchronous_commit = off"))  # what is lost is told again within a period
        new = {one.host: one for one in reports}
        held = (col(HostWatchRow.host), col(HostWatchRow.epoch))
        mine: set[tuple[str, int]] = set()
        for some in batches(sorted(new), AT_ONCE):
            query = select(*held).where(col(HostWatchRow.life) == life, held[0].in_(some)).order_by(held[0])
            mine |= {(host, epoch) for host, epoch in db.execute(query.with_for_update(read=True))}
        told = [
            {"host": one.host, "epoch": one.epoch, "number": one.number, "body": one.body, "digest": one.digest}
            for _, one in sorted(new.items())
            if (one.host, one.epoch) in mine
        ]
        if told and is_shared(db):
            db.execute(REPORT, {"rows": as_json(told)})
        elif told:
            db.execute(rows.upsert(self.database.engine, HostReportRow), [_at(one, now) for one in told])

    @reading
    def reports(self, db: Session, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        new = [one.host for one in _heads(db, known)]
        return [
            one
            for some in batches(sorted(new), AT_ONCE)
            for one in read_all(db, HostReport, col(HostReportRow.host).in_(some))
        ]

    @reading
    def report_heads(self, db: Session, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        return _heads(db, known)

    @reading
    def told_s(self, db: Session, now: float) -> dict[str, float]:
        shown = clock(db, now)
        of_it = col(HostReportRow.told_number) == col(HostReportRow.number)
        told = db.execute(select(HostReportRow.host, HostReportRow.told_at).where(of_it))
        return {host: max(0.0, shown - at) for host, at in told}

    @writing
    def take_machines(self, db: Session, life: str, machines: Collection[str]) -> list[str]:
        made = rows.insert_into(self.database.engine)(MachineReaderRow)
        alive = select(ReplicaRow.life).where(col(ReplicaRow.ended_at).is_(None))
        take = made.on_conflict_do_update(
            index_elements=["machine"],
            set_={"life": made.excluded.life},
            where=col(MachineReaderRow.life).not_in(alive),
        )
        mine: set[str] = set()
        for some in batches(sorted(machines), AT_ONCE):
            db.execute(take.values([{"machine": machine, "life": life} for machine in some]))
            held = select(MachineReaderRow.machine).where(
                col(MachineReaderRow.life) == life, col(MachineReaderRow.machine).in_(some)
            )
            mine |= set(db.execute(held).scalars())
        return sorted(mine)

    @writing
    def leave_machines(self, db: Session, life: str, machines: Collection[str]) -> None:
        row = MachineReaderRow
        for some in batches(sorted(machines), AT_ONCE):
            db.execute(delete(row).where(col(row.life) == life, col(row.machine).in_(some)))

    @reading
    def watched_by(self, db: Session, life: str) -> list[HostWatch]:
        return read_all(db, HostWatch, col(HostWatchRow.life) == life)


def _at(told: dict[str, Any], now: float) -> dict[str, Any]:
    return told | {"told_number": told["number"], "told_at": now}


def _heads(db: Session, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
    names = ("host", "epoch", "number", "told_at", "digest")
    heads = db.execute(columns(*(getattr(HostReportRow, name) for name in names)))
    found = (HostReport(**dict(zip(names, head, strict=True))) for head in heads)
    return [one for one in found if known.get(one.host) != (one.epoch, one.number)]
