"""Fakes that are shipped, each beside the real adapter and under one contract suite with it."""
