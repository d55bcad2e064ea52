"""What the client takes from the environment: the only module of the package that reads it."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Variables begin with VIDETTE_; an empty one counts as absent."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", env_ignore_empty=True, frozen=True)

    url: str = Field(
        default="http://127.0.0.1:8000", description="VIDETTE_URL: the service; the default is `make up`'s."
    )
    debug: bool = Field(default=False, description="VIDETTE_DEBUG: show where an error that nobody foresaw came from.")

    @field_validator("debug", mode="before")
    @classmethod
    def _is_on(cls, value: object) -> bool:
        """Never refuses: this is read while another error is being told."""
        return str(value).strip().lower() not in {"0", "false", "no", "off"}
