"""Videos whose index cannot say which frame is which: their frames are counted as the decoder hands them out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("in_decoder_order", sa.Boolean, nullable=False, server_default=sa.text("false"))
    op.add_column("segments", column)


def downgrade() -> None:
    op.drop_column("segments", "in_decoder_order")
