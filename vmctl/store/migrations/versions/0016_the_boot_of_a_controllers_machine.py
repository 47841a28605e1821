"""in which boot of its machine a controller runs: a machine that was copied is another one"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replica", sa.Column("boot_id", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("replica", "boot_id")
