"""What the client decides without a service: when to ask again, and which addresses are of this machine."""

from __future__ import annotations

import datetime
from email.utils import format_datetime

import pytest

from vidette import RetryPolicy
from vidette.answers import is_loopback
from vidette.retry import read_retry_after


def test_retry_after_may_be_a_date_and_may_be_nonsense() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    by_date = read_retry_after({"retry-after": format_datetime(soon, usegmt=True)})
    assert by_date is not None
    assert 50 < by_date <= 60
    assert read_retry_after({"retry-after": "-5"}) == 0
    assert [read_retry_after({"retry-after": text}) for text in ("", "soon", "nan", "inf")] == [None] * 4


def test_the_delays_double_up_to_the_longest_and_then_end() -> None:
    policy = RetryPolicy(attempts=6, first=0.2, longest=1.0)
    assert [policy.delay(failures, None) for failures in range(1, 7)] == [0.2, 0.4, 0.8, 1.0, 1.0, None]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8000/", True),
        ("http://LOCALHOST.:8000", True),
        ("http://vidette.localhost", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.org", False),
        ("not an address", False),
    ],
)
def test_addresses_of_this_machine_are_told_from_others(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
