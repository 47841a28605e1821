"""how far a sick VM may be treated"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("vm", schema=None) as batch_op:
        batch_op.add_column(sa.Column("heal", sa.String(), nullable=False, server_default="off"))


def downgrade() -> None:
    with op.batch_alter_table("vm", schema=None) as batch_op:
        batch_op.drop_column("heal")
