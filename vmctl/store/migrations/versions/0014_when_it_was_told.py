"""when a host's watcher told of it, and the digest of what it told"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host_report", sa.Column("told_at", sa.Float(), nullable=False, server_default="0"))
    op.add_column("host_report", sa.Column("told_number", sa.BigInteger(), nullable=False, server_default="-1"))
    op.add_column("host_report", sa.Column("digest", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    for name in ("digest", "told_number", "told_at"):
        op.drop_column("host_report", name)
