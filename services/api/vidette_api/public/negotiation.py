"""Which of the two forms of results a client wants, by its `Accept` (RFC 9110 §12.5.1)."""

from __future__ import annotations

JSON = "application/json"
NDJSON = "application/x-ndjson"


def wants_ndjson(accept: str) -> bool:
    """Only when NDJSON is named and wanted more than JSON is; wildcards mean JSON, the form of the contract."""
    weights = dict(_weight(entry) for entry in accept.split(","))
    return weights.get(NDJSON, 0.0) > weights.get(JSON, 0.0)


def _weight(entry: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in entry.split(";"))
    given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
    try:
        weight = float(given.get("q", "1"))
    except ValueError:
        weight = 0.0
    return kind, weight if 0 <= weight <= 1 else 0.0
