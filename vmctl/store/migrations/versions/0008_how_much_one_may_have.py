"""how much a user or a project may have; commands that were given with a key"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image", sa.Column("taken_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("vm", sa.Column("disk_bytes", sa.BigInteger(), nullable=True))
    op.create_table(
        "limit_of_use",
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("vms", sa.Integer(), nullable=True),
        sa.Column("vcpus", sa.Integer(), nullable=True),
        sa.Column("mem_mib", sa.BigInteger(), nullable=True),
        sa.Column("disk_bytes", sa.BigInteger(), nullable=True),
        sa.Column("commands", sa.Integer(), nullable=True),
        sa.Column("requests_per_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("of", name="pk_limit_of_use"),
    )
    op.create_table(
        "given",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_given"),
    )
    op.create_index("ix_given_at", "given", ["at"])


def downgrade() -> None:
    op.drop_table("given")
    op.drop_table("limit_of_use")
    op.drop_column("vm", "disk_bytes")
    op.drop_column("image", "taken_bytes")
