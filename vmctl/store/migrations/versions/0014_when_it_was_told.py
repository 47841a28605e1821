"""when a host's watcher told of it"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host_report", sa.Column("told_at", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("host_report", "told_at")
