"""who leads, where controllers reach each other, and their sessions on hosts"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("address", "certificate"):
        op.add_column("replica", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.create_table(
        "lead",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("name", "life")),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lead"),
    )
    op.create_table(
        "session",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("host", "boot_id")),
        *(sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False) for name in ("pid", "ticks")),
        sa.Column("life", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("host", "boot_id", "pid", "ticks", name="pk_session"),
    )
    op.create_index("ix_session_life", "session", ["life"])


def downgrade() -> None:
    op.drop_table("session")
    op.drop_table("lead")
    for name in ("certificate", "address"):
        op.drop_column("replica", name)
