"""Frames to H.264 for tests: the very function that made the demo's clip, so that both are encoded alike."""

from __future__ import annotations

from vidette_models.demo.video import read_rgb, write_h264

__all__ = ["read_rgb", "write_h264"]
