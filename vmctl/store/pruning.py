"""What is older than kept is forgotten, in the SQL registry: one transaction."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.store import access_rules, rules
from vmctl.store.database import Database, writing
from vmctl.store.statements import at_the_end
from vmctl.store.tables import (
    DecisionRow,
    EventRow,
    FailuresRow,
    GivenRow,
    HostRow,
    MachineReaderRow,
    MeanRow,
    ReplicaRow,
    SessionRow,
    TaskRow,
    TokenRow,
)


class SqlPruning:
    """The part of the SQL registry that forgets."""

    database: Database

    @writing
    def prune(self, db: Session, now: float) -> int:
        at_the_end(db)  # what is told meanwhile is of an order: before all of this, or after it
        told = now - rules.TOLD_KEPT_S
        ended = select(ReplicaRow.life).where(col(ReplicaRow.ended_at) < now - rules.TENS_KEPT_S)
        # Once, for all that is theirs: each statement sees what others have committed since the one before.
        forgotten = list(db.execute(ended.order_by(ReplicaRow.life).with_for_update()).scalars())
        old = [
            delete(MeanRow).where(col(MeanRow.period_s) < 600, col(MeanRow.at) < now - rules.MINUTES_KEPT_S),
            delete(MeanRow).where(col(MeanRow.at) < now - rules.TENS_KEPT_S),
            delete(FailuresRow).where(col(FailuresRow.since) < now - access_rules.FAILURES_S),
            delete(TokenRow).where(col(TokenRow.expires_at) < now - rules.TENS_KEPT_S),
            # A log-in on a host that is away is ended when that is back, however late.
            delete(SessionRow).where(
                col(SessionRow.life).in_(forgotten), col(SessionRow.host).not_in(select(HostRow.name))
            ),
            delete(MachineReaderRow).where(col(MachineReaderRow.life).in_(forgotten)),
            delete(ReplicaRow).where(col(ReplicaRow.life).in_(forgotten)),
            delete(GivenRow).where(col(GivenRow.at) < now - rules.GIVEN_KEPT_S),
            delete(EventRow).where(col(EventRow.at) < told),
            delete(DecisionRow).where(col(DecisionRow.made_at) < told),
            delete(TaskRow).where(col(TaskRow.ended_at).is_not(None), col(TaskRow.created_at) < told),
        ]
        gone = 0
        for statement in old:
            gone += (db.execute(statement)).rowcount  # type: ignore[attr-defined]
        return gone
