"""Operators for PostgreSQL write URLs for libpq into the Secrets that they make; they are taken as they are."""

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from vidette_core.settings import DatabaseSettings

OURS = "postgresql+asyncpg://app:s%3Acret@db-rw.data:5432/app"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_common_scheme_is_for_our_driver(scheme: str) -> None:
    settings = DatabaseSettings(url=SecretStr(f"{scheme}://app:s%3Acret@db-rw.data:5432/app"))
    assert settings.url.get_secret_value() == OURS


def test_tls_is_asked_for_by_libpqs_name() -> None:
    given = "postgresql://app:x@db:5432/app?application_name=vidette&sslmode=verify-full"
    dialect: Any = PGDialect_asyncpg
    url = make_url(DatabaseSettings(url=SecretStr(given)).url.get_secret_value())
    _, arguments = dialect().create_connect_args(url)
    assert arguments["ssl"] == "verify-full"
    assert "sslmode" not in arguments


def test_a_password_that_looks_like_an_option_stays_one() -> None:
    given = "postgresql+asyncpg://app:sslmode=disable@db:5432/app"
    assert DatabaseSettings(url=SecretStr(given)).url.get_secret_value() == given
