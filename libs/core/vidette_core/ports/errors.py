"""How every adapter reports trouble: four kinds, with the library's own exception kept as the cause."""

from __future__ import annotations


class PortError(Exception):
    """Something behind a port went wrong. The message is fit for a log; the cause (`__cause__`) is for a debugger."""


class Unavailable(PortError):
    """The other side does not answer, or answers that it cannot now. Trying again later is right."""


class DatabaseUnavailable(Unavailable):
    """It is the database that does not answer."""


class NotFound(PortError):
    """The other side answered that the thing does not exist."""


class Conflict(PortError):
    """The other side's state is not the one that the caller assumed. Trying the same again is wrong."""


class Rejected(PortError):
    """The other side understood and refused: the request itself is at fault."""
