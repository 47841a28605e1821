"""The schema of the registry's database: where it stands, and bringing it up to date with Alembic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from vmctl.errors import RegistryUnusable

FOLDER = Path(__file__).parent / "migrations"
# The oldest revision whose vmctl can go on with the tables of the newest: migrations since then only add, and what they
# add has a default. So controllers are upgraded one after the other.
COMPATIBLE_FROM = "0013"
USABLE = ("newest", "rolling")  # of the states below
TELL = f"COMMENT ON TABLE alembic_version IS '{COMPATIBLE_FROM}'"  # to vmctls of other versions
SILENT_S = 30.0  # who was not heard for so long does not go on
LIVING = (
    "SELECT name, version, {tables} FROM replica WHERE ended_at IS NULL"
    " AND extract(epoch FROM clock_timestamp()) - beat_at < :silent_s ORDER BY name"
)
# A database of PostgreSQL sorts and compares text by its own language, unless a column says otherwise.
OTHERWISE_SORTED = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND data_type IN ('character varying', 'text')
  AND collation_name IS DISTINCT FROM 'C'
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """Where a database stands."""

    at: str  # empty: it has no tables
    newest: str  # that this vmctl knows
    known: bool  # whether this vmctl knows where it stands
    compatible_from: str = ""  # whose vmctl knows that revision, or a later one, may go on with it; empty: not known

    @property
    def state(self) -> str:
        """In a word: empty, old, newest, newer, or rolling: it is newer, and this vmctl may go on beside the next."""
        if not self.at:
            return "empty"
        if self.at == self.newest or self.known:
            return "newest" if self.at == self.newest else "old"
        return "rolling" if "" < self.compatible_from <= self.newest else "newer"


@cache  # each look reads every migration
def _known() -> tuple[str, frozenset[str]]:
    """The newest revision that this vmctl knows, and all of them."""
    scripts = ScriptDirectory(str(FOLDER))
    return scripts.get_current_head() or "", frozenset(script.revision for script in scripts.walk_revisions())


def newest() -> str:
    """The newest revision that this vmctl knows."""
    return _known()[0]


def revision(connection: Connection) -> Revision:
    """Where it stands. Blocking. Raises the libraries' errors."""
    at = MigrationContext.configure(connection).get_current_revision() or ""
    head, known = _known()
    return Revision(at, head, at in known, _compatible_from(connection) if at else "")


def _compatible_from(connection: Connection) -> str:
    if connection.dialect.name != "postgresql":
        return ""
    return str(connection.execute(text("SELECT obj_description('alembic_version'::regclass)")).scalar() or "")


def _left_behind(connection: Connection, at: str) -> list[str]:
    """The controllers that were heard just now, and could not go on once the tables are as this vmctl needs them."""
    there = inspect(connection)
    columns = {column["name"] for column in there.get_columns("replica")} if there.has_table("replica") else set()
    if not columns or connection.dialect.name != "postgresql":  # a file has one, and nobody else holds its lock
        return []
    tables = "tables" if "tables" in columns else "''"  # an earlier version knows what there is
    found = connection.execute(text(LIVING.format(tables=tables)), {"silent_s": SILENT_S})
    return [f"{name} ({version})" for name, version, knows in found if (knows or at) < COMPATIBLE_FROM]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Create the tables or bring them to a revision, in the connection's transaction: all of it or nothing. Blocking.

    What a newer vmctl has upgraded, and this one may go on with, is left as it is. Raises the libraries' errors, and
    RegistryUnusable while controllers use it that could not go on.
    """
    before = revision(connection)
    if before.state == "rolling":
        return
    if before.state == "old" and (behind := _left_behind(connection, before.at)):
        message = f"controllers of an earlier version could not go on once it is upgraded: {', '.join(behind)}"
        raise RegistryUnusable(message, hint="stop them first; hosts and VMs go on meanwhile")
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(TELL)
        for table, column in connection.execute(text(OTHERWISE_SORTED)).all():
            connection.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE VARCHAR COLLATE "C"')
