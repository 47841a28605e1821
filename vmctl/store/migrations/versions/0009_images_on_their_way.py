"""images that are being uploaded"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "upload",
        *(_text(name) for name in ("id", "name", "storage")),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        *(_json(name) for name in ("sizes", "hashes", "done", "pending")),
        _text("state"),
        _json("made"),
        _text("maker"),
        sa.Column("unsure", sa.Boolean(), nullable=False),
        *(_text(name) for name in ("kind", "cmdline", "project", "who")),
        sa.ForeignKeyConstraint(["storage"], ["storage.name"], name="fk_upload_storage_storage"),
        sa.PrimaryKeyConstraint("id", name="pk_upload"),
    )


def downgrade() -> None:
    op.drop_table("upload")
