"""No program that this process starts ever has more rights than it; only then may it confine itself without being root."""

from __future__ import annotations

from typing import Final

from vidette_frame_worker.confinement import kernel

_PR_SET_NO_NEW_PRIVS: Final = 38


def give_up() -> None:
    """Raises Unsupported."""
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1)
