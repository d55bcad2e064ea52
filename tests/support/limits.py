"""The limits of a worker as it is shipped, for tests of videos that are about something else."""

from __future__ import annotations

from vidette_core.settings import VideoLimitSettings
from vidette_frame_worker.video import Limits

LIMITS = Limits.of(VideoLimitSettings())
