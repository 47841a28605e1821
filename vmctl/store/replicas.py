"""Controllers' lives in the SQL registry. What each method promises is in its port.

Whoever's life was ended writes nothing more, whatever it still has under way: each of its transactions looks first, and
holds its row until it has committed. Who ends a life waits for those that looked before.
"""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model.replicas import Replica
from vmctl.services.claims import Deposed
from vmctl.store import rows, rules
from vmctl.store.database import Database, writing
from vmctl.store.statements import is_key, locked, whole
from vmctl.store.tables import ReplicaRow


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

    @writing
    def beat(self, db: Session, life: str, now: float) -> None:
        values = {"beat": col(ReplicaRow.beat) + 1, "beat_at": now}
        alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
        if db.execute(update(ReplicaRow).where(alive).values(**values)).rowcount != 1:  # type: ignore[attr-defined]
            raise Deposed(life)

    @writing
    def end_life(self, db: Session, life: str, why: str, now: float) -> None:
        if locked(db, Replica, life) is None:
            raise rules.missing("controller", life)
        alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
        db.execute(update(ReplicaRow).where(alive).values(ended_at=now, why=why))


def _begin(db: Session, replica: Replica) -> None:
    for earlier in rules.ended_by(replica, whole(db, Replica)):
        values = {"ended_at": earlier.ended_at, "why": earlier.why}
        db.execute(update(ReplicaRow).where(is_key(Replica, earlier.life)).values(**values))
    db.add(rows.to_row(ReplicaRow, replica))


def _check(db: Session, life: str) -> None:
    """Raises Deposed. Beats go on meanwhile, as they change no key; who ends the life waits."""
    alive = is_key(Replica, life) & col(ReplicaRow.ended_at).is_(None)
    query = select(ReplicaRow.life).where(alive).with_for_update(read=True, key_share=True)
    if db.execute(query).first() is None:
        raise Deposed(life)
