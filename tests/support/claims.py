"""What a gateway answers to a claim, for workers whose gateway answers by script."""

from __future__ import annotations

from uuid import UUID

from tests.support.made_up_models import PIPELINE
from vidette_core.domain.worker_api import SegmentClaim

CLAIM = SegmentClaim(
    session_token="session",
    job_id=UUID(int=7),
    segment=0,
    epoch=3,
    next_sample=0,
    window_end=None,
    expected_samples=None,
    in_decoder_order=False,
    planned=False,
    lease_s=60,
    frame_stride=1,
    max_frames=None,
    chunk_frames=10,
    container="mov",
    pipeline=PIPELINE,
)
