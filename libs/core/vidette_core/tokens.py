"""What a worker may do, as signed tokens (JWT, HS256): the job token can claim, a session token can write one segment.

What they allow ends by itself: a job token with its attempt, a session token with its epoch, both checked in PostgreSQL at every
use. A session token has an end of its own besides, for a segment that nobody else ever claims. The job token has none: it is
deterministic, so that every controller makes the same one, and an attempt has a deadline.
"""

from __future__ import annotations

import time
from uuid import UUID

import jwt

from vidette_core.domain.jobs import Fence
from vidette_core.ports.errors import PortError
from vidette_core.settings import TokenSettings

_ALGORITHM = "HS256"
_CLAIM, _WRITE = "vidette:claim", "vidette:write"


class InvalidToken(PortError):
    """Not a token signed here, or one for something else."""


class Tokens:
    def __init__(self, settings: TokenSettings) -> None:
        self._secret = settings.secret.get_secret_value()
        self._session_life_s = settings.session_life_s

    def job_token(self, job_id: UUID, attempt: int) -> str:
        claims = {"aud": _CLAIM, "sub": str(job_id), "attempt": attempt}
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def session_token(self, fence: Fence) -> str:
        end = int(time.time()) + self._session_life_s
        claims = {"aud": _WRITE, "sub": str(fence.job_id), "segment": fence.segment, "epoch": fence.epoch, "exp": end}
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def read_job_token(self, token: str) -> tuple[UUID, int]:
        """The job and attempt that may claim. Raises `InvalidToken` for anything but a job token signed here."""
        claims = self._decode(token, _CLAIM, "attempt")
        return UUID(claims["sub"]), int(claims["attempt"])

    def read_session_token(self, token: str) -> Fence:
        """The fence that may write. Raises `InvalidToken` for anything but a session token signed here."""
        claims = self._decode(token, _WRITE, "segment", "epoch")
        return Fence(UUID(claims["sub"]), int(claims["segment"]), int(claims["epoch"]))

    def _decode(self, token: str, audience: str, *required: str) -> dict[str, str]:
        options: jwt.types.Options = {"require": ["aud", "sub", *required]}
        try:
            return jwt.decode(token, self._secret, [_ALGORITHM], options=options, audience=audience)
        except jwt.InvalidTokenError as error:
            raise InvalidToken("the token is not valid for this") from error
