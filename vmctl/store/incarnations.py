"""The ledger as it is stored: lives, who listened where, and counts of what was short-lived.

Written in batches, each a transaction of its own, so that no task waits long for the ledger. Writing a life again
changes what may change: the start, the first sighting, and an address and port once known stay as they were written
first; peaks only grow. So a batch may be written twice, and a life that was given up and is seen again goes on.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, case, delete, exists, func, literal_column, tuple_
from sqlalchemy.orm import Session
from sqlmodel import col, select

from vmctl.ledger import Changes, Life, Listening, Run, ShortLived
from vmctl.model.identity import Gpid, parse_gpid, same_name
from vmctl.model.policy import LedgerPolicy
from vmctl.store.database import Database, reading, writing
from vmctl.store.rows import insert_into
from vmctl.store.statements import batches
from vmctl.store.tables import IncarnationRow, ListeningRow, MachineReaderRow, MachineRunRow, ProgramSummaryRow

Insert = Callable[..., Any]
AT_ONCE = 2000  # rows per transaction
RUNS_AT_ONCE = 20
MOST_LIVES = 1000  # previous ones, or those that a short prefix of a UUID fits
DAY_S = 86400.0
OWN = Life._fields[3:]  # beyond what the machine's run says
# The tables' own columns: with those of the classes every row would take a detour through the object mapper.
LIFE: tuple[Any, ...] = (
    *(MachineRunRow.__table__.c[name] for name in Run._fields),  # type: ignore[attr-defined]
    *(IncarnationRow.__table__.c[name] for name in OWN),  # type: ignore[attr-defined]
)


def _least(one: Any, other: Any) -> Any:
    """The smaller one: MIN of two values is LEAST elsewhere."""
    return case((one < other, one), else_=other)


def _greatest(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


def _upsert_life(insert: Insert) -> Any:
    """Insert, or go on with what is there."""
    made = insert(IncarnationRow)
    new, old = made.excluded, IncarnationRow
    kept = {"uuid", "run_id", "pid", "start_ticks", "started_us"}
    values: dict[str, Any] = {name: new[name] for name in OWN if name not in kept}
    values |= {
        "ip": case((col(old.ip) == literal_column("''"), new.ip), else_=col(old.ip)),
        "port": case((col(old.port) == literal_column("0"), new.port), else_=col(old.port)),
        "first_seen": _least(old.first_seen, new.first_seen),
        "cpu_peak": _greatest(old.cpu_peak, new.cpu_peak),
        "rss_peak_kib": _greatest(old.rss_peak_kib, new.rss_peak_kib),
    }
    return made.on_conflict_do_update(index_elements=["uuid"], set_=values)


def _upsert_run(insert: Insert) -> Any:
    made = insert(MachineRunRow)
    newest = _greatest(MachineRunRow.seen_at, made.excluded.seen_at)
    return made.on_conflict_do_update(index_elements=["machine", "run", "boot_id"], set_={"seen_at": newest})


def _upsert_listening(insert: Insert) -> Any:
    made = insert(ListeningRow)
    return made.on_conflict_do_update(
        index_elements=["ip", "port", "since", "uuid"], set_={"until": made.excluded.until}
    )


def _add_short_lived(insert: Insert) -> Any:
    made = insert(ProgramSummaryRow)
    return made.on_conflict_do_update(
        index_elements=["machine", "program", "day"],
        set_={
            "runs": ProgramSummaryRow.runs + made.excluded.runs,
            "cpu_s": ProgramSummaryRow.cpu_s + made.excluded.cpu_s,
        },
    )


class _Many:
    """One statement for many plain rows, compiled when it is first used.

    SQLAlchemy's own way from row to row takes five times as long.
    """

    def __init__(self, engine: Engine, statement: Any, *columns: str) -> None:
        self._engine, self._statement, self._columns = engine, statement, columns

    @functools.cached_property
    def _text(self) -> str:
        # Places are numbered by where they stand, and not named.
        style = "format" if self._engine.dialect.paramstyle == "pyformat" else self._engine.dialect.paramstyle
        dialect: Any = type(self._engine.dialect)
        by_place = dialect(paramstyle=style)
        compiled = self._statement.compile(dialect=by_place, column_keys=list(self._columns))
        assert tuple(compiled.positiontup or ()) == self._columns, "rows are in the order of the table's columns"
        return str(compiled)

    def run(self, db: Session, rows: list[tuple[Any, ...]]) -> None:
        """Do it for every row."""
        if rows:
            db.connection().exec_driver_sql(self._text, rows)


class LedgerStore:
    """The part of the registry's database that remembers processes."""

    def __init__(self, kept: Database) -> None:
        self.database = kept
        engine, insert = kept.engine, insert_into(kept.engine)
        self._put_runs = _Many(engine, _upsert_run(insert), *Run._fields, "seen_at")
        self._put_lives = _Many(engine, _upsert_life(insert), "uuid", "run_id", *OWN)
        self._put_listening = _Many(engine, _upsert_listening(insert), "ip", "port", "since", "uuid", "until")
        self._add_short_lived = _Many(engine, _add_short_lived(insert), *ShortLived._fields)

    # -- writing

    async def write(self, changes: Changes) -> None:
        """Keep changes. What must not be done twice, counting, is done last."""
        await self._write_runs(changes.seen_at)
        for batch in batches(changes.lives.values(), AT_ONCE):
            await self._write_lives(batch)
        for listens in batches(changes.listening.values(), AT_ONCE):
            await self._write_listening(listens)
        if changes.short_lived:
            await self._count(changes.short_lived)

    @writing
    def _write_runs(self, db: Session, seen_at: Mapping[Run, float]) -> None:
        self._put_runs.run(db, [(*run, at) for run, at in seen_at.items()])

    @writing
    def _write_lives(self, db: Session, lives: list[Life]) -> None:
        runs = self._runs_of(db, lives)
        self._put_lives.run(db, [(life.uuid.bytes, runs[life.of], *life[3:]) for life in lives])

    @writing
    def _write_listening(self, db: Session, listens: list[Listening]) -> None:
        self._put_listening.run(db, [(one.ip, one.port, one.since, one.uuid.bytes, one.until) for one in listens])

    @writing
    def _count(self, db: Session, short_lived: Iterable[ShortLived]) -> None:
        self._add_short_lived.run(db, [tuple(one) for one in short_lived])

    def _runs_of(self, db: Session, lives: list[Life]) -> dict[Run, int]:
        """The numbers of their runs, which nobody forgets before this is written.

        One that was forgotten since it was written, as it was old, is written again.
        """
        seen_at = {life.of: life.last_seen for life in lives}
        known = _run_numbers(db, seen_at)
        if gone := seen_at.keys() - known.keys():
            self._put_runs.run(db, [(*run, seen_at[run]) for run in gone])
            known |= _run_numbers(db, gone)
        return known

    async def prune(self, now: float, policy: LedgerPolicy) -> int:
        """Forget what ended too long ago, and the oldest of machines that have too many; returns how many lives."""
        old = now - policy.days * DAY_S
        gone = await self._forget(col(IncarnationRow.ended_at) < old)
        for machine, count in await self._too_many(policy.rows_per_machine):
            gone += await self._forget(_ended_of(machine), count - policy.rows_per_machine)
        await self._forget_beside(old, now)
        return gone

    @writing
    def _forget_beside(self, db: Session, old: float, now: float) -> None:
        """Forget ports that are closed, counts, and runs of machines that have no life left."""
        db.execute(delete(ListeningRow).where(col(ListeningRow.until) < old))
        db.execute(delete(ProgramSummaryRow).where(col(ProgramSummaryRow.day) < old // DAY_S))
        unused = (col(MachineRunRow.seen_at) < now - DAY_S) & ~exists().where(_of_run())
        # Held first: no life of it is written any more. Then looked at again: one may just have been.
        held = db.execute(select(MachineRunRow.id).where(unused).order_by(col(MachineRunRow.id)).with_for_update())
        for some in batches(list(held.scalars()), 500):
            db.execute(delete(MachineRunRow).where(col(MachineRunRow.id).in_(some), ~exists().where(_of_run())))

    @reading
    def _too_many(self, db: Session, most: int) -> Sequence[Any]:
        counted = func.count().label("count")
        query: Any = select(MachineRunRow.machine, counted).join(IncarnationRow, _of_run())
        query = query.where(col(IncarnationRow.ended_at).is_not(None)).group_by(MachineRunRow.machine)
        return (db.execute(query.having(counted > most))).all()

    async def _forget(self, which: ColumnElement[bool], most: int | None = None) -> int:
        """Delete ended lives and where they listened, the oldest first, a batch at a time."""
        gone = 0
        while most is None or gone < most:
            limit = AT_ONCE if most is None else min(AT_ONCE, most - gone)
            found = await self._forget_some(which, limit)
            gone += found
            if found < limit:
                break
        return gone

    @writing
    def _forget_some(self, db: Session, which: ColumnElement[bool], limit: int) -> int:
        query: Any = select(IncarnationRow.id, IncarnationRow.uuid).where(which)
        found = db.execute(query.order_by(IncarnationRow.ended_at).limit(limit).with_for_update()).all()
        for some in batches(found, 500):
            db.execute(delete(ListeningRow).where(col(ListeningRow.uuid).in_([row[1] for row in some])))
            db.execute(delete(IncarnationRow).where(col(IncarnationRow.id).in_([row[0] for row in some])))
        return len(found)

    # -- reading

    @reading
    def runs(self, db: Session, machines: Collection[str] | None = None) -> dict[Run, float]:
        query: Any = select(*(getattr(MachineRunRow, name) for name in (*Run._fields, "seen_at")))
        return {
            Run(*row[:3]): row[3] for one in _of_some(query, MachineRunRow.machine, machines) for row in db.execute(one)
        }

    async def valid(self, machines: Collection[str] | None = None) -> AsyncIterator[tuple[Run, list[Life]]]:
        """A few boots at a time, for there may be very many."""
        for some in batches(await self._run_ids(machines), RUNS_AT_ONCE):
            which = col(IncarnationRow.run_id).in_(some) & col(IncarnationRow.ended_at).is_(None)
            found: dict[Run, list[Life]] = {}
            for life in await self._lives(_lives().where(which)):
                found.setdefault(life.of, []).append(life)
            for run, lives in found.items():
                yield run, lives

    @reading
    def _run_ids(self, db: Session, machines: Collection[str] | None) -> list[int]:
        query: Any = select(MachineRunRow.id)
        return sorted(
            row for one in _of_some(query, MachineRunRow.machine, machines) for row in db.execute(one).scalars()
        )

    @reading
    def open_ports(
        self, db: Session, lives: Collection[uuid.UUID] | None = None
    ) -> dict[uuid.UUID, tuple[Listening, ...]]:
        query: Any = select(ListeningRow).where(col(ListeningRow.until).is_(None))
        found: dict[uuid.UUID, tuple[Listening, ...]] = {}
        for some in _of_some(query, ListeningRow.uuid, None if lives is None else [life.bytes for life in lives]):
            for row in db.execute(some).scalars():
                one = Listening(uuid.UUID(bytes=row.uuid), row.ip, row.port, row.since, None)
                found[one.uuid] = (*found.get(one.uuid, ()), one)
        return found

    async def processes(
        self,
        machine: str | None = None,
        program: str | None = None,
        *,
        valid: bool | None = None,
        most: int = 1000,
        but: str = "",
    ) -> list[Life]:
        query = _lives()
        if but:
            kept: Any = select(MachineReaderRow.machine).where(col(MachineReaderRow.life) == but)
            query = query.where(col(MachineRunRow.machine).not_in(kept))
        if machine is not None:
            runs: Any = select(MachineRunRow.id).where(col(MachineRunRow.machine) == machine)
            query = query.where(col(IncarnationRow.run_id).in_(runs))
        if program is not None:
            query = query.where(col(IncarnationRow.program) == program)
        if valid is not None:
            ended = col(IncarnationRow.ended_at)
            query = query.where(ended.is_(None) if valid else ended.is_not(None))
        order = (col(IncarnationRow.ended_at).desc().nulls_first(), col(IncarnationRow.id).desc())
        return await self._lives(query.order_by(*order).limit(most))

    async def find(self, name: str) -> list[Life]:
        """The lives of that gpid, UUID or beginning of a UUID, valid and newest first. Raises ValueError."""
        if ":" in name:
            asked = parse_gpid(name)
            return [life for life in await self._called(asked) if same_name(asked, life.gpid)]
        low, high = uuid_range(name)
        between = (col(IncarnationRow.uuid) >= low) & (col(IncarnationRow.uuid) <= high)
        return await self._newest(_lives().where(between).limit(MOST_LIVES))

    async def _called(self, asked: Gpid) -> list[Life]:
        same = (col(IncarnationRow.started_us) == asked.started_us) & (col(IncarnationRow.pid) == asked.pid)
        return await self._newest(_lives().where(same).limit(MOST_LIVES))

    async def previous_lives(self, life: Life, most: int = 20) -> list[Life]:
        """Earlier runs of the program on the same machine, by the same port or command where known, newest first."""
        runs: Any = select(MachineRunRow.id).where(col(MachineRunRow.machine) == life.machine)
        query = _lives().where(
            col(IncarnationRow.run_id).in_(runs),
            col(IncarnationRow.program) == life.program,
            col(IncarnationRow.uuid) != life.uuid.bytes,
            col(IncarnationRow.first_seen) <= life.first_seen,
        )
        alike = [col(IncarnationRow.command) == life.command] if life.command else []
        alike += [col(IncarnationRow.port) == life.port] if life.port else []
        if alike:
            query = query.where(alike[0] | alike[-1])
        order = (col(IncarnationRow.first_seen).desc(), col(IncarnationRow.id).desc())
        return await self._lives(query.order_by(*order).limit(most))

    async def listening(self, ip: str, port: int, at: float, most: int = 100) -> list[Life]:
        """Who listened on that port of that address then, in the order they began."""
        query = _lives().join(ListeningRow, col(ListeningRow.uuid) == col(IncarnationRow.uuid))
        until = col(ListeningRow.until)
        query = query.where(
            col(ListeningRow.ip) == ip, col(ListeningRow.port) == port, col(ListeningRow.since) <= at,
            until.is_(None) | (until >= at),
        )  # fmt: skip
        return await self._lives(query.order_by(col(ListeningRow.since)).limit(most))

    @reading
    def short_lived(self, db: Session, machine: str | None, since_day: int, most: int = 200) -> list[ShortLived]:
        """What was too short-lived for a row, since a day, the most CPU first."""
        query: Any = select(*(getattr(ProgramSummaryRow, name) for name in ShortLived._fields))
        query = query.where(col(ProgramSummaryRow.day) >= since_day)
        if machine is not None:
            query = query.where(col(ProgramSummaryRow.machine) == machine)
        rows = db.execute(query.order_by(col(ProgramSummaryRow.cpu_s).desc()).limit(most))
        return [ShortLived(*row) for row in rows]

    async def _newest(self, query: Any) -> list[Life]:
        return sorted(await self._lives(query), key=lambda life: (life.ended_at is not None, -life.first_seen))

    @reading
    def _lives(self, db: Session, query: Any) -> list[Life]:
        return [Life(*row) for row in db.execute(query)]


def uuid_range(text: str) -> tuple[bytes, bytes]:
    """The first and the last UUID that begin like that. Raises ValueError for less than 4 digits, or none."""
    digits = text.replace("-", "").lower()
    if not 4 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"{text!r} is neither a gpid (ip:port:start_time:pid) nor a UUID or the first 4 digits of one")
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def _of_some(query: Any, column: Any, values: Collection[Any] | None) -> Iterator[Any]:
    """The query for rows of which a column has one of these values, however many; None: any."""
    if values is None:
        yield query
        return
    for some in batches(values, 500):
        yield query.where(col(column).in_(some))


def _lives() -> Any:
    return select(*LIFE).join(MachineRunRow, _of_run())


def _of_run() -> ColumnElement[bool]:
    return col(IncarnationRow.run_id) == col(MachineRunRow.id)


def _ended_of(machine: str) -> ColumnElement[bool]:
    runs: Any = select(MachineRunRow.id).where(col(MachineRunRow.machine) == machine)
    return col(IncarnationRow.run_id).in_(runs) & col(IncarnationRow.ended_at).is_not(None)


def _run_numbers(db: Session, runs: Iterable[Run]) -> dict[Run, int]:
    three = tuple_(col(MachineRunRow.machine), col(MachineRunRow.run), col(MachineRunRow.boot_id))
    query: Any = select(*(getattr(MachineRunRow, name) for name in (*Run._fields, "id")))
    found: dict[Run, int] = {}
    for some in batches(runs, 300):
        held = query.where(three.in_(some)).order_by(MachineRunRow.id).with_for_update(read=True, key_share=True)
        found |= {Run(*row[:3]): row[3] for row in db.execute(held)}
    return found
