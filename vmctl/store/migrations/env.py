"""Alembic's entry: runs the migrations on the database that `store.database.upgrade` names, all or none of them."""

from typing import Any

from alembic import context
from sqlalchemy import create_engine, event

from vmctl.store.tables import Base

url = context.config.get_main_option("sqlalchemy.url")
assert url
engine = create_engine(url)


@event.listens_for(engine, "connect")
def _by_hand(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # else the driver commits before each change of a table


@event.listens_for(engine, "begin")
def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    # SQLite can take back changes of tables; Alembic believes that it cannot.
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
