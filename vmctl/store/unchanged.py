"""VMs that were read before, and that nobody has changed since, are not read again: a pool may have 20,000 of them.

PostgreSQL says of each row which transaction wrote it (`xmin`), and what a transaction wrote in a row stays as it is:
who changes the row writes another one. To ask for that costs a hundredth of what it costs to read the rows. What a
column holds must not be changed by its definition alone (dropped, and added again with another default): that writes
no row. Migrations that controllers may go on beside only add columns.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, String, literal_column
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.model.records import VMRecord
from vmctl.store import rows
from vmctl.store.statements import AT_ONCE, batches
from vmctl.store.tables import VMRow

WRITER = literal_column("vm.xmin::text", String)
Pairs = dict[str, tuple[str, VMRecord]]  # by UUID: the transaction that wrote the row, and what it says


class Unchanged:
    """What was read of one run of one server. Any other may give the same numbers to other transactions.

    Several threads may use it at once: each pair is true, whoever keeps it. At worst it is an old one, and the row is
    read once more.
    """

    def __init__(self) -> None:
        self._kept: tuple[str, Pairs] = "", {}  # the run that it is of; one value, as others read it meanwhile

    def vms(self, db: Session, run: str, *where: ColumnElement[bool]) -> list[VMRecord]:
        """The VMs for which that is true, by UUID. `db` must see one moment, and change nothing."""
        written = db.execute(select(col(VMRow.uuid), WRITER).where(*where).order_by(col(VMRow.uuid))).all()
        kept = self._of(run)
        # Looked up once: another thread may put an older pair there at any moment.
        found = {uuid: pair for uuid, writer in written if (pair := kept.get(uuid)) is not None and pair[0] == writer}
        new = {uuid: writer for uuid, writer in written if uuid not in found}
        for some in batches(new, AT_ONCE):
            for row in db.execute(select(VMRow).where(col(VMRow.uuid).in_(some))).scalars():
                found[row.uuid] = new[row.uuid], rows.to_record(VMRecord, row)
        if where:
            kept.update(found)
        else:
            self._kept = run, found  # those that are not there any more are forgotten
        return [found[uuid][1] for uuid, _ in written]

    def _of(self, run: str) -> Pairs:
        of, kept = self._kept
        if of != run:
            kept = {}
            self._kept = run, kept
        return kept
