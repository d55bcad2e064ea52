"""The secrets of one state folder: made once at the first start, kept in a file that only its owner can read."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vidette_local.home import HomeUnusable, write_private


class Credentials(BaseModel):
    """All generated with `secrets`, URL-safe, and never put on a command line."""

    model_config = ConfigDict(frozen=True)

    postgres_password: str = Field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    s3_access_key: str = Field(repr=False, default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = Field(repr=False, default_factory=lambda: secrets.token_hex(20))
    nats_token: str = Field(repr=False, default_factory=lambda: secrets.token_hex(24))
    token_secret: str = Field(repr=False, min_length=32, default_factory=lambda: secrets.token_urlsafe(48))
    triton_control_secret: str = Field(repr=False, default_factory=lambda: secrets.token_hex(24))


def load_or_make(path: Path) -> Credentials:
    """Read the file, or make it. Raises `HomeUnusable` when it exists and cannot be understood: data depends on it."""
    if not path.exists():
        write_private(path, Credentials().model_dump_json(indent=2))
    try:
        found = Credentials.model_validate_json(path.read_text())
        if found.model_fields_set != Credentials.model_fields.keys():
            raise ValueError("a secret is missing")  # a default would be another one at every start
        return found
    except (OSError, ValueError) as error:
        raise HomeUnusable(
            f"{path} cannot be read as the stack's secrets, and the data in this folder cannot be opened without them. "
            "Restore the file, or move the folder away to start anew."
        ) from error
