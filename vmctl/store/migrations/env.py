"""Alembic's entry: runs the migrations in the transaction that `store.schema.upgrade` was given."""

from alembic import context

from vmctl.store.tables import Base

# SQLite can take back changes of tables; Alembic believes that it cannot.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
