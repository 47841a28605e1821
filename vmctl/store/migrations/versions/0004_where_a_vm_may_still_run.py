"""where a VM may still run, what is promised and wanted, and what safety counts, in the registry"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What a VM's row says of its host is where it may run: that is known until its host says otherwise. The machine behind
# a host's name is its libvirt's host UUID.
SEED = """
UPDATE vm SET may_run_on = json_object(host, coalesce(
    (SELECT json_extract(about, '$.host_uuid') FROM host WHERE host.name = vm.host), ''))
WHERE host != '' AND power != 'stopped'
"""
WANTED = "UPDATE vm SET wanted = CASE WHEN power IN ('running', 'paused', 'migrating') THEN 'running' ELSE '' END"


def _columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "vm": (
            sa.Column("may_run_on", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("wanted", sa.String(), nullable=False, server_default=""),
            sa.Column("autostart", sa.Boolean(), nullable=False, server_default=sa.true()),
            sa.Column("restarts", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("moving_to", sa.String(), nullable=False, server_default=""),
            sa.Column("copying", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("heals", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("sick_since", sa.Float(), nullable=True),
            sa.Column("dirty_mib_s", sa.Float(), nullable=False, server_default="0"),
            sa.Column("transient", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("drift", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("ended", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("read_at", sa.Float(), nullable=False, server_default="0"),
            sa.Column("files", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("stuck", sa.JSON(), nullable=False, server_default="[]"),
            sa.Column("stuck_cold", sa.JSON(), nullable=False, server_default="[]"),
        ),
        "task": (sa.Column("cancel_asked", sa.Boolean(), nullable=False, server_default=sa.false()),),
        "host": (
            sa.Column("boot_id", sa.String(), nullable=False, server_default=""),
            sa.Column("lost_at", sa.Float(), nullable=True),
        ),
        "event": (sa.Column("who", sa.String(), nullable=False, server_default=""),),
    }


def upgrade() -> None:
    for table, columns in _columns().items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in columns:
                batch_op.add_column(column)
    if op.get_bind().dialect.name == "sqlite":  # no other database has rows from before
        op.execute(SEED)
        op.execute(WANTED)


def downgrade() -> None:
    for table, columns in _columns().items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in columns:
                batch_op.drop_column(column.name)
