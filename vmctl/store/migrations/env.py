"""Alembic's entry: runs the migrations on the database that `store.database.upgrade` names."""

from alembic import context
from sqlalchemy import create_engine

from vmctl.store.tables import Base

url = context.config.get_main_option("sqlalchemy.url")
assert url
engine = create_engine(url)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
