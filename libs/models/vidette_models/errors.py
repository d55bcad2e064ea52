"""The one way in which this package refuses a model."""

from __future__ import annotations


class UnsupportedModel(Exception):
    """A model file that cannot be served under our contract. The message says what was found, what was expected, what to do."""

    def __init__(self, what: str, *, found: str, expected: str, remedy: str = "") -> None:
        text = f"{what}: found {found}; expected {expected}."
        super().__init__(f"{text} {remedy}" if remedy else text)
        self.what = what
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def advised(self, remedy: str) -> UnsupportedModel:
        """The same refusal with another remedy."""
        return UnsupportedModel(self.what, found=self.found, expected=self.expected, remedy=remedy)
