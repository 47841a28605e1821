"""controllers, each with its lives"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replica",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("life", "name", "home", "version")),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("life", name="pk_replica"),
    )


def downgrade() -> None:
    op.drop_table("replica")
