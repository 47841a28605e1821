"""who there is, who may do what, and what belongs to which project"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = {  # table -> columns that rows from before it have, too, and what they say there
    "image": {"project": "default"},
    "vm": {"project": "default", "owner": ""},
    "task": {"project": "", "vm": ""},
    "event": {"project": ""},
}


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def upgrade() -> None:
    for table, columns in TEXT.items():
        for name, default in columns.items():
            op.add_column(table, sa.Column(name, sa.String(), nullable=False, server_default=default))
    for table, more in (
        ("account", [_text("password"), sa.Column("disabled", sa.Boolean(), nullable=False)]),
        ("account_group", [sa.Column("members", sa.JSON(), nullable=False)]),
        ("project", [_text("about")]),
        ("role", [sa.Column("permissions", sa.JSON(), nullable=False)]),
    ):
        op.create_table(
            table,
            _text("name"),
            *more,
            sa.Column("created_at", sa.Float(), nullable=False),
            sa.PrimaryKeyConstraint("name", name=f"pk_{table}"),
        )
    op.create_table(
        "grant_of_role",
        sa.Column("id", sa.Integer(), nullable=False),
        *(_text(name) for name in ("who", "role", "scope")),
        sa.Column("at", sa.Float(), nullable=False),
        _text("by"),
        sa.PrimaryKeyConstraint("id", name="pk_grant_of_role"),
        sa.UniqueConstraint("who", "role", "scope", name="uq_grant_of_role_who_role_scope"),
    )
    op.create_table(
        "token",
        *(_text(name) for name in ("id", "owner", "hash")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("created_at", "expires_at")),
        *(_text(name) for name in ("about", "role", "scope")),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
    )


def downgrade() -> None:
    for table in ("token", "grant_of_role", "role", "project", "account_group", "account"):
        op.drop_table(table)
    for table, columns in TEXT.items():
        for name in columns:
            op.drop_column(table, name)
