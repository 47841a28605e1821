"""tasks of one kind are found without the others: jobs; and users have log-ins on hosts"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_task_kind", "task", ["kind", "id"])
    op.add_column("account", sa.Column("logins", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("account", "logins")
    op.drop_index("ix_task_kind", "task")
