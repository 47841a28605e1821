"""who watches which host, what is told of it, and who keeps the ledger of a machine"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "host_watch",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("host", "life")),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_host_watch"),
    )
    op.create_index("ix_host_watch_life", "host_watch", ["life"])
    op.create_table(
        "host_report",
        sa.Column("host", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("epoch", "number")),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_host_report"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE host_report SET UNLOGGED")
    op.create_table(
        "machine_reader",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("machine", "life")),
        sa.PrimaryKeyConstraint("machine", name="pk_machine_reader"),
    )
    op.create_index("ix_machine_reader_life", "machine_reader", ["life"])


def downgrade() -> None:
    for name in ("machine_reader", "host_report", "host_watch"):
        op.drop_table(name)
