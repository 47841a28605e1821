"""Controllers' lives in the SQL registry. What each method promises is in its port.

Whoever's life was ended writes nothing more, whatever it still has under way: each of its transactions looks first, and
holds its row until it has committed. Who ends a life waits for those that looked before.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model.audit import Entry
from vmctl.model.joining import ControllerKey
from vmctl.model.records import Event
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.services.claims import Deposed
from vmctl.store import rows, rules
from vmctl.store.audit import append
from vmctl.store.database import Database, reading, writing
from vmctl.store.statements import SERVER_NOW, clock, is_key, is_shared, locked, read_all, tell, whole
from vmctl.store.tables import HostWatchRow, LeadRow, ReplicaRow, SessionRow


class SqlReplicas:
    """The part of the SQL registry that knows which controllers there are."""

    database: Database

    @property
    def shared(self) -> bool:
        """Whether several controllers may use it."""
        return self.database.shared

    def begin_life(self, replica: Replica) -> None:
        self.database.fence = lambda _db: None  # an earlier life of this process's
        self.database.write_here(lambda db: _begin(db, replica))
        if self.database.shared:
            self.database.fence = lambda db: _check(db, replica.life)

    async def beat(self, life: str, now: float) -> float:
        # However much else waits to be written: who is not heard in time loses its life.
        return await self.database.write_first(lambda db: _beat(db, life, now))

    @reading
    def lives(self, db: Session) -> tuple[list[Replica], Lead | None]:
        leads = read_all(db, Lead)
        return read_all(db, Replica, col(ReplicaRow.ended_at).is_(None)), leads[0] if leads else None

    @writing
    def lead(self, db: Session, life: str, now: float, *, told: Collection[Event] = ()) -> Lead | None:
        # There is a row to be locked from the first time on.
        nobody = {"name": rules.LEAD, "life": "", "term": 0, "since": now}
        db.execute(rows.insert_into(self.database.engine)(LeadRow).values(**nobody).on_conflict_do_nothing())
        before = locked(db, Lead, rules.LEAD)
        found = read_all(db, Replica, is_key(Replica, before.life)) if before is not None else []
        # One that has not ended may end right now; who has ended stays so.
        lead = rules.led_by(before, found[0] if found else None, life, now)
        if lead is not None and lead != before:
            values = {"life": lead.life, "term": lead.term, "since": lead.since}
            db.execute(update(LeadRow).where(is_key(Lead, rules.LEAD)).values(**values))
            tell(db, told)
        return lead

    @writing
    def bury(
        self,
        db: Session,
        life: str,
        beat: int,
        why: str,
        now: float,
        *,
        told: Collection[Event] = (),
        entry: Entry | None = None,
    ) -> bool:
        # Whose row is locked is in the middle of a transaction, which would be committed after this one: it is looked
        # at again in a moment. One that froze in there is ended by the server.
        stands = is_key(Replica, life) & (col(ReplicaRow.beat) == beat) & col(ReplicaRow.ended_at).is_(None)
        if db.execute(select(ReplicaRow.life).where(stands).with_for_update(skip_locked=True)).first() is None:
            return False
        db.execute(update(ReplicaRow).where(is_key(Replica, life)).values(ended_at=now, why=why))
        tell(db, told)
        if entry is not None:
            append(db, entry)
        return True

    @reading
    def left_sessions(self, db: Session, host: str, life: str) -> list[HostSession]:
        alive = select(ReplicaRow.life).where(col(ReplicaRow.ended_at).is_(None), col(ReplicaRow.life) != life)
        leads = select(LeadRow.life)
        watches = select(HostWatchRow.life).where(col(HostWatchRow.host) == host)
        in_use = alive.where(col(ReplicaRow.life).in_(leads) | col(ReplicaRow.life).in_(watches))
        return read_all(db, HostSession, col(SessionRow.host) == host, col(SessionRow.life).not_in(in_use))

    @writing
    def keep_session(self, db: Session, session: HostSession | None, gone: Collection[HostSession] = ()) -> None:
        row = SessionRow
        # In one order, so that two that take away the same ones do not wait for each other.
        for one in sorted(gone, key=lambda one: (one.boot_id, one.pid)):
            place = (col(row.host) == one.host, col(row.boot_id) == one.boot_id)
            db.execute(delete(row).where(*place, col(row.pid) == one.pid, col(row.ticks) == one.ticks))
        if session is not None:
            db.execute(rows.upsert(self.database.engine, SessionRow), [rows.named(rows.to_row(SessionRow, session))])

    @reading
    def heard(self, db: Session, life: str = "") -> list[tuple[Replica, float | None]]:
        now = clock(db, 0.0) if self.database.shared else None
        wanted = [is_key(Replica, life)] if life else []
        return [(one, None if now is None else max(0.0, now - one.beat_at)) for one in read_all(db, Replica, *wanted)]

    @writing
    def end_life(
        self,
        db: Session,
        life: str,
        why: str,
        now: float,
        *,
        told: Collection[Event] = (),
        entry: Entry | None = None,
    ) -> None:
        if locked(db, Replica, life) is None:
            raise rules.missing("controller", life)
        alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
        db.execute(update(ReplicaRow).where(alive).values(ended_at=now, why=why))
        tell(db, told)
        if entry is not None:
            append(db, entry)


def _begin(db: Session, replica: Replica) -> None:
    rules.may_begin(next(iter(read_all(db, ControllerKey, is_key(ControllerKey, replica.home))), None))
    here, alive = col(ReplicaRow.home) == replica.home, col(ReplicaRow.ended_at).is_(None)
    # What an earlier one here was about to write is written before, or never. That is waited for while others beat.
    read_all(db, Replica, here, alive, locked=True)
    known = whole(db, Replica, alive | here)
    replica = rules.as_begun(replica, known)
    for earlier in rules.ended_by(replica, known, shared=is_shared(db)):
        values = {"ended_at": earlier.ended_at, "why": earlier.why}
        db.execute(update(ReplicaRow).where(is_key(Replica, earlier.life)).values(**values))
    db.add(rows.to_row(ReplicaRow, replica))
    if is_shared(db):
        db.flush()
        db.execute(update(ReplicaRow).where(is_key(Replica, replica.life)).values(beat_at=SERVER_NOW))


def _beat(db: Session, life: str, now: float) -> float:
    if is_shared(db):
        db.execute(text("SET LOCAL lock_timeout = '2s'"))  # shorter than it waits for an answer: then it knows why
    values = {"beat": col(ReplicaRow.beat) + 1, "beat_at": SERVER_NOW if is_shared(db) else now}
    alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
    at = db.execute(update(ReplicaRow).where(alive).values(**values).returning(col(ReplicaRow.beat_at))).scalar()
    if at is None:
        raise Deposed(life)
    return float(at)


def _check(db: Session, life: str) -> None:
    """Raises Deposed. Beats go on meanwhile, as they change no key; who ends the life waits."""
    alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
    query = select(ReplicaRow.life).where(alive).with_for_update(read=True, key_share=True)
    if db.execute(query).first() is None:
        raise Deposed(life)
