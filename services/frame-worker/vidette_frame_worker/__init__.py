"""Decodes one video, streams its frames to Triton and commits result chunks. It holds no credential but its job's token."""
