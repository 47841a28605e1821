"""controllers that are invited, and the keys of those that have joined"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invitation",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("hash", "made_by")),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_invitation"),
    )
    op.create_table(
        "controller_key",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("home", "name", "key")),
        sa.Column("joined_at", sa.Float(), nullable=False),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("home", name="pk_controller_key"),
    )


def downgrade() -> None:
    for name in ("controller_key", "invitation"):
        op.drop_table(name)
