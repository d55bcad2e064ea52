"""What somebody without the installation's key can make of tokens that came into their hands, and what a good one becomes.

Each takes a good token and a number, by which it chooses where to begin, and makes the value of the header `Authorization`;
None is no header at all. None of them may open anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt

OTHER_KEY = "o" * 40
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(claims: dict[str, Any], key: str, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims, key, algorithm, headers=header or None)


def _by_hand(header: dict[str, Any], claims: dict[str, Any], key: str) -> str:
    """Signed by HMAC-SHA256 whatever the header says, for what the library would not make."""
    said = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
    return f"{said}.{_base64(hmac.digest(key.encode(), said.encode(), hashlib.sha256))}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _changed(token: str, part: int, number: int) -> str:
    """One character of a part is another one. The last is left alone: of a signature's, four mean the same."""
    parts = token.split(".")
    at = number % (len(parts[part]) - 1)
    other = _ALPHABET[(_ALPHABET.index(parts[part][at]) + 1 + number % 63) % 64]
    parts[part] = parts[part][:at] + other + parts[part][at + 1 :]
    return ".".join(parts)


def _own_key_within(token: str) -> str:
    key = {"kty": "oct", "k": _base64(OTHER_KEY.encode())}
    return signed(claims_of(token), OTHER_KEY, jwk=key, kid="../../dev/null", jku="http://127.0.0.1:1/keys")


def without_key(secret: str) -> dict[str, Callable[[str, int], str | None]]:
    """By name. `secret` is the installation's key, for what only its holder signs: a token whose time is over, say."""

    def bearer(make: Callable[[str, int], str]) -> Callable[[str, int], str | None]:
        return lambda token, number: f"Bearer {make(token, number)}"

    hour = 3600
    return {
        "no header": lambda *_: None,
        "an empty header": lambda *_: "",
        "no token": lambda *_: "Bearer ",
        "another scheme": lambda token, _: f"Basic {_base64(f'{token}:'.encode())}",
        "the token alone": lambda token, _: token,
        "two tokens": bearer(lambda token, _: f"{token}, Bearer {token}"),
        "expired": bearer(lambda token, n: signed({**claims_of(token), "exp": time.time() - 1 - n * hour}, secret)),
        "of tomorrow": bearer(lambda token, _: signed({**claims_of(token), "nbf": time.time() + 24 * hour}, secret)),
        "another key": bearer(lambda token, _: signed(claims_of(token), OTHER_KEY)),
        "a longer hash": bearer(lambda token, _: signed(claims_of(token), secret, "HS512")),
        "another hash": bearer(lambda token, _: signed(claims_of(token), secret, "HS384")),
        "a hash not as it was": bearer(lambda token, _: _by_hand({"alg": "RS256"}, claims_of(token), secret)),
        "unsigned": bearer(lambda token, _: signed(claims_of(token), "", "none")),
        "none, and signed": bearer(lambda token, _: _by_hand({"alg": "NoNe"}, claims_of(token), secret)),
        "its own key within": bearer(lambda token, _: _own_key_within(token)),
        "unknown and critical": bearer(
            lambda token, _: _by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, claims_of(token), secret)
        ),
        "for everything": bearer(lambda token, _: signed({**claims_of(token), "aud": "*"}, secret)),
        "for nothing": bearer(
            lambda token, _: signed({name: value for name, value in claims_of(token).items() if name != "aud"}, secret)
        ),
        "header changed": bearer(lambda token, n: _changed(token, 0, n)),
        "payload changed": bearer(lambda token, n: _changed(token, 1, n)),
        "signature changed": bearer(lambda token, n: _changed(token, 2, n)),
        "signature cut": bearer(lambda token, n: token[: -1 - n % 42]),
        "no signature": bearer(lambda token, _: token.rpartition(".")[0] + "."),
        "deep": bearer(lambda token, _: f"{_base64(b'[' * 20_000)}.{token.partition('.')[2]}"),
        "no token at all": bearer(lambda _, n: ["x", "..", "a.b.c", "null", "{}", "e30.e30.e30"][n % 6]),
    }
