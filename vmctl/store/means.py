"""The means of loads as they are written: all subjects' at once, each minute, in one transaction that must be short."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from vmctl.model.records import LoadMean
from vmctl.store import rows
from vmctl.store.jsons import as_json
from vmctl.store.statements import batches, is_shared
from vmctl.store.tables import MeanRow

AT_ONCE = 500  # made ready in one go: nobody else has a turn meanwhile
# One value holds many rows: by one statement for each, 20,000 VMs would take longer than a transaction may.
PUT = text(
    "INSERT INTO mean (subject, period_s, at, load)"
    " SELECT * FROM json_to_recordset(:rows) AS given (subject text, period_s int, at float8, load json)"
    " ON CONFLICT (subject, period_s, at) DO UPDATE SET load = excluded.load"
)


def put_means(db: Session, means: Iterable[LoadMean]) -> None:
    """Keep them; one that is there already is replaced."""
    new = {(one.subject, one.period_s, one.at): one.values for one in means}
    values: list[dict[str, Any]] = [
        {"subject": subject, "period_s": period_s, "at": at, "load": load}
        for (subject, period_s, at), load in new.items()
    ]
    put = PUT if is_shared(db) else rows.upsert(db.get_bind(), MeanRow)  # type: ignore[arg-type]
    for some in batches(values, AT_ONCE):
        db.execute(put, {"rows": as_json(some)} if is_shared(db) else some)
