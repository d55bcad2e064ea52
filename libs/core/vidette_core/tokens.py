"""What a worker may do, as signed tokens (JWT, HS256): the job token can claim, a session token can write one segment.

What they allow ends with what they are for: a job token with its attempt, a session token with its epoch, both checked in
PostgreSQL at every use. Each has an end of its own besides, some time after the attempt began or the segment was claimed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
        self._life = timedelta(seconds=settings.life_s)

    def job_token(self, job_id: UUID, attempt: int, begun: datetime) -> str:
        """`begun` is when the attempt did, by its row: so every controller makes the same token."""
        end = int((begun + self._life).timestamp())
        claims = {"aud": _CLAIM, "sub": str(job_id), "attempt": attempt, "exp": end}
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def session_token(self, fence: Fence) -> str:
        end = int((datetime.now(UTC) + self._life).timestamp())
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
        options: jwt.types.Options = {"require": ["aud", "sub", "exp", *required]}
        try:
            return jwt.decode(token, self._secret, [_ALGORITHM], options=options, audience=audience)
        except jwt.InvalidTokenError as error:
            raise InvalidToken("the token is not valid for this") from error
