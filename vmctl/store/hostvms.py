"""The VMs that a host has to do with, in the SQL registry: a pool's VMs are many, and each host is looked at often."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Text, cast, or_
from sqlalchemy.orm import Session
from sqlmodel import col

from vmctl.model.records import TWO_COPIES, HostRecord, VMRecord
from vmctl.store import rules
from vmctl.store.database import Database, reading
from vmctl.store.jsons import as_json
from vmctl.store.statements import AT_ONCE, batches, read_all
from vmctl.store.tables import VMRow


class SqlHostVMs:
    """The part of the SQL registry that finds them. What each method promises is in `vmctl.ports.store`."""

    database: Database

    @reading
    def vms_about(self, db: Session, host: HostRecord, shown: Collection[str]) -> list[VMRecord]:
        # Texts that name it may name it as part of another: what is found is looked at again.
        names = [name for name in (host.name, host.machine) if name]
        texts = (cast(column, Text) for column in (col(VMRow.may_run_on), col(VMRow.ended)))
        named = [one.contains(as_json(name), autoescape=True) for one in texts for name in names]
        its = (col(VMRow.host) == host.name, col(VMRow.moving_to) == host.name)
        found = read_all(db, VMRecord, or_(*its, *named, col(VMRow.why).startswith(TWO_COPIES)))
        known = {vm.uuid: vm for vm in found if rules.is_about(vm, host)}
        for some in batches(sorted(set(shown) - known.keys()), AT_ONCE):
            known |= {vm.uuid: vm for vm in read_all(db, VMRecord, col(VMRow.uuid).in_(some))}
        return [known[uuid] for uuid in sorted(known)]
