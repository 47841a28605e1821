"""The schema of the registry's database: where it stands, and bringing it up to date with Alembic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

FOLDER = Path(__file__).parent / "migrations"
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

    @property
    def state(self) -> str:
        """In a word: empty, old, newest or newer."""
        if not self.at:
            return "empty"
        return "newest" if self.at == self.newest else "old" if self.known else "newer"


def revision(connection: Connection) -> Revision:
    """Where it stands. Blocking. Raises the libraries' errors."""
    at = MigrationContext.configure(connection).get_current_revision() or ""
    scripts = ScriptDirectory(str(FOLDER))
    return Revision(
        at, scripts.get_current_head() or "", at in {script.revision for script in scripts.walk_revisions()}
    )


def upgrade(connection: Connection, to: str = "head") -> None:
    """Create the tables or bring them to a revision, in the connection's transaction: all of it or nothing. Blocking.

    Raises the libraries' errors.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    if connection.dialect.name == "postgresql":
        for table, column in connection.execute(text(OTHERWISE_SORTED)).all():
            connection.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE VARCHAR COLLATE "C"')
