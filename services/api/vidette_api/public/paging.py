"""Pages of results: which samples a request wants, the cursor that names where a page ended, and the `Link` to the next."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from vidette_api.public.parameters import given_once, whole_number
from vidette_core.domain.errors import DomainError, ErrorCode, Problem

MOST = 2**53
"""The largest `limit`: what every JSON reader takes for a whole number."""
_PARAMETERS = ("limit", "cursor")
_SAMPLE_BYTES = 8
_CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Page:
    """Samples [first, end) of `total`."""

    first: int
    end: int
    total: int

    @property
    def is_last(self) -> bool:
        return self.end == self.total


def page_asked(query: Iterable[tuple[str, str]]) -> tuple[int | None, str | None]:
    """`limit` and `cursor` of a query. Raises `DomainError` for a wrong number, and for a name twice or unknown."""
    given = given_once(query, _PARAMETERS)
    limit = given.get("limit")
    return None if limit is None else whole_number("limit", limit, MOST), given.get("cursor")


def page_of(job_id: UUID, total: int, limit: int | None, cursor: str | None) -> Page:
    """Raises `DomainError` for a cursor that this job's results did not give."""
    first = 0 if cursor is None else _read_cursor(job_id, cursor)
    if first >= max(total, 1):
        raise _bad_cursor()
    return Page(first, total if limit is None else min(total, first + limit), total)


def next_link(page: Page, job_id: UUID, path: str, query: str) -> str | None:
    """The value of `Link` (RFC 8288), with the request's other parameters kept; None on the last page."""
    if page.is_last:
        return None
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "cursor"]
    return f'<{path}?{urlencode([*kept, ("cursor", cursor_at(job_id, page.end))])}>; rel="next"'


def cursor_at(job_id: UUID, sample: int) -> str:
    """Opaque to clients. The check tells a mistyped or borrowed cursor; it is no secret, for a cursor gives no rights."""
    place = sample.to_bytes(_SAMPLE_BYTES, "big")
    return base64.urlsafe_b64encode(place + _check(job_id, place)).rstrip(b"=").decode()


def _read_cursor(job_id: UUID, cursor: str) -> int:
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    place = content[:_SAMPLE_BYTES]
    # Compared in its written form: base64 has several for the same bytes, and only one was given out.
    sample = int.from_bytes(place, "big")
    if len(content) != _SAMPLE_BYTES + _CHECK_BYTES or cursor != cursor_at(job_id, sample):
        raise _bad_cursor()
    return sample


def _check(job_id: UUID, place: bytes) -> bytes:
    return hashlib.sha256(job_id.bytes + place).digest()[:_CHECK_BYTES]


def _bad_cursor() -> DomainError:
    message = (
        "cursor is not one that these results gave. Allowed: the one in the Link header, or none for the first page."
    )
    return DomainError(Problem(ErrorCode.INVALID_REQUEST, message))
