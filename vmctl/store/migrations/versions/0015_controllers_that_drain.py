"""what controllers are there for, which of them drain, and which tables their versions know"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
COLUMNS = (
    ("roles", sa.String(), "naming,proxy"),
    ("draining", sa.Boolean(), sa.false()),
    ("tables", sa.String(), ""),
)


def upgrade() -> None:
    for name, kind, default in COLUMNS:
        op.add_column("replica", sa.Column(name, kind, nullable=False, server_default=default))


def downgrade() -> None:
    for name, _, _ in COLUMNS:
        op.drop_column("replica", name)
