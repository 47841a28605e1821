"""which VM an event is about, whatever has its name one day; what a VM was called when something was decided"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event", sa.Column("uuid", sa.String(), nullable=False, server_default=""))
    op.add_column("decision", sa.Column("name", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("decision", "name")
    op.drop_column("event", "uuid")
