"""Queries about the audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vmctl.commands import users
from vmctl.door import user_answers as answers
from vmctl.door.parts import ControllerParts
from vmctl.model.audit import Chain, Kept, head

AT_ONCE = 1000  # entries that are read in one go


async def list_audit(parts: ControllerParts, asked: users.ListAudit) -> list[answers.AuditEntry]:
    """Entries, oldest first, as far as they are asked for."""
    store = parts.services.store
    if asked.whole:
        return [_shown(kept) for kept in await store.chain(asked.after, asked.most)]
    before, found = None, list[answers.AuditEntry]()
    while len(found) < asked.most and (some := await store.newest_audited(before, AT_ONCE)):
        page = [_shown(kept) for kept in some]
        found = [*(one for one in page if _wanted(one, asked)), *found]
        before = page[0].id
        if page[0].at < asked.since:
            break
    return found[-asked.most :]


def _wanted(one: answers.AuditEntry, asked: users.ListAudit) -> bool:
    return asked.who in ("", one.who) and one.what.startswith(asked.what) and one.at >= asked.since


def _shown(kept: Kept) -> answers.AuditEntry:
    try:
        entry = kept.entry
    except (ValueError, TypeError) as err:
        why = f"it cannot be read: {err}"
        return answers.AuditEntry(kept.id, kept.hash, 0.0, "", "", "", why, "", "", "", None, {})
    return answers.AuditEntry(
        *(kept.id, kept.hash, entry.at, entry.who, entry.what, entry.subject, entry.outcome),
        *(entry.uuid, entry.where, entry.token, entry.task, entry.detail),
    )


async def verify_audit(parts: ControllerParts, asked: users.VerifyAudit) -> answers.AuditVerified:
    """All of it, from the first entry on."""
    chain, after = Chain(asked.head), 0
    while some := await parts.services.store.chain(after, AT_ONCE):
        chain.read(some)
        after = some[-1].id
    return answers.AuditVerified(not chain.wrong, chain.wrong, chain.number, head(chain.last))


QUERIES: Mapping[type[Any], Callable[[ControllerParts, Any], Awaitable[Any]]] = {
    users.ListAudit: list_audit,
    users.VerifyAudit: verify_audit,
}
