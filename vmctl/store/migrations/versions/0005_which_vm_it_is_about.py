"""which VM an event is about, whatever has its name one day; what one was called when it was placed; large images"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event", sa.Column("uuid", sa.String(), nullable=False, server_default=""))
    op.add_column("decision", sa.Column("name", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("image") as image:
        image.alter_column("size_bytes", existing_type=sa.Integer(), existing_nullable=False, type_=sa.BigInteger())


def downgrade() -> None:
    with op.batch_alter_table("image") as image:
        image.alter_column("size_bytes", existing_type=sa.BigInteger(), existing_nullable=False, type_=sa.Integer())
    op.drop_column("decision", "name")
    op.drop_column("event", "uuid")
