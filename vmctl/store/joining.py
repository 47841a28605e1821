"""Controllers that join, in the SQL registry. What each method promises is in its port."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import delete
from sqlalchemy.orm import Session

from vmctl.model.audit import Entry
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.store import rows, rules
from vmctl.store.audit import append
from vmctl.store.database import Database, writing
from vmctl.store.joining_tables import ControllerKeyRow, InvitationRow
from vmctl.store.statements import clock, is_key, locked


class SqlJoining:
    """The part of the SQL registry that lets controllers join."""

    database: Database

    @writing
    def invite(self, db: Session, invitation: Invitation, entry: Entry) -> None:
        # Whoever joins has another clock.
        until = invitation.until + clock(db, entry.at) - entry.at
        db.add(rows.to_row(InvitationRow, replace(invitation, until=until)))
        append(db, entry)

    @writing
    def join(self, db: Session, hash: str, key: ControllerKey, now: float, entry: Entry) -> bool:
        invitation = locked(db, Invitation, hash)
        joined = locked(db, ControllerKey, key.home)
        if not rules.may_join(invitation, joined, key, clock(db, now)):
            return False
        db.execute(delete(InvitationRow).where(is_key(Invitation, hash)))
        db.execute(rows.upsert(self.database.engine, ControllerKeyRow), rows.named(rows.to_row(ControllerKeyRow, key)))
        append(db, entry)
        return True
